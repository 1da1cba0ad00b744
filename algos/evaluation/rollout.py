"""Run a policy for one episode on each of many arms, and record the results.

This works for every ``VecEnv``. Only the first episode of each arm counts. Vectorized environments start the next one by
themselves while other arms are still in their first, so everything after an arm's first end is ignored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.env_id import check_env_id, get_spec
from gym_gazebo2.algos.finite import is_finite
from gym_gazebo2.algos.vec_env import BatchedVecEnv, has_batched_form, make_vec_env
from gym_gazebo2.backends import get_factory
from gym_gazebo2.core import BYTES_PER_ARM
from gym_gazebo2.errors import BackendError, InvalidArgumentError, NonFiniteError
from gym_gazebo2.memory import check_memory

__all__ = ["Episodes", "ModelPolicy", "Policy", "get_episode_steps", "make_eval_env", "run_episodes"]

Array = NDArray[np.float64]
MOST_ATTEMPTS = 3
"""Largest number of attempts at a batch of episodes that restarts of the simulator cut short."""
Policy = Callable[[Any], NDArray[Any]]
"""Batched observation → batched action. A policy may have a memory, so each batch of episodes needs a new one."""
NOT_MEASURES = ("time", "is_success", "in_collision", "simulator_restarted", "TimeLimit.truncated")
"""Numeric entries of ``info`` that are not measures of the task."""


@dataclasses.dataclass(frozen=True)
class Episodes:
    """One episode of each of n arms.

    Attributes:
        reward: (n,) sums of rewards.
        length: (n,) numbers of steps.
        is_success: (n,) 1 if the last state is a success, else 0; NaN if the environment does not report success.
        has_collided: (n,) bool, contact at any step; None if the environment does not report contact.
        steps_to_goal: (n,) first step with success; NaN for episodes without.
        measures: Name → (n,) the task's measure at the last state [SI units].
        offset: (n, 3) tool minus goal at the last state, in the base frame [m]; None if the task does not place the tool.
    """

    reward: Array
    length: Array
    is_success: Array
    has_collided: NDArray[np.bool_] | None
    steps_to_goal: Array
    measures: Mapping[str, Array]
    offset: Array | None


def make_eval_env(env_id: str, runs: int, **env_kwargs: Any) -> VecEnv:
    """Make the environments of an evaluation, one arm per run where possible.

    Args:
        env_id: The id.
        runs: Number of runs.
        **env_kwargs: Keywords of ``gymnasium.make``.

    Returns:
        Ids of this package: a batch without a time limit, as the evaluation counts the steps itself; a backend that moves
        fewer arms than ``runs`` gets as many as it moves. Other ids: one environment per run, with its own time limit.

    Raises:
        UnknownNameError: There is no such id.
    """
    check_env_id(env_id)
    check_memory("runs", runs, BYTES_PER_ARM, "the environments of an evaluation")
    if not has_batched_form(env_id):
        return make_vec_env(env_id, runs, vec="dummy", **env_kwargs)
    # run_episodes counts the steps. With a limit of its own, the environment would reset every arm in its last step for
    # nothing, which takes seconds on a robot.
    env_kwargs.pop("max_episode_steps", None)
    backend = env_kwargs.get("backend") or get_spec(env_id).kwargs.get("backend", "mujoco")
    most = getattr(get_factory(backend), "max_envs", None)
    num_envs = runs if most is None else min(runs, most)
    return BatchedVecEnv(gymnasium.make_vec(env_id, num_envs=num_envs, max_episode_steps=None, **env_kwargs))


def get_episode_steps(env_id: str, max_episode_steps: int | None) -> int:
    """Return the step limit of an id's episodes, or the given one.

    Raises:
        InvalidArgumentError: The id has no time limit.
    """
    steps = max_episode_steps or get_spec(env_id).max_episode_steps
    if steps is None:
        sentence = f"{env_id} has no time limit, so an evaluation would not end. Set max_episode_steps."
        raise InvalidArgumentError("max_episode_steps", None, sentence=sentence)
    return steps


class ModelPolicy:
    """The deterministic policy of a model. It holds a recurrent policy's memory, so make one per batch of episodes."""

    def __init__(self, model: BaseAlgorithm) -> None:
        """Start with an empty memory.

        Args:
            model: The model that acts.
        """
        self._model, self._state = model, None

    def __call__(self, observation: Any) -> NDArray[Any]:
        """Return the actions for batched observations, and update the memory."""
        action, self._state = self._model.predict(observation, self._state, deterministic=True)
        return action


def run_episodes(env: Any, make_policy: Callable[[], Policy], num_steps: int, seed: int, runs: int) -> Episodes:
    """Run episodes, as many at a time as there are arms.

    Args:
        env: The result of ``make_eval_env``, or a wrapper around it such as ``VecNormalize``.
        make_policy: Makes a policy; called once per batch of episodes.
        num_steps: Step limit of an episode; the task may end it earlier.
        seed: Seed of the first episode; episode i is seeded seed + i.
        runs: Number of episodes, a multiple of the number of arms.

    Returns:
        The episodes, in the order of their seeds.

    Raises:
        NonFiniteError: A reward or observation is NaN or infinite.
        BackendError: The simulator failed, and with ``on_failure="restart"`` failed in every attempt.
    """
    parts = [_run_whole_batch(env, make_policy, num_steps, first) for first in range(seed, seed + runs, env.num_envs)]
    return Episodes(
        **{name: _join([getattr(part, name) for part in parts]) for name in JOINED},
        measures={name: _join([part.measures[name] for part in parts]) for name in parts[0].measures},
    )


