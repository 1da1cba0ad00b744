"""Start a gzserver that serves one robot on the ROS 2 contract: find Gazebo and ROS 2, build the plug-in, write the world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gym_gazebo2.gazebo.build import build_plugin
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.locate import find_gazebo
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros.discovery import make_default
from gym_gazebo2.ros.installation import find_ros

__all__ = ["start_robot"]


def start_robot(robot: RobotSpec, domain_id: int, log: Path | None = None, **world: Any) -> GazeboServer:
    """Start a server; it may not be ready yet. The plug-in is built on first use, which takes about half a minute.

    The server's ROS discovery is that of this process: only this machine, unless ``ROS_AUTOMATIC_DISCOVERY_RANGE`` is set.

    Args:
        robot: The arm.
        domain_id: ROS domain.
        log: File for the server's output; None keeps the output in a temporary folder until the server ends.
        **world: Further arguments of ``make_world``.

    Raises:
        InvalidArgumentError: A number is out of range.
        GazeboError: Gazebo is missing, or the plug-in cannot be built.
        RosError: ROS 2 is missing.
        BackendError: The server cannot be started.
    """
    gazebo, ros = find_gazebo(), find_ros()
    if gazebo is None:
        raise GazeboError("Gazebo 11 is not installed. Install it, without root, with: gym-gazebo2 install-gazebo")
    text = make_world(robot, build_plugin(gazebo, ros), **world)
    return GazeboServer(gazebo, text, {**ros.make_environment(), **make_default(), "ROS_DOMAIN_ID": str(domain_id)}, log)
