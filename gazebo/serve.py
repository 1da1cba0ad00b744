"""Start a server that serves one robot on the ROS 2 contract: find simulator and ROS 2, build the plug-in, write the world."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gym_gazebo2.gazebo.build import build_plugin
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.gz_locate import INSTALL_GZ_SIM, find_gz_sim
from gym_gazebo2.gazebo.gz_world import make_gz_world
from gym_gazebo2.gazebo.installation import Installation
from gym_gazebo2.gazebo.locate import find_gazebo
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros.discovery import make_default
from gym_gazebo2.ros.installation import find_ros
from gym_gazebo2.scene import Scene

__all__ = ["SIMULATORS", "Simulator", "find_simulator", "start_robot"]


@dataclasses.dataclass(frozen=True)
class Simulator:
    """A row of ``SIMULATORS``.

    Attributes:
        find: Returns the installation, or None.
        missing: Error message where there is no installation.
        make_world: Returns the world of a robot, given the plug-in's path.
    """

    find: Callable[[], Installation | None]
    missing: str
    make_world: Callable[..., str]


SIMULATORS = {
    "gazebo": Simulator(
        find_gazebo,
        "Gazebo 11 is not installed. Install it, without root, with: gym-gazebo2 install-gazebo",
        make_world,
    ),
    "gz_sim": Simulator(
        find_gz_sim,
        f"gz-sim (Fortress, Harmonic, Ionic or Jetty) is not installed, or not on the PATH. Install it with: {INSTALL_GZ_SIM}",
        make_gz_world,
    ),
}
"""The simulators that the plug-in is built for, by the name of their backend and provider."""


def find_simulator(simulator: str) -> Installation:
    """Return the installation of a row of ``SIMULATORS``.

    Raises:
        GazeboError: It is not installed; the message has the command that installs it.
    """
    row = SIMULATORS[simulator]
    installation = row.find()
    if installation is None:
        raise GazeboError(row.missing)
    return installation


def start_robot(
    robot: RobotSpec,
    domain_id: int,
    log: Path | None = None,
    *,
    simulator: str = "gazebo",
    scene: Scene | None = None,
    **world: Any,
) -> GazeboServer:
    """Start a server; it may not be ready yet. The plug-in is built on first use, which takes about half a minute.

    The server's ROS discovery is that of this process: only this machine, unless ``ROS_AUTOMATIC_DISCOVERY_RANGE`` is set.

    Args:
        robot: The arm.
        domain_id: ROS domain.
        log: File for the server's output; None keeps the output in a temporary folder until the server ends.
        simulator: Key of ``SIMULATORS``.
        scene: What stands around the arm; None: only the floor.
        **world: Further arguments of ``make_world`` or ``make_gz_world``.

    Raises:
        InvalidArgumentError: A number is out of range.
        GazeboError: The simulator is missing, or the plug-in cannot be built.
        RosError: ROS 2 is missing.
        BackendError: The server cannot be started.
    """
    installation, ros = find_simulator(simulator), find_ros()
    text = SIMULATORS[simulator].make_world(robot, build_plugin(installation, ros), scene=scene, **world)
    return GazeboServer(installation, text, {**ros.make_environment(), **make_default(), "ROS_DOMAIN_ID": str(domain_id)}, log)
