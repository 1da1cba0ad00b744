"""PPO with the adaptive penalty on the KL divergence, alone or beside the clipped objective."""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv, RolloutBufferSamples, Schedule
from torch.nn import functional as F

from gym_gazebo2.algos.natural.guarded import (
    GuardedAlgorithm,
    check_rollout,
    get_actions,
    log_training,
    normalize,
    take_gradient_step,
)
from gym_gazebo2.checks import read_number

__all__ = ["KL_TOLERANCE", "MAX_KL_COEF", "MIN_KL_COEF", "PPOKL", "adapt_coefficient", "estimate_kl"]

KL_TOLERANCE = 1.5
"""The coefficient changes where the divergence is above its target times this factor, or below its target divided by it."""

MIN_KL_COEF, MAX_KL_COEF = 1e-6, 1e6
"""Bounds of the coefficient: from a bound it returns to 1 within 20 updates. A coefficient given outside may stay there."""


class PPOKL(GuardedAlgorithm, PPO):
    """Proximal Policy Optimization with the penalty β · KL(old ‖ new) in the loss, where β adapts to a target divergence.

    Paper: Schulman et al., https://arxiv.org/abs/1707.06347, section 4, equation 8. The divergence is estimated on the batch as
    E[r − 1 − log r] with the ratio of probabilities r: unbiased, never negative, and differentiable.
    """

    identifying_setting: ClassVar[str] = "kl_coef"
    adaptive_numbers: ClassVar[tuple[str, ...]] = ("kl_coef",)

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        target_kl: float = 0.01,
        kl_coef: float = 1.0,
        clip_range: float | Schedule = math.inf,
        **kwargs: Any,
    ) -> None:
        """Build the algorithm.

        Args:
            policy: As for PPO.
            env: As for PPO.
            target_kl: Target of the divergence [nat] of one update. Unlike PPO's ``target_kl``, it stops no update early.
            kl_coef: β of the first update; it changes within 1e-6 to 1e6.
            clip_range: Clip range of the ratio besides the penalty, or its schedule; infinity for the penalty alone.
            kwargs: Other keyword arguments of PPO.

        Raises:
            InvalidArgumentError: The target, the coefficient or a clip range is not a positive number.
        """
        target_kl = read_number("target_kl", target_kl, "a finite positive number", lambda x: x > 0)
        self.kl_coef = read_number("kl_coef", kl_coef, "a finite positive number", lambda x: x > 0)
        _check_clip_range("clip_range", clip_range)
        if kwargs.get("clip_range_vf") is not None:
            _check_clip_range("clip_range_vf", kwargs["clip_range_vf"])
        super().__init__(policy, env, target_kl=target_kl, clip_range=clip_range, **kwargs)

    def train(self) -> None:
        """Update the policy with the current rollout buffer, then β by the divergence of that update.

        Raises:
            NonFiniteError: An observation or a return is not finite; the policy stays as it was.
        """
        check_rollout(self)
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        for _ in range(self.n_epochs):
            for batch in self.rollout_buffer.get(self.batch_size):
                take_gradient_step(self, self._compute_loss(batch))
            self._n_updates += 1
        kl = self._measure_kl()  # of all epochs together, whereas the loss saw the divergence of one minibatch at a time
        self.logger.record("train/approx_kl", kl)
        self.logger.record("train/kl_coef", self.kl_coef)
        self.kl_coef = adapt_coefficient(self.kl_coef, kl, cast(float, self.target_kl))
        log_training(self)

    def _compute_loss(self, batch: RolloutBufferSamples) -> torch.Tensor:
        values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, get_actions(batch, self.action_space))
        log_ratio = log_prob - batch.old_log_prob  # log r, r = π(a|s) / π_old(a|s)
        policy_loss = self._compute_policy_loss(batch.advantages, log_ratio.exp())
        kl = estimate_kl(log_ratio)
        value_loss = F.mse_loss(batch.returns, self._clip_values(values.flatten(), batch.old_values))
        # Distributions without a closed form have no entropy: −log π(a|s) is its estimate from one sample.
        entropy_loss = -(entropy if entropy is not None else -log_prob).mean()
        self.logger.record_mean("train/policy_gradient_loss", policy_loss.item())
        self.logger.record_mean("train/value_loss", value_loss.item())
        self.logger.record_mean("train/entropy_loss", entropy_loss.item())
        return policy_loss + self.kl_coef * kl + self.ent_coef * entropy_loss + self.vf_coef * value_loss

    def _compute_policy_loss(self, advantages: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
        if self.normalize_advantage and len(advantages) > 1:  # the last minibatch may be one sample, without a deviation
            advantages = normalize(advantages)
        clip_range = cast(Schedule, self.clip_range)(self._current_progress_remaining)
        self.logger.record_mean("train/clip_fraction", ((ratio - 1).abs() > clip_range).float().mean().item())
        # Equation 7 of the paper. With an infinite clip range both terms are Â r.
        return -torch.min(advantages * ratio, advantages * ratio.clamp(1 - clip_range, 1 + clip_range)).mean()

    def _clip_values(self, values: torch.Tensor, old_values: torch.Tensor) -> torch.Tensor:
        if self.clip_range_vf is None:
            return values
        clip_range = cast(Schedule, self.clip_range_vf)(self._current_progress_remaining)
        return old_values + (values - old_values).clamp(-clip_range, clip_range)

    @torch.no_grad()
    def _measure_kl(self) -> float:
        """Estimate the divergence [nat] of the whole update, on the whole buffer."""
        estimates = []
        for batch in self.rollout_buffer.get(self.batch_size):
            log_prob = self.policy.evaluate_actions(batch.observations, get_actions(batch, self.action_space))[1]
            estimates.append(estimate_kl(log_prob - batch.old_log_prob).item())
        return float(np.mean(estimates))


def _check_clip_range(name: str, value: Any) -> None:
    """Raise an InvalidArgumentError unless the value is a schedule, a positive number, or infinity."""
    if not callable(value) and value != math.inf:
        read_number(name, value, "a positive number (infinity for no clipping)", lambda x: x > 0)


def estimate_kl(log_ratio: torch.Tensor) -> torch.Tensor:
    """Estimate KL(old ‖ new) [nat] from log r = log(new / old) (n,) of actions sampled from the old policy.

    E[−log r] alone is unbiased too, but can be negative on a batch, and its gradient then pulls the policy away. E[r − 1] is
    zero, so adding it changes no mean, and r − 1 − log r is never negative.
    """
    return (log_ratio.exp() - 1 - log_ratio).mean()


def adapt_coefficient(kl_coef: float, kl: float, target_kl: float) -> float:
    """Return the next β: doubled where the divergence is above the band around its target, halved where it is below.

    Without bounds a policy that cannot move, as under a learning rate that has fallen to zero, would halve β at every update
    until the penalty came too late. The inner ``max`` and ``min`` leave a β that was given outside the bounds where it is.
    """
    if kl > KL_TOLERANCE * target_kl:
        return min(2 * kl_coef, max(MAX_KL_COEF, kl_coef))
    return max(kl_coef / 2, min(MIN_KL_COEF, kl_coef)) if kl < target_kl / KL_TOLERANCE else kl_coef
