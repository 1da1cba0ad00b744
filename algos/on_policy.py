"""What the on-policy algorithms of this package share around their updates: actions, checks, logs."""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.utils import explained_variance

from gym_gazebo2.errors import NonFiniteError


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


def is_finite(values: Any) -> bool:
    """Tell whether an array, a tensor or a dictionary of them holds neither NaN nor infinity."""
    arrays = values.values() if isinstance(values, dict) else [values]
    return all(np.isfinite(th.as_tensor(array).cpu().numpy()).all() for array in arrays)


def log_training(model: OnPolicyAlgorithm) -> None:
    """Record what SB3's algorithms record after an update."""
    buffer, logger = model.rollout_buffer, model.logger
    logger.record("train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten()))
    logger.record("train/n_updates", model._n_updates, exclude="tensorboard")
    if hasattr(model.policy, "log_std"):
        logger.record("train/std", th.exp(model.policy.log_std).mean().item())
