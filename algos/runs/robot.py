"""The copy of its robot that a run keeps in its folder, where the robot is not one of this package's."""

from __future__ import annotations

from pathlib import Path

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.settings.env_keywords import find_env_robot, has_own_robot
from gym_gazebo2.robots import PackedRobot, is_stored, pack_robot, store_robot

__all__ = ["find_stored_robot", "keep_robot", "pack_own_robot"]

FOLDER = "robot"
"""Name of the folder in the run's folder."""


def keep_robot(run: Path, config: ResolvedConfig) -> None:
    """Store the robot of a training in the run's folder, unless it is there, is built in, or there is none.

    Args:
        run: The run's folder.
        config: The training's configuration.

    Raises:
        RobotError: A file of the robot is missing.
        WriteError: The folder cannot be written.
    """
    if find_stored_robot(run) is not None or not has_own_robot(config.env, config.make_kwargs):
        return
    robot = find_env_robot(config.env, config.make_kwargs)
    if robot is not None:
        store_robot(robot, run / FOLDER)


def pack_own_robot(config: ResolvedConfig) -> PackedRobot | None:
    """Return the files of a training's robot, for machines without them; None if it is built in, or there is none.

    Raises:
        RobotError: A file of the robot is missing.
    """
    if not has_own_robot(config.env, config.make_kwargs):
        return None
    robot = find_env_robot(config.env, config.make_kwargs)
    return None if robot is None else pack_robot(robot)


def find_stored_robot(run: Path) -> str | None:
    """Return the path of the robot that a run stores; None if it stores none."""
    folder = run.absolute() / FOLDER
    return str(folder) if is_stored(folder) else None
