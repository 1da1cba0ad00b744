"""Commands around ROS 2 and Gazebo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from typing_extensions import Self

from gym_gazebo2.cli.command import Command
from gym_gazebo2.cli.inline import INLINE
from gym_gazebo2.gazebo import install_gazebo
from gym_gazebo2.gazebo.gz_sim import write_gz_sim
from gym_gazebo2.robots import make_robot
from gym_gazebo2.sim import SimConfig, parse, simulate

__all__ = ["GzSim", "InstallGazebo", "Sim"]


@dataclasses.dataclass(frozen=True)
class Sim(Command):
    """Serve a simulated robot over ROS 2, until Ctrl-C or SIGTERM.

    Attributes:
        settings: What to serve, and how.
    """

    settings: Annotated[SimConfig, INLINE]

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the simulation that arguments ask for."""
        return cls(parse(args))

    def run(self) -> None:
        """Serve."""
        simulate(self.settings)


@dataclasses.dataclass(frozen=True)
class InstallGazebo(Command):
    """Find the system's Gazebo 11, or install it into the user's cache, without root (x86-64 Linux).

    Attributes:
        mirror: Debian mirror to fetch from; None takes those of the system's apt configuration.
    """

    mirror: str | None = None

    def run(self) -> None:
        """Install, and say where it is."""
        gazebo = install_gazebo(self.mirror)
        Console(soft_wrap=True).print(f"Gazebo {gazebo.version}: {gazebo.gzserver}", highlight=False)


@dataclasses.dataclass(frozen=True)
class GzSim(Command):
    """Write what Gazebo Sim needs to serve a robot, and print the robot's description; launch/gz_sim.launch.py uses it.

    Attributes:
        robot: Robot of the table.
        folder: Where robot.urdf, controllers.yaml and world.sdf go.
        namespace: ROS namespace; None is the robot's name.
        control_dt: Control period of the client [s].
        physics_dt: Physics step [s].
    """

    robot: tyro.conf.Positional[str] = "mara"
    folder: Path = Path("gz_sim")
    namespace: str | None = None
    control_dt: float = 0.05
    physics_dt: float = 0.001

    def run(self) -> None:
        """Write, and print."""
        print(write_gz_sim(make_robot(self.robot), self.folder, self.namespace, self.control_dt, self.physics_dt))
