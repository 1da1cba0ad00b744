"""What in a model is not finite: torch and environments refuse NaN in terms that say nothing about where it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = ["find_fault", "find_parameter", "is_finite"]


def is_finite(values: Any) -> bool:
    """Tell whether an array, a tensor or a dictionary of them holds neither NaN nor infinity."""
    arrays = values.values() if isinstance(values, dict) else [values]
    return all(np.isfinite(th.as_tensor(array).cpu().numpy()).all() for array in arrays)


def find_fault(model: BaseAlgorithm) -> str | None:
    """Return what of a model is not finite, if anything: parameters, or the actions that come of them."""
    return find_parameter(model) or (None if _can_act(model) else "actions")


def find_parameter(model: BaseAlgorithm) -> str | None:
    """Return "parameters" and the name of the first that are not finite, if any are not."""
    named = model.policy.named_parameters()
    return next((f"parameters {name}" for name, values in named if not is_finite(values.detach())), None)


def _can_act(model: BaseAlgorithm) -> bool:
    """Tell whether the policy finds finite actions where the arms are; finite parameters may be too large for that."""
    if model._last_obs is None:
        return True
    try:
        return is_finite(model.policy.predict(model._last_obs, deterministic=True)[0])
    except ValueError:
        return False
