"""The scene of ``gym-gazebo2 sim``: that of a task, with the robot and the keywords of the task's environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.options import ROBOT_KEYWORDS
from gym_gazebo2.registration import ENVIRONMENTS
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.scene import Scene
from gym_gazebo2.tasks import TASKS, Task, make_task

__all__ = ["find_environment", "get_defaults", "make_scene", "split_keywords"]


def find_environment(name: str) -> str:
    """Return the id of the environment whose task has a scene.

    Args:
        name: Name of a task, such as "sort", or the id of an environment.

    Raises:
        InvalidArgumentError: No environment has such a task, or the task has no scene.
    """
    for env_id, row in ENVIRONMENTS.items():
        if name in (row.task, env_id) and make_task(row.task).scene is not None:
            return env_id
    known = sorted({row.task for row in ENVIRONMENTS.values() if row.task in TASKS and TASKS[row.task].scene is not None})
    raise InvalidArgumentError("scene", name, f"the name of a task with a scene: {', '.join(known)}")


def get_defaults(env_id: str) -> tuple[str, dict[str, Any]]:
    """Return the robot of an environment, and those of its keywords that change the robot."""
    row = ENVIRONMENTS[env_id]
    return row.robot, {name: value for name, value in row.kwargs.items() if name in ROBOT_KEYWORDS}


def split_keywords(env_id: str, keywords: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keywords of an environment that are options of its task, and the others."""
    options = make_task(ENVIRONMENTS[env_id].task).OPTIONS
    return (
        {name: value for name, value in keywords.items() if name in options},
        {name: value for name, value in keywords.items() if name not in options},
    )


def make_scene(env_id: str, robot: RobotSpec, options: Mapping[str, Any]) -> Scene | None:
    """Return the scene of an environment's task for a robot, as the environment itself makes it.

    Args:
        env_id: Id of the environment.
        robot: The arm.
        options: Options of the task.

    Raises:
        InvalidArgumentError: A value is invalid.
    """
    task: Task = make_task(ENVIRONMENTS[env_id].task).with_options(options)
    return task.bind(Kinematics(robot)).scene
