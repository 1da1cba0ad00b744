"""Measure Reach-v0 without learning: how many goals an arm reaches that follows the joint step of its observation.

``python -m benchmarks.reach --robots panda ur5e`` prints a row per arm. A trained policy should do at least as well.
"""

from __future__ import annotations

import dataclasses

import gymnasium as gym
import numpy as np
import tyro

import gym_gazebo2  # noqa: F401, registers the ids

STEPS = 99
"""Steps before the vector environment starts the next episode by itself."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Follow the joint step.

    Attributes:
        robots: Names of robots, or paths of URDFs.
        runs: Episodes per robot, all at once.
        start_noise: Half-width of the noise on the start pose [rad].
    """

    robots: tuple[str, ...] = ("mara", "panda", "ur5e")
    runs: int = 100
    start_noise: float = 0.1


def follow(robot: str, runs: int, start_noise: float) -> dict[str, float]:
    """Return the success rate, the share of episodes with contact, and the 95th percentile of the distance [m]."""
    envs = gym.make_vec("Reach-v0", num_envs=runs, robot=robot, start_noise=start_noise)
    observations, _ = envs.reset(seed=0)
    dof, has_collided = envs.unwrapped.core.robot.dof, np.zeros(runs, dtype=bool)
    for _ in range(STEPS):
        step = observations[:, dof : 2 * dof]
        observations, *_, infos = envs.step(step / np.maximum(1.0, np.abs(step).max(axis=1, keepdims=True)))
        has_collided |= infos["in_collision"]
    envs.close()
    distance = np.quantile(infos["position_error"], 0.95)
    return {"success": infos["is_success"].mean(), "contact": has_collided.mean(), "distance": float(distance)}


def main() -> None:
    """Follow, print."""
    args = tyro.cli(Arguments)
    for robot in args.robots:
        row = follow(robot, args.runs, args.start_noise)
        print(
            f"{robot:20} success {row['success']:4.0%}   contact in {row['contact']:4.0%}   "
            f"95 % within {1e3 * row['distance']:.3g} mm",
            flush=True,
        )


if __name__ == "__main__":
    main()
