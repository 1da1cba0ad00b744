"""gym_gazebo2: train robot arms in fast embedded physics, prove the policy in Gazebo over ROS 2, run it on the robot.

``import gym_gazebo2`` registers the environment ids. It imports neither a physics engine nor ROS: each public name is
imported from its module when it is first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import Any

from gym_gazebo2.registration import ENVIRONMENTS, EnvRow, register_env, register_envs

__version__ = "0.1.0"

# Public name → the module of this package that defines it.
_EXPORTS = {
    "ROBOTS": "robots",
    "GripperRow": "robots",
    "RobotRow": "robots",
    "RobotSpec": "robots",
    "make_robot": "robots",
    "register_robot": "robots",
    "TASKS": "tasks",
    "Measure": "tasks",
    "ReachTask": "tasks",
    "Task": "tasks",
    "register_task": "tasks",
    "BACKENDS": "backends",
    "Backend": "backends",
    "register_backend": "backends",
    "ArmState": "state",
    "CONTROLS": "controls",
    "Control": "controls",
    "register_control": "controls",
    "EnvOptions": "options",
    "Randomize": "randomize",
    "ArmEnv": "env",
    "ArmVectorEnv": "vector_env",
    "Kinematics": "kinematics",
    "compute_joint_step": "inverse_kinematics",
    "compute_tool_step": "inverse_kinematics",
}

__all__ = ["ENVIRONMENTS", "EnvRow", "__version__", "register_env", "register_envs", *_EXPORTS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used.

    Raises:
        AttributeError: The package has no such name.
    """
    if name not in _EXPORTS:
        raise AttributeError(f"module 'gym_gazebo2' has no attribute {name!r}")
    return getattr(importlib.import_module(f"gym_gazebo2.{_EXPORTS[name]}"), name)


register_envs()
