"""What the on-policy algorithms of this package share around their updates: actions, checks, logs."""

from io import BufferedIOBase
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch as th
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

SelfGuarded = TypeVar("SelfGuarded", bound="GuardedAlgorithm")


class GuardedAlgorithm(OnPolicyAlgorithm):
    """An on-policy algorithm that names observations that are not finite, and files of other algorithms.

    Attributes:
        mark: A field that files of this algorithm have, and those of no other.
    """

    mark: ClassVar[str]

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Collect experience as any on-policy algorithm, and name observations that are not finite.

        Args:
            env: The training environments.
            callback: Called at each step.
            rollout_buffer: Buffer to fill.
            n_rollout_steps: Steps of each environment.

        Returns:
            Whether to go on.

        Raises:
            NonFiniteError: If the policy meets an observation that is not finite.
        """
        try:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        except ValueError:
            # Torch's distributions refuse NaN in terms of their parameters, which says nothing about the cause.
            check_finite(self, "observations", self._last_obs)
            raise

    @classmethod
    def load(cls: type[SelfGuarded], path: str | Path | BufferedIOBase, *args: Any, **kwargs: Any) -> SelfGuarded:
        """Load a model; see stable-baselines3's `BaseAlgorithm.load`.

        Args:
            path: What `save` wrote.
            args: As there.
            kwargs: As there.

        Raises:
            InvalidArgumentError: If another algorithm saved it, or a setting does not go with what is in it.
        """
        data, parameters, _ = load_from_zip_file(path, custom_objects=kwargs.get("custom_objects"), device="cpu")
        if data is None or cls.mark not in data:
            raise InvalidArgumentError("path", path, f"a model that {cls.__name__} saved; this is one of another algorithm")
        cls._check_changes(data, parameters, kwargs)
        return super().load(path, *args, **kwargs)

    @classmethod
    def _check_changes(cls, data: dict[str, Any], parameters: dict[str, Any], changes: dict[str, Any]) -> None:
        """Refuse a setting that does not go with what is in a file."""


def get_actions(batch: RolloutBufferSamples, action_space: spaces.Space[Any]) -> th.Tensor:
    """Give the actions of a batch as the policy's distribution takes them: whole numbers (n,) where discrete."""
    return batch.actions.long().flatten() if isinstance(action_space, spaces.Discrete) else batch.actions


def normalize(advantages: th.Tensor) -> th.Tensor:
    """Give advantages (n,) with mean zero and deviation one."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def check_finite(model: OnPolicyAlgorithm, name: str, values: Any) -> None:
    """Raise NonFiniteError, saying what and when, if an array, tensor or dictionary of them holds NaN or infinity.

    Args:
        model: The algorithm about to be updated.
        name: What the values are.
        values: The values.
    """
    if not is_finite(values):
        update = model._n_updates + 1
        raise NonFiniteError(name, model.num_timesteps, f"The policy is still as it was before update {update}.")


def check_rollout(model: OnPolicyAlgorithm) -> None:
    """Raise NonFiniteError if an observation or a return of the rollout buffer is not finite."""
    check_finite(model, "observations", model.rollout_buffer.observations)
    check_finite(model, "returns", model.rollout_buffer.returns)


def log_training(model: OnPolicyAlgorithm) -> None:
    """Record what SB3's algorithms record after an update."""
    buffer, logger = model.rollout_buffer, model.logger
    logger.record("train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten()))
    logger.record("train/n_updates", model._n_updates, exclude="tensorboard")
    if hasattr(model.policy, "log_std"):
        logger.record("train/std", th.exp(model.policy.log_std).mean().item())
