"""PPO with the adaptive penalty on the KL divergence, alone or beside the clipped objective."""

import math
from typing import Any, ClassVar, cast

import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv, RolloutBufferSamples, Schedule
from torch.nn import functional as F

from gym_gazebo2.algos.natural.guarded import GuardedAlgorithm, check_rollout, get_actions, log_training, normalize
from gym_gazebo2.checks import read_number

KL_TOLERANCE = 1.5
"""The divergence may leave its target by this factor, up or down, before the coefficient changes."""

MIN_KL_COEF, MAX_KL_COEF = 1e-6, 1e6
"""Where the coefficient stops halving and doubling, so that it comes back within some updates; one given outside may stay."""


class PPOKL(GuardedAlgorithm, PPO):
    """Proximal Policy Optimization whose loss carries β · KL(old ‖ new), β following a target divergence.

    Paper: Schulman et al., https://arxiv.org/abs/1707.06347, section 4. The divergence is estimated on the batch as
    E[r − 1 − log r], r being the ratio of probabilities: unbiased, never negative, and differentiable.
    """

    mark: ClassVar[str] = "kl_coef"

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
            target_kl: Divergence [nat] of one update that β steers to. Unlike PPO's, it stops no update early.
            kl_coef: β of the first update; it changes within 1e-6 to 1e6.
            clip_range: Clipping beside the penalty, or its schedule; infinite for the penalty alone.
            kwargs: Any other keyword argument of PPO.

        Raises:
            InvalidArgumentError: If the target or the coefficient is not a positive number, or a clipping is none.
        """
        target_kl = read_number("target_kl", target_kl, "a finite positive number", lambda x: x > 0)
        self.kl_coef = read_number("kl_coef", kl_coef, "a finite positive number", lambda x: x > 0)
        _check_clipping("clip_range", clip_range)
        if kwargs.get("clip_range_vf") is not None:
            _check_clipping("clip_range_vf", kwargs["clip_range_vf"])
        super().__init__(policy, env, target_kl=target_kl, clip_range=clip_range, **kwargs)

    def train(self) -> None:
        """Update the policy with the current rollout buffer, then β with the divergence that came of it.

        Raises:
            NonFiniteError: If an observation or a return is not finite; the policy stays as it was.
        """
        check_rollout(self)
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        for _ in range(self.n_epochs):
            for batch in self.rollout_buffer.get(self.batch_size):
                self._take_gradient_step(self._compute_loss(batch))
            self._n_updates += 1
        kl = self._measure_kl()
        self.logger.record("train/approx_kl", kl)
        self.logger.record("train/kl_coef", self.kl_coef)
        self.kl_coef = adapt_coefficient(self.kl_coef, kl, cast(float, self.target_kl))
        log_training(self)

    def _compute_loss(self, batch: RolloutBufferSamples) -> th.Tensor:
        values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, get_actions(batch, self.action_space))
        log_ratio = log_prob - batch.old_log_prob
        policy_loss = self._compute_policy_loss(batch.advantages, log_ratio.exp())
        kl = estimate_kl(log_ratio)
        value_loss = F.mse_loss(batch.returns, self._clip_values(values.flatten(), batch.old_values))
        entropy_loss = -(entropy if entropy is not None else -log_prob).mean()
        self.logger.record_mean("train/policy_gradient_loss", policy_loss.item())
        self.logger.record_mean("train/value_loss", value_loss.item())
        self.logger.record_mean("train/entropy_loss", entropy_loss.item())
        return policy_loss + self.kl_coef * kl + self.ent_coef * entropy_loss + self.vf_coef * value_loss

    def _compute_policy_loss(self, advantages: th.Tensor, ratio: th.Tensor) -> th.Tensor:
        if self.normalize_advantage and len(advantages) > 1:
            advantages = normalize(advantages)
        clip_range = cast(Schedule, self.clip_range)(self._current_progress_remaining)
        self.logger.record_mean("train/clip_fraction", ((ratio - 1).abs() > clip_range).float().mean().item())
        return -th.min(advantages * ratio, advantages * ratio.clamp(1 - clip_range, 1 + clip_range)).mean()

    def _clip_values(self, values: th.Tensor, old_values: th.Tensor) -> th.Tensor:
        if self.clip_range_vf is None:
            return values
        clip_range = cast(Schedule, self.clip_range_vf)(self._current_progress_remaining)
        return old_values + (values - old_values).clamp(-clip_range, clip_range)

    def _take_gradient_step(self, loss: th.Tensor) -> None:
        self.policy.optimizer.zero_grad()
        th.autograd.backward(loss)
        th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        self.logger.record("train/loss", loss.item())

    @th.no_grad()
    def _measure_kl(self) -> float:
        """Estimate the divergence [nat] of the whole update, on the whole buffer."""
        estimates = []
        for batch in self.rollout_buffer.get(self.batch_size):
            log_prob = self.policy.evaluate_actions(batch.observations, get_actions(batch, self.action_space))[1]
            estimates.append(estimate_kl(log_prob - batch.old_log_prob).item())
        return float(np.mean(estimates))


def _check_clipping(name: str, value: Any) -> None:
    """Raise an InvalidArgumentError unless it is a schedule, or a positive number, infinity included."""
    if not callable(value) and value != math.inf:
        read_number(name, value, "a positive number, infinite for no clipping", lambda x: x > 0)


def estimate_kl(log_ratio: th.Tensor) -> th.Tensor:
    """Estimate KL(old ‖ new) [nat] from log(new / old) (n,) of actions that the old policy drew."""
    return (log_ratio.exp() - 1 - log_ratio).mean()


def adapt_coefficient(kl_coef: float, kl: float, target_kl: float) -> float:
    """Double β when the divergence is above its target's band, halve it below, keep it within; never past its bounds."""
    if kl > KL_TOLERANCE * target_kl:
        return min(2 * kl_coef, max(MAX_KL_COEF, kl_coef))
    return max(kl_coef / 2, min(MIN_KL_COEF, kl_coef)) if kl < target_kl / KL_TOLERANCE else kl_coef
