"""A batch in parts, so that statistics and checks cost a sample of it while gradient and step length use all of it.

The first part is the sample from which K-FAC estimates the curvature. The second is as large and checks the step: the same
samples would flatter a step that was computed from them. The third is the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples

from gym_gazebo2.algos.natural.fisher import compute_kl
from gym_gazebo2.algos.natural.guarded import get_actions

__all__ = ["STANDARD_ERRORS", "Part", "evaluate_part", "measure_kl", "split_batch"]

STANDARD_ERRORS = 4.0
"""Standard errors by which the mean divergence of a sample must stay below the limit; else the whole batch is measured.

From 512 samples the mean is known to a standard error of 2.5 to 3.6 % (HalfCheetah, Walker2d, Hopper), so a step at its
target passes well below the limit of 1.5 times the target, and the whole batch is rarely needed.
"""


class Part(NamedTuple):
    """A part of a batch after its forward pass."""

    observations: Any
    """Tensor (m, ...), or a dictionary of tensors."""
    actions: torch.Tensor
    """Actions (m, ...) that were taken."""
    distribution: Distribution
    """The policy's distribution before the step, with its graph."""
    values: torch.Tensor
    """Predicted values (m,) with their graph; empty unless actor and critic share layers."""


def split_batch(
    batch: RolloutBufferSamples, action_space: spaces.Space[Any], sample_size: int
) -> list[tuple[Any, torch.Tensor]]:
    """Split the observations and actions of a batch into the curvature sample, the check sample and the rest.

    Args:
        batch: A whole rollout of n samples. The buffer has shuffled it, so that consecutive rows are a random sample.
        action_space: The environment's action space.
        sample_size: Size m of both samples.

    Returns:
        One to three pairs of observations and actions; parts without a row are left out.
    """
    actions, observations = get_actions(batch, action_space), batch.observations
    rows = (slice(0, sample_size), slice(sample_size, 2 * sample_size), slice(2 * sample_size, None))
    return [(_select(observations, part), actions[part]) for part in rows if len(actions[part])]


def _select(observations: Any, rows: slice) -> Any:
    if isinstance(observations, dict):
        return {key: values[rows] for key, values in observations.items()}
    return observations[rows]


def evaluate_part(policy: ActorCriticPolicy, observations: Any, actions: torch.Tensor, with_values: bool) -> Part:
    """Pass a part forward through the policy, and through the critic where it shares layers with the policy.

    Args:
        policy: The policy.
        observations: Observations (m, ...).
        actions: Actions (m, ...).
        with_values: Whether to predict the values in the same pass.

    Returns:
        The part, with the graph of the pass.
    """
    if with_values:
        values, *_ = policy.evaluate_actions(observations, actions)
        distribution = policy.action_dist
    else:
        values, distribution = actions.new_empty(0), policy.get_distribution(observations)
    # stable-baselines3 returns one and the same object from each pass and changes it in the next: keep a copy.
    return Part(observations, actions, copy.copy(distribution), values.flatten())


@torch.no_grad()
def measure_kl(policy: ActorCriticPolicy, parts: Sequence[Part], max_kl: float) -> float:
    """Measure the mean divergence KL(before ‖ now) of a step that the policy has taken.

    The check sample is measured first. Where it leaves a doubt whether the mean of the batch is within the limit, the rest
    is measured too, and the curvature sample last.

    Args:
        policy: The policy after the step.
        parts: The batch, with the distributions from before the step.
        max_kl: Limit of the divergence [nat].

    Returns:
        The mean divergence [nat] of the measured samples; NaN or infinite where the step has broken the policy.
    """
    measured = torch.empty(0)
    for part in (*parts[1:], parts[0]):
        kl = compute_kl(part.distribution, policy.get_distribution(part.observations), len(part.actions))
        measured = torch.cat([measured.to(kl), kl])
        # correction=0: a batch of one sample has a deviation of 0 instead of NaN.
        bound = measured.mean() + STANDARD_ERRORS * measured.std(correction=0) / len(measured) ** 0.5
        # A check sample may be smaller than the curvature sample where the batch is small: then go on measuring.
        if len(measured) >= len(parts[0].actions) and bound <= max_kl:
            break
    return measured.mean().item()