JOINED = [field.name for field in dataclasses.fields(Episodes) if field.name != "measures"]
"""Fields of ``Episodes`` that are single arrays, which batches are joined by."""


def _join(arrays: Sequence[Any]) -> Any:
    return None if arrays[0] is None else np.concatenate(arrays)


def _run_whole_batch(env: Any, make_policy: Callable[[], Policy], num_steps: int, seed: int) -> Episodes:
    """Run a batch of episodes. Repeat it, with the same seeds, if a restart of the simulator cuts it short."""
    for _ in range(MOST_ATTEMPTS):
        episodes = _run_batch(env, make_policy(), num_steps, seed)
        if episodes is not None:
            return episodes
    raise BackendError(
        f"The simulator failed in each of {MOST_ATTEMPTS} attempts at the episodes from seed {seed} on. See its log."
    )


def _run_batch(env: VecEnv, policy: Policy, num_steps: int, seed: int) -> Episodes | None:
    """Run one episode on every arm; arm i is seeded seed + i. Return None if the simulator was restarted meanwhile."""
    record = _Recorder(env)
    env.seed(seed)
    observation = env.reset()
    # Arms whose episode has ended keep moving in a new one; the policy acts for them, too, and the recorder ignores them.
    for step in range(1, num_steps + 1):
        observation, rewards, dones, infos = env.step(policy(observation))
        info = _gather(env, infos)
        if np.any(info.get("simulator_restarted", False)):
            return None
        # A reward of NaN would make every mean NaN without saying when it came.
        for quantity, values in (("rewards", rewards), ("observations", observation)):
            if not is_finite(values):
                raise NonFiniteError(f"{quantity} in an evaluation", step, "The environment returned them.")
        # At the limit every running episode counts as ended, since the environment itself has no limit.
        record.add(step, np.asarray(rewards), np.asarray(dones) | (step == num_steps), info)
        if not record.is_running.any():
            break
    return record.finish()


class _Recorder:
    """Records the first episode of each arm: sums of rewards, lengths, and the results at the last state.

    Attributes:
        is_running: (n,) bool, arms whose first episode has not ended.
    """

    def __init__(self, env: VecEnv) -> None:
        n = env.num_envs
        # unwrapped: VecNormalize and others change observations and rewards, not the state of the arms.
        self._env = env.unwrapped
        self.is_running = np.ones(n, dtype=bool)
        self._reward, self._length = np.zeros(n), np.zeros(n)
        self._success = np.full(n, np.nan)
        self._collided: NDArray[np.bool_] | None = None
        self._steps_to_goal = np.full(n, np.nan)
        self._measures: dict[str, Array] = {}
        self._offset: Array | None = None

    def add(self, step: int, rewards: Array, ends: NDArray[np.bool_], info: Mapping[str, NDArray[Any]]) -> None:
        """Add one step of all arms. Arms whose first episode has ended are ignored.

        Args:
            step: Number of the step, from 1.
            rewards: (n,) rewards.
            ends: (n,) bool, episodes that end with this step.
            info: Arrays (n,) by name, of the state at the end of the step.
        """
        running = self.is_running
        self._reward[running] += rewards[running]
        self._length[running] = step
        if "in_collision" in info:
            # None until the environment reports contact for the first time: "no contact" and "not reported" differ.
            collides = info["in_collision"] & running
            self._collided = collides if self._collided is None else self._collided | collides
        if "is_success" in info:
            arrived = info["is_success"].astype(bool) & running & np.isnan(self._steps_to_goal)
            self._steps_to_goal[arrived] = step
        if (last := running & ends).any():
            self._keep_last(last, info)
            self.is_running = running & ~ends

    def _keep_last(self, last: NDArray[np.bool_], info: Mapping[str, NDArray[Any]]) -> None:
        """Record the results of the masked arms, which are at their last state."""
        if "is_success" in info:
            self._success[last] = info["is_success"][last]
        for name, values in info.items():
            if name not in NOT_MEASURES and np.issubdtype(values.dtype, np.number) and values.ndim == 1:
                self._measures.setdefault(name, np.full(len(last), np.nan))[last] = values[last]
        # The arms that ended have been reset already; ``ended`` holds the state and the goals from before.
        if isinstance(self._env, BatchedVecEnv) and self._env.arms.ended is not None:
            offset = self._env.arms.task.compute_offset(*self._env.arms.ended)
            if offset is not None:
                self._offset = np.full((len(last), 3), np.nan) if self._offset is None else self._offset
                self._offset[last] = offset[last]

    def finish(self) -> Episodes:
        """Return the episodes."""
        return Episodes(
            reward=self._reward,
            length=self._length,
            is_success=self._success,
            has_collided=self._collided,
            steps_to_goal=self._steps_to_goal,
            measures=self._measures,
            offset=self._offset,
        )


def _gather(env: VecEnv, infos: Sequence[Mapping[str, Any]]) -> Mapping[str, NDArray[Any]]:
    """Return the info of a step as arrays (n,). A batched environment has them; others report one dictionary per arm."""
    if isinstance(env.unwrapped, BatchedVecEnv):
        return env.unwrapped.last_info
    # Only numbers that every arm reports; other entries cannot be averaged over episodes.
    names = [name for name, value in infos[0].items() if isinstance(value, bool | int | float | np.number | np.bool_)]
    return {name: np.array([info[name] for info in infos]) for name in names if all(name in info for info in infos)}
