"""Run a policy for one whole episode on many arms, and keep what an evaluation needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from gym_gazebo2.algos.env_id import check_env_id, get_spec
from gym_gazebo2.algos.finite import is_finite
from gym_gazebo2.algos.vec_env import BatchedVecEnv
from gym_gazebo2.backends import get_factory
from gym_gazebo2.errors import BackendError, InvalidArgumentError, NonFiniteError
from gym_gazebo2.vector_env import ArmVectorEnv

__all__ = ["Episodes", "ModelPolicy", "Policy", "get_episode_steps", "make_eval_env", "run_episodes"]

Array = NDArray[np.float64]
ATTEMPTS = 3
Policy = Callable[[Any], NDArray[Any]]
"""Batched observation → batched action; it may remember, so that every episode wants a new one."""


@dataclasses.dataclass(frozen=True)
class Episodes:
    """One episode each of n arms.

    Attributes:
        error: (n, 3) tool minus goal at the last state, in the base frame [m].
        orientation_error: (n,) angle at the last state [rad].
        is_success: (n,) bool at the last state.
        has_collided: (n,) bool, contact at any step.
        reward: (n,) sums.
        steps_to_goal: (n,) first step with success, NaN where there was none.
    """

    error: Array
    orientation_error: Array
    is_success: NDArray[np.bool_]
    has_collided: NDArray[np.bool_]
    reward: Array
    steps_to_goal: Array


def make_eval_env(env_id: str, runs: int, **env_kwargs: Any) -> BatchedVecEnv:
    """Make arms for so many runs, or the one that the backend moves; their episodes never end by themselves."""
    check_env_id(env_id)
    env_kwargs.pop("max_episode_steps", None)
    most = getattr(get_factory(env_kwargs.get("backend", "mujoco")), "max_envs", None)
    num_envs = runs if most is None else min(runs, most)
    return BatchedVecEnv(gymnasium.make_vec(env_id, num_envs=num_envs, max_episode_steps=None, **env_kwargs))


def get_episode_steps(env_id: str, max_episode_steps: int | None) -> int:
    """Return the steps of an id's episode, or those given instead.

    Raises:
        InvalidArgumentError: The id has no time limit.
    """
    steps = max_episode_steps or get_spec(env_id).max_episode_steps
    if steps is None:
        raise InvalidArgumentError("max_episode_steps", None, f"a number of steps, as {env_id} has no time limit")
    return steps


class ModelPolicy:
    """The deterministic policy of a model, with the memory of a recurrent one."""

    def __init__(self, model: BaseAlgorithm) -> None:
        """Begin an episode.

        Args:
            model: The model that acts.
        """
        self._model, self._state = model, None

    def __call__(self, observation: Any) -> NDArray[Any]:
        """Return the actions for batched observations, and remember."""
        action, self._state = self._model.predict(observation, self._state, deterministic=True)
        return action


def run_episodes(env: Any, make_policy: Callable[[], Policy], num_steps: int, seed: int, runs: int) -> Episodes:
    """Run episodes, as many at a time as there are arms.

    Args:
        env: ``make_eval_env``'s, or a wrapper of it such as ``VecNormalize``.
        make_policy: Called once a batch of episodes.
        num_steps: Steps of an episode.
        seed: Episode i is seeded seed + i.
        runs: Number of episodes, a multiple of the number of arms.

    Raises:
        NonFiniteError: A reward or observation is NaN or infinite.
    """
    parts = [_run_whole_batch(env, make_policy, num_steps, first) for first in range(seed, seed + runs, env.num_envs)]
    names = [field.name for field in dataclasses.fields(Episodes)]
    return Episodes(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _run_whole_batch(env: Any, make_policy: Callable[[], Policy], num_steps: int, seed: int) -> Episodes:
    """Run a batch until no restart of the simulator cuts it short."""
    for _ in range(ATTEMPTS):
        episodes = _run_batch(env, make_policy(), num_steps, seed)
        if episodes is not None:
            return episodes
    raise BackendError(f"The simulator failed in each of {ATTEMPTS} attempts at the episodes from seed {seed} on.")


def _run_batch(env: Any, policy: Policy, num_steps: int, seed: int) -> Episodes | None:
    """Run one episode on every arm; arm i is seeded seed + i. None where the simulator was started anew."""
    arms: ArmVectorEnv = env.unwrapped.env
    env.seed(seed)
    observation = env.reset()
    reward, has_collided = np.zeros(env.num_envs), np.zeros(env.num_envs, dtype=bool)
    steps_to_goal = np.full(env.num_envs, np.nan)
    for step in range(1, num_steps + 1):
        observation, rewards, _, infos = env.step(policy(observation))
        if any(info["simulator_restarted"] for info in infos):
            return None
        for what, values in (("rewards", rewards), ("observations", observation)):
            if not is_finite(values):
                raise NonFiniteError(f"{what} in an evaluation", step, "Its cause is the environment.")
        reward += rewards
        has_collided |= [info["in_collision"] for info in infos]
        arrived = np.array([info["is_success"] for info in infos]) & np.isnan(steps_to_goal)
        steps_to_goal[arrived] = step
    return Episodes(
        error=arms.core.tcp.position - arms.core.goal[:, :3],
        orientation_error=np.array([info["orientation_error"] for info in infos]),
        is_success=np.array([info["is_success"] for info in infos]),
        has_collided=has_collided,
        reward=reward,
        steps_to_goal=steps_to_goal,
    )
