"""A trained policy that teaches another one: it sees the flat observation of the state, whatever the other one sees."""

from __future__ import annotations

import contextlib
from typing import Any

from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from gym_gazebo2.algos.runs.model_file import ModelFile
from gym_gazebo2.algos.table import get_algorithm
from gym_gazebo2.algos.vec_env import BatchedVecEnv
from gym_gazebo2.core import ArmCore
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["Teacher"]


class Teacher:
    """A trained policy that chooses actions for the newest state of the arms of an environment."""

    def __init__(self, file: ModelFile, env: VecEnv) -> None:
        """Build the policy, and check that it fits the environment.

        Args:
            file: The model.
            env: The environment in which it teaches.

        Raises:
            InvalidArgumentError: The environment is not a batched one of this package; or the policy is for another kind of
                task, another robot, another meaning of actions or another flat observation.
        """
        self._arms = _get_arms(env, "dagger can learn only in batched environments of gym_gazebo2 (--vec batched)")
        row = get_algorithm(file.config.algo)
        if row.recurrent or row.actions != "box":
            kind = "has a memory" if row.recurrent else "chooses among a few actions"
            _refuse(file, f"a policy of {file.config.algo} {kind}")
        with contextlib.closing(file.make_idle_env()) as idle:
            theirs = _get_arms(idle, f"{file.path} cannot teach: {file.config.env} is no batched environment of gym_gazebo2")
            _check_arms(file, theirs, self._arms)
            self._model, wrapped = file.build(), file.wrap(idle)
        self._normalizer = wrapped if isinstance(wrapped, VecNormalize) else None

    def choose_actions(self) -> NDArray[Any]:
        """Return the teacher's deterministic actions (n, size) for the newest state."""
        observation: Any = self._arms.compute_flat_observation()
        if self._normalizer is not None:
            observation = self._normalizer.normalize_obs(observation)
        return self._model.predict(observation, deterministic=True)[0]


def _get_arms(env: VecEnv, complaint: str) -> ArmCore:
    inner = env.unwrapped
    if not isinstance(inner, BatchedVecEnv):
        sentence = f"{complaint}, since a teacher sees the state of the arms."
        raise InvalidArgumentError("env", type(inner).__name__, sentence=sentence)
    return inner.arms


def _check_arms(file: ModelFile, theirs: ArmCore, ours: ArmCore) -> None:
    """Refuse a teacher whose task, robot, actions or observation differ from those of the environment."""
    for name, get in (
        ("kind of task", lambda arms: type(arms.task).__name__),
        ("robot", lambda arms: arms.robot.name),
        ("control", lambda arms: arms.options.control),
        ("control_dt", lambda arms: arms.control_dt),
        ("size of the flat observation", lambda arms: arms.flat_observation_space.shape[0]),
    ):
        if get(theirs) != get(ours):
            _refuse(file, f"its {name} is {get(theirs)}, and {get(ours)} here")
    if not isinstance(theirs.observation_space, spaces.Box) or theirs.observation_space != theirs.flat_observation_space:
        _refuse(file, "its own observation is not flat")
    if theirs.flat_observation_space != ours.flat_observation_space:
        _refuse(file, "its flat observation has the same size, but other bounds and so other numbers")


def _refuse(file: ModelFile, reason: str) -> None:
    then = "Give the run of a policy that was trained on the same task with the flat observation."
    raise InvalidArgumentError("teacher", str(file.path), sentence=f"{file.path} cannot teach here: {reason}. {then}")
