"""What is compared between the panda-gym ids of this package and panda-gym itself. Runs in both environments of packages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from benchmarks.panda_policies import POLICIES

__all__ = ["TASKS", "VARIANTS", "choose_goal", "describe", "list_starts", "measure_speed", "measure_success", "run_policy"]

TASKS = tuple(POLICIES)
VARIANTS = ("", "Joints", "Dense", "JointsDense")
"""Ends of the names of the ids of each task."""
QUARTER_TURN = np.array([0.0, 0.0, 0.5**0.5, 0.5**0.5])
"""Flip's goal for the scripted policy, a quarter turn about the vertical: quaternion xyzw."""
GOAL_PAIRS = 6
"""Pairs of goals whose rewards are compared."""

Array = NDArray[np.float64]
SetGoal = Callable[[Any, int, Array], dict[str, Array]]
"""(environment, seed, goal (g,)) → first observation of that seed's episode, with this goal."""


def describe(env: gym.Env[Any, Any]) -> dict[str, Any]:
    """Return spaces, time limit, and the rewards of some pairs of goals."""
    spaces = {**env.observation_space.spaces, "action": env.action_space}  # type: ignore[attr-defined]
    size = spaces["desired_goal"].shape[0]
    # Goals up to 0.1 apart from each other, some of them nearer than the threshold. Quaternions have length 1.
    rng = np.random.default_rng(0)
    desired = rng.normal(size=(GOAL_PAIRS, size))
    achieved = desired + rng.uniform(-0.06, 0.06, desired.shape) * (10.0 if size == 4 else 1.0)
    if size == 4:
        achieved, desired = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (achieved, desired))
    compute = env.unwrapped.compute_reward  # type: ignore[attr-defined]
    achieved, desired = achieved.round(4), desired.round(4)
    return {
        "spaces": {key: [list(s.shape), float(s.low.min()), float(s.high.max()), str(s.dtype)] for key, s in spaces.items()},
        "max_episode_steps": env.spec.max_episode_steps if env.spec else None,
        "achieved": achieved.tolist(),
        "desired": desired.tolist(),
        # One by one: panda-gym's Flip returns a matrix for batches.
        "rewards": [round(float(compute(a, d, {})), 7) for a, d in zip(achieved, desired, strict=True)],
    }


def list_starts(env: gym.Env[Any, Any], seeds: Iterable[int]) -> list[dict[str, list[float]]]:
    """Return the first observations of episodes."""
    return [{key: value.round(7).tolist() for key, value in env.reset(seed=seed)[0].items()} for seed in seeds]


def choose_goal(task: str, env: gym.Env[Any, Any], seed: int, set_goal: SetGoal) -> dict[str, Array]:
    """Return the first observation of an episode with a goal that the scripted policy tries."""
    observation, _ = env.reset(seed=seed)
    if task == "Flip":
        return set_goal(env, seed, QUARTER_TURN)
    if task == "Slide":
        # Straight ahead of the disc. A given goal draws nothing, which can change where the disc starts.
        goal = observation["desired_goal"].astype(float)
        goal[1] = set_goal(env, seed, goal)["achieved_goal"][1]
        return set_goal(env, seed, goal)
    return observation


def run_policy(task: str, env: gym.Env[Any, Any], seed: int, set_goal: SetGoal) -> tuple[bool, int]:
    """Return whether the scripted policy succeeds in one episode, and its steps."""
    observation, steps, ended = choose_goal(task, env, seed, set_goal), 0, False
    while not ended:
        state, goal = observation["observation"].astype(float), observation["desired_goal"].astype(float)
        observation, _, terminated, truncated, info = env.step(POLICIES[task](state, goal).astype(np.float32))
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


def measure_success(task: str, env: gym.Env[Any, Any], episodes: int, set_goal: SetGoal) -> dict[str, float]:
    """Return the scripted policy's success rate, and the mean number of steps."""
    results = np.array([run_policy(task, env, seed, set_goal) for seed in range(episodes)], dtype=float)
    return {"success_rate": float(results[:, 0].mean()), "mean_steps": float(results[:, 1].mean())}


def measure_speed(run: Callable[[], int], seconds: float) -> float:
    """Return the steps per CPU-second of a function that makes some steps and returns their number."""
    steps, start = 0, time.process_time()
    while (elapsed := time.process_time() - start) < seconds:
        steps += run()
    return steps / elapsed
