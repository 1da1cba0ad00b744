"""Print what ``panda_cases`` compares, for panda-gym itself, as JSON.

Runs in the peers' environment, from this project's folder. Arguments: "cases EPISODES", or "speed SECONDS".
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from typing import Any

import gymnasium as gym
import panda_gym  # noqa: F401
from panda_gym.pybullet import PyBullet

from benchmarks import panda_cases
from benchmarks.panda_cases import TASKS, VARIANTS

SEEDS = range(3)


def draw_without_picture(sim: PyBullet, **keywords: Any) -> None:
    """Create a box. The wheel of panda-gym 3.0.7 lacks the picture on Flip's cube, so its constructor fails."""
    keywords.pop("texture", None)
    create_box(sim, **keywords)


create_box, PyBullet.create_box = PyBullet.create_box, draw_without_picture


def set_goal(env: gym.Env[Any, Any], seed: int, goal: Any) -> dict[str, Any]:
    """Start an episode with a goal."""
    observation, _ = env.reset(seed=seed)
    env.unwrapped.task.goal = goal
    return {**observation, "desired_goal": goal}


def collect_cases(episodes: int) -> dict[str, Any]:
    """Return everything but the speed."""
    cases: dict[str, Any] = {}
    for task in TASKS:
        for variant in VARIANTS:
            env = gym.make(f"Panda{task}{variant}-v3")
            cases[f"{task}{variant}"] = panda_cases.describe(env) | {"starts": panda_cases.list_starts(env, SEEDS)}
            if not variant:
                cases[task] |= panda_cases.measure_success(task, env, episodes, set_goal)
            env.close()
    return {"source": f"panda-gym {importlib.metadata.version('panda-gym')}", "cases": cases}


def measure_speed(seconds: float) -> dict[str, float]:
    """Return the steps per CPU-second of pick and place with random actions."""
    env = gym.make("PandaPickAndPlace-v3")
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(100)]

    def run() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return {"panda-gym": panda_cases.measure_speed(run, seconds)}


if __name__ == "__main__":
    what, amount = sys.argv[1:]
    print(json.dumps(collect_cases(int(amount)) if what == "cases" else measure_speed(float(amount))))
