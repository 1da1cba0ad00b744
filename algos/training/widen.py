"""Fit the weights of a model to longer observations of the same kind, such as those of more objects.

An observation that begins as the model's own did gets new inputs at its end. Their weights in the first layers are zero. The
policy therefore acts at first exactly as before, as if the new numbers were not there, and learns to use them from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from gym_gazebo2.algos.env_id import check_env_id
from gym_gazebo2.algos.measures import get_task
from gym_gazebo2.algos.settings.env_keywords import find_env_robot
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.tasks import Task

__all__ = ["find_model_inputs", "widen_statistics", "widen_weights"]

Weights = Mapping[str, torch.Tensor]


def find_model_inputs(theirs: Mapping[str, Any], env_id: str, env_kwargs: Mapping[str, Any]) -> int | None:
    """Return how many inputs a model had, if the observation of an environment begins as that of the model's environment.

    Args:
        theirs: Arguments of the training that made the model.
        env_id: Id of the environment.
        env_kwargs: Its keywords.

    Returns:
        The number of inputs; None if the observations are equally long, or of different kinds.
    """
    try:
        check_env_id(theirs.get("env", ""))
    except ValueError:  # the model's environment is not known here; whether its spaces fit is checked by their sizes
        return None
    before, now, robot = get_task(theirs["env"]), get_task(env_id), find_env_robot(env_id, env_kwargs)
    if before is None or now is None or robot is None or type(before) is not type(now):
        return None
    arm = Kinematics(robot)
    old, new = _compute_bounds(before, theirs.get("env_kwargs", {}), arm), _compute_bounds(now, env_kwargs, arm)
    if old is None or new is None or old.shape[1] >= new.shape[1]:
        return None
    return old.shape[1] if np.array_equal(old, new[:, : old.shape[1]]) else None


def _compute_bounds(task: Task, keywords: Mapping[str, Any], arm: Kinematics) -> NDArray[np.float64] | None:
    """Return the bounds (2, size) of a flat observation; None for another one."""
    options = {name: value for name, value in keywords.items() if name in task.OPTIONS}
    task = task.with_options({**keywords.get("task_options", {}), **options})
    return np.stack(task.compute_bounds(arm)) if task.layout == "vector" else None


def widen_weights(weights: Weights, current: Weights, inputs: int, space: spaces.Box) -> dict[str, torch.Tensor]:
    """Return weights with columns of zeros for the new inputs.

    Args:
        weights: Weights of the model.
        current: Weights of the policy that gets them.
        inputs: Length of the model's observation.
        space: The observation of the policy.
    """
    more, widened = space.shape[0] - inputs, dict(weights)
    for name, value in weights.items():
        if name not in current or value.shape == current[name].shape or value.dim() != 2:
            continue
        if value.shape[1] + more == current[name].shape[1]:
            # Critics of off-policy algorithms have the action behind the observation.
            zeros = value.new_zeros(value.shape[0], more)
            widened[name] = torch.cat([value[:, :inputs], zeros, value[:, inputs:]], dim=1)
    return widened


def widen_statistics(statistics: Mapping[str, NDArray[Any]], inputs: int, space: spaces.Box) -> dict[str, NDArray[Any]]:
    """Return statistics of observations in which the new inputs have the mean 0 and the variance 1."""
    more = space.shape[0] - inputs
    fill = {"mean.": 0.0, "var.": 1.0}
    return {
        name: np.concatenate([value, np.full(more, fill[name])]) if name in fill and value.shape == (inputs,) else value
        for name, value in statistics.items()
    }
