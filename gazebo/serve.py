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

__all__ = ["DISCOVERY", "LOCALHOST", "local_discovery", "make_default", "make_local", "start_robot"]

DISCOVERY, LOCALHOST = "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"


def make_local() -> dict[str, str]:
    """Return the variables that restrict discovery to this machine; Humble knows only a name that later ones warn of."""
    older = {"ROS_LOCALHOST_ONLY": "1"} if os.environ.get("ROS_DISTRO") == "humble" else {}
    return {DISCOVERY: LOCALHOST, **older}


def make_default() -> dict[str, str]:
    """Return the same where the user says nothing else, and nothing where ``ROS_AUTOMATIC_DISCOVERY_RANGE`` is set."""
    local = {} if DISCOVERY in os.environ else make_local()
    return {name: os.environ.get(name, value) for name, value in local.items()}


@contextlib.contextmanager
def local_discovery() -> Iterator[None]:
    """Restrict the contexts that start meanwhile to this machine; the user's own stay as they are."""
    local = make_local()
    before = {name: os.environ.get(name) for name in local}
    os.environ.update(local)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


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
    return GazeboServer(gazebo, text, {**ros.make_environment(), **make_default(), "ROS_DOMAIN_ID": str(domain_id)}, log)
