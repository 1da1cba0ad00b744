"""An arm's continuous actions as a discrete choice, for algorithms with discrete actions such as DQN.

Choice 0 holds the set-point. Every other choice moves one joint in one direction, at one of a few speeds: full speed to
approach the goal, slow speeds to reach it closely. A choice is a row of a table of the arm's own actions,
(1 + 2 · speeds · joints, joints).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["SPEEDS", "DiscreteActions", "DiscreteVecEnv", "make_action_table"]

SPEEDS = (1.0, 0.2, 0.04)
"""Sizes of the actions; 1 is the arm's highest speed (with control "delta")."""


def make_action_table(space: spaces.Space[Any], speeds: Sequence[float] = SPEEDS) -> NDArray[np.float32]:
    """Return the table of actions, one action per row.

    Args:
        space: The arm's action space, a box from −1 to 1.
        speeds: Sizes of the actions, each above 0 and at most 1.

    Raises:
        InvalidArgumentError: The space is another one, or a speed is out of range.
    """
    if not (isinstance(space, spaces.Box) and len(space.shape) == 1 and (space.low == -1).all() and (space.high == 1).all()):
        raise InvalidArgumentError("action space", space, "a box of one dimension from -1 to 1")
    if not speeds or not all(0 < speed <= 1 for speed in speeds):
        raise InvalidArgumentError("speeds", speeds, "one or more numbers above 0 and at most 1")
    joints = np.eye(space.shape[0])
    # The order is part of a trained policy's meaning: hold, then per speed +1 for each joint, then −1 for each joint.
    rows = [np.zeros_like(joints[:1]), *(sign * speed * joints for speed in speeds for sign in (1, -1))]
    return np.concatenate(rows).astype(np.float32)


class DiscreteActions(gymnasium.ActionWrapper[Any, Any, Any]):
    """Wrapper that gives one environment discrete actions."""

    def __init__(self, env: gymnasium.Env[Any, Any], speeds: Sequence[float] = SPEEDS) -> None:
        """Wrap an environment of an arm.

        Args:
            env: The environment.
            speeds: As in ``make_action_table``.
        """
        super().__init__(env)
        self.table = make_action_table(env.action_space, speeds)
        self.action_space = spaces.Discrete(len(self.table))

    def action(self, action: int) -> NDArray[np.float32]:
        """Return the arm's action for a choice."""
        return self.table[action]


class DiscreteVecEnv(VecEnvWrapper):
    """Wrapper that gives a ``VecEnv`` of any kind discrete actions."""

    def __init__(self, venv: VecEnv, speeds: Sequence[float] = SPEEDS) -> None:
        """Wrap environments of an arm.

        Args:
            venv: The environments.
            speeds: As in ``make_action_table``.
        """
        self.table = make_action_table(venv.action_space, speeds)
        super().__init__(venv, action_space=spaces.Discrete(len(self.table)))

    def reset(self) -> VecEnvObs:
        """Reset the environments."""
        return self.venv.reset()

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Start a step with the arm's actions for the choices (n,)."""
        self.venv.step_async(self.table[actions])

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the end of the step."""
        return self.venv.step_wait()
