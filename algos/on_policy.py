"""What the on-policy algorithms of this package share around their updates: actions, checks, logs."""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.utils import explained_variance


def get_actions(batch: RolloutBufferSamples, action_space: spaces.Space[Any]) -> th.Tensor:
    """Give the actions of a batch as the policy's distribution takes them: whole numbers (n,) where discrete."""
    return batch.actions.long().flatten() if isinstance(action_space, spaces.Discrete) else batch.actions


def normalize(advantages: th.Tensor) -> th.Tensor:
    """Give advantages (n,) with mean zero and deviation one."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def check_finite(model: OnPolicyAlgorithm, name: str, values: Any) -> None:
    """Raise FloatingPointError, saying what and when, if an array, tensor or dictionary of them holds NaN or infinity.

    Args:
        model: The algorithm about to be updated.
        name: What the values are.
        values: The values.
    """
    arrays = values.values() if isinstance(values, dict) else [values]
    bad = sum(np.count_nonzero(~np.isfinite(th.as_tensor(array).cpu().numpy())) for array in arrays)
    if bad:
        raise FloatingPointError(
            f"Expected finite {name}, got {bad} that are NaN or infinite, in update {model._n_updates + 1} after "
            f"{model.num_timesteps} steps. The policy is still as the update before left it."
        )


def log_training(model: OnPolicyAlgorithm) -> None:
    """Record what SB3's algorithms record after an update."""
    buffer, logger = model.rollout_buffer, model.logger
    logger.record("train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten()))
    logger.record("train/n_updates", model._n_updates, exclude="tensorboard")
    if hasattr(model.policy, "log_std"):
        logger.record("train/std", th.exp(model.policy.log_std).mean().item())
