"""What gym_gazebo2 needs of ROS 2. Only this package imports rclpy. It contains nothing about arms, tasks or simulators.

``graph`` is a node with its executor, and the one function that waits for messages, with a time limit. ``topics`` holds
names, types and quality of service of the contract, that is of the topics in docs/gazebo.md. ``discovery`` chooses domains
and how far a node looks for others. ``installation`` finds the ROS 2 that the C++ plug-in is built with.
The last two work without rclpy, so the names below are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "graph": ("Graph", "get_middleware"),
    "topics": (
        *("Clock", "Duration", "Empty", "JointState", "JointTrajectory", "JointTrajectoryPoint", "String", "Time"),
        *("Topics", "WrenchStamped", "from_ns", "to_ns"),
    ),
    "discovery": ("Domain", "check_domain", "local_discovery", "make_default", "make_local", "read_domain"),
    "installation": ("RosInstallation", "find_ros"),
}
_EXPORTS = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_EXPORTS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used.

    Raises:
        MissingDependencyError: The name needs rclpy, which is not installed.
    """
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
