"""Start a gzserver that serves one robot on the ROS 2 contract, with all that it needs found, built and written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gym_gazebo2.gazebo.build import build_plugin
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.locate import find_gazebo
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.gazebo.ros import find_ros
from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.robots import RobotSpec

__all__ = ["DISCOVERY", "LOCALHOST", "local_discovery", "start_robot"]

DISCOVERY, LOCALHOST = "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"


@contextlib.contextmanager
def local_discovery() -> Iterator[None]:
    """Restrict the contexts that start meanwhile to this machine; the user's own stay as they are."""
    before = os.environ.get(DISCOVERY)
    os.environ[DISCOVERY] = LOCALHOST
    try:
        yield
    finally:
        os.environ.pop(DISCOVERY)
        if before is not None:
            os.environ[DISCOVERY] = before


def start_robot(robot: RobotSpec, domain_id: int, log: Path | None = None, **world: Any) -> GazeboServer:
    """Start a server; it may not be ready yet. The plug-in is built on first use, which takes about half a minute.

    ROS discovery is that of this process: with ``ROS_AUTOMATIC_DISCOVERY_RANGE`` unset, this machine only.

    Args:
        robot: The arm.
        domain_id: ROS domain.
        log: File for the server's output; None keeps it until the server ends.
        **world: Further arguments of ``make_world``.

    Raises:
        InvalidArgumentError: A number cannot work.
        GazeboError: Gazebo or ROS 2 is missing, or the plug-in cannot be built.
        BackendError: The server cannot be started.
    """
    gazebo, ros = find_gazebo(), find_ros()
    if gazebo is None:
        raise GazeboError("Gazebo 11 is not installed. Install it, without root, with: gym-gazebo2 install-gazebo")
    text = make_world(robot, build_plugin(gazebo, ros), **world)
    local = {DISCOVERY: os.environ.get(DISCOVERY, LOCALHOST)}
    return GazeboServer(gazebo, text, {**ros.make_environment(), **local, "ROS_DOMAIN_ID": str(domain_id)}, log)
