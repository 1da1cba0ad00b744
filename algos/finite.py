"""Checks for NaN and infinity: torch and environments reject NaN with messages that hide where it comes from.

Both the training loop (``training.callbacks``) and the algorithm (``natural.guarded``) check. In the training loop, its checks
at each step come first, so the algorithm's checks are never reached. Those are for ACKTR and PPOKL as plain stable-baselines3
algorithms, where nothing else stops an update on a rollout with NaN from spoiling the policy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = ["find_fault", "find_parameter", "is_finite"]


def is_finite(values: Any) -> bool:
    """Return whether an array, a tensor or a dictionary of them holds neither NaN nor infinity."""
    arrays = values.values() if isinstance(values, dict) else [values]
    return all(np.isfinite(torch.as_tensor(array).cpu().numpy()).all() for array in arrays)


def find_fault(model: BaseAlgorithm) -> str | None:
    """Return the name of the part of a model that is not finite, parameters or actions; None if all is finite."""
    return find_parameter(model) or (None if _can_act(model) else "actions")


def find_parameter(model: BaseAlgorithm) -> str | None:
    """Return "parameters" and the name of the first parameter that is not finite; None if all are finite."""
    named = model.policy.named_parameters()
    return next((f"parameters {name}" for name, values in named if not is_finite(values.detach())), None)


def _can_act(model: BaseAlgorithm) -> bool:
    """Return whether the policy's actions for the last observations are finite: large finite parameters can overflow."""
    if model._last_obs is None:
        return True
    try:
        return is_finite(model.policy.predict(model._last_obs, deterministic=True)[0])
    except ValueError:  # torch's distributions reject NaN
        return False
