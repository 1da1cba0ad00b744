"""An arm's actions as a choice among a few: for algorithms that choose, such as DQN.

Choice 0 holds the set-point. Every other choice moves one joint, at one of a few speeds, either way: full speed to come
near, slow ones to come close. A choice is a row of a table of the arm's own actions, (1 + 2 · speeds · joints, joints).
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
"""Sizes of the actions to choose among; 1 is the arm's greatest speed (control "delta")."""


def make_action_table(space: spaces.Space[Any], speeds: Sequence[float] = SPEEDS) -> NDArray[np.float32]:
    """Return the actions to choose among, one a row.

    Args:
        space: The arm's action space, a box from −1 to 1.
        speeds: Sizes of the actions, each above 0 and at most 1.

    Raises:
        InvalidArgumentError: The space is no such box, or a speed is out of range.
    """
    if not (isinstance(space, spaces.Box) and len(space.shape) == 1 and (space.low == -1).all() and (space.high == 1).all()):
        raise InvalidArgumentError("action space", space, "a box of one dimension from -1 to 1")
    if not speeds or not all(0 < speed <= 1 for speed in speeds):
        raise InvalidArgumentError("speeds", speeds, "numbers above 0 and at most 1, at least one")
    joints = np.eye(space.shape[0])
    rows = [np.zeros_like(joints[:1]), *(sign * speed * joints for speed in speeds for sign in (1, -1))]
    return np.concatenate(rows).astype(np.float32)


class DiscreteActions(gymnasium.ActionWrapper[Any, Any, Any]):
    """One environment whose actions are choices."""

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
        """Return the arm's action of a choice."""
        return self.table[action]


class DiscreteVecEnv(VecEnvWrapper):
    """A ``VecEnv`` of any kind, batched or one environment a worker, whose actions are choices."""

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
        """Pass on the arm's actions of the choices (n,)."""
        self.venv.step_async(self.table[actions])

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the step."""
        return self.venv.step_wait()
