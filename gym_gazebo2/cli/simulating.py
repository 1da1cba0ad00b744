"""Commands around ROS 2 and Gazebo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rich.console import Console
from typing_extensions import Self

from gym_gazebo2.cli.command import Command, narrow
from gym_gazebo2.gazebo import install_gazebo
from gym_gazebo2.sim import SimConfig, parse, simulate

__all__ = ["InstallGazebo", "Sim"]


@dataclasses.dataclass(frozen=True)
class Sim(SimConfig, Command):
    """Serve a robot on the ROS 2 contract, until Ctrl-C."""

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the simulation that arguments ask for."""
        return cls(**vars(parse(args)))

    def run(self) -> None:
        """Serve."""
        simulate(narrow(self, SimConfig))


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
