"""What the on-policy algorithms of this package share around their updates: actions, checks, logs, files."""

from __future__ import annotations

from io import BufferedIOBase
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.finite import is_finite
from gym_gazebo2.errors import InvalidArgumentError, NonFiniteError

__all__ = [
    "GuardedAlgorithm",
    "check_finite",
    "check_rollout",
    "get_actions",
    "log_training",
    "normalize",
    "take_gradient_step",
]

SelfGuarded = TypeVar("SelfGuarded", bound="GuardedAlgorithm")


class GuardedAlgorithm(OnPolicyAlgorithm):
    """An on-policy algorithm that refuses observations that are not finite, and model files of other algorithms.

    Attributes:
        identifying_setting: A setting that model files of this algorithm hold, and those of other algorithms do not.
        adaptive_numbers: Attributes that are numbers and that training changes, besides those of stable-baselines3.
            Checkpoints hold them; an attribute that is left out starts anew when a training is resumed.
    """

    identifying_setting: ClassVar[str]
    adaptive_numbers: ClassVar[tuple[str, ...]] = ()

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Collect experience like any on-policy algorithm, and report observations that are not finite.

        Args:
            env: The training environments.
            callback: Called at each step.
            rollout_buffer: Buffer to fill.
            n_rollout_steps: Steps per environment.

        Returns:
            Whether to continue training.

        Raises:
            NonFiniteError: The policy was given an observation that is not finite.
        """
        try:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        except ValueError:
            # Torch's distributions reject NaN with a message about their own parameters, which hides the cause.
            check_finite(self, "observations", self._last_obs)
            raise

    @classmethod
    def load(cls: type[SelfGuarded], path: str | Path | BufferedIOBase, *args: Any, **kwargs: Any) -> SelfGuarded:
        """Load a model; see stable-baselines3's ``BaseAlgorithm.load``.

        Args:
            path: File or buffer that ``save`` wrote.
            args: Positional arguments of ``BaseAlgorithm.load``.
            kwargs: Its keyword arguments.

        Raises:
            InvalidArgumentError: Another algorithm saved the file, or a setting contradicts its content.
        """
        data, parameters, _ = load_from_zip_file(path, custom_objects=kwargs.get("custom_objects"), device="cpu")
        if data is None or cls.identifying_setting not in data:
            raise InvalidArgumentError("path", path, f"a model that {cls.__name__} saved, not one of another algorithm")
        cls._check_changes(data, parameters, kwargs)
        return super().load(path, *args, **kwargs)

    @classmethod
    def _check_changes(cls, data: dict[str, Any], parameters: dict[str, Any], changes: dict[str, Any]) -> None:
        """Refuse settings that contradict the content of a file. The default implementation is a no-op."""


def get_actions(batch: RolloutBufferSamples, action_space: spaces.Space[Any]) -> torch.Tensor:
    """Return the actions of a batch as the policy's distribution takes them: whole numbers (n,) where discrete."""
    # The buffer stores every action as float32 (n, d).
    return batch.actions.long().flatten() if isinstance(action_space, spaces.Discrete) else batch.actions


def normalize(advantages: torch.Tensor) -> torch.Tensor:
    """Return advantages (n,) shifted to mean zero and scaled to deviation one."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def take_gradient_step(model: OnPolicyAlgorithm, loss: torch.Tensor) -> None:
    """Move the policy one step of its optimizer down the gradient of a loss, whose norm is clipped."""
    model.policy.optimizer.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.policy.parameters(), model.max_grad_norm)
    model.policy.optimizer.step()
    model.logger.record("train/loss", loss.item())


def check_finite(model: OnPolicyAlgorithm, name: str, values: Any) -> None:
    """Raise a NonFiniteError if values hold NaN or infinity.

    Args:
        model: The algorithm about to be updated.
        name: Name of the values, for the message.
        values: Array, tensor, or a dictionary of them.
    """
    if not is_finite(values):
        advice = f"The policy is unchanged since before update {model._n_updates + 1}. Check the environment's outputs."
        raise NonFiniteError(name, model.num_timesteps, advice)


def check_rollout(model: OnPolicyAlgorithm) -> None:
    """Raise a NonFiniteError if an observation or a return of the rollout buffer is not finite.

    Rewards are checked through the returns, which also hold the values: one NaN spoils every return before it.
    """
    check_finite(model, "observations", model.rollout_buffer.observations)
    check_finite(model, "returns", model.rollout_buffer.returns)


def log_training(model: OnPolicyAlgorithm) -> None:
    """Record the values that stable-baselines3's algorithms record after an update."""
    buffer, logger = model.rollout_buffer, model.logger
    logger.record("train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten()))
    logger.record("train/n_updates", model._n_updates, exclude="tensorboard")
    if hasattr(model.policy, "log_std"):
        logger.record("train/std", torch.exp(model.policy.log_std).mean().item())
