"""Commands around ROS 2 and Gazebo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from typing_extensions import Self

from gym_gazebo2.cli.command import Command
from gym_gazebo2.cli.env_option import RobotKeywords, join_keywords
from gym_gazebo2.cli.inline import INLINE
from gym_gazebo2.gazebo import install_gazebo
from gym_gazebo2.gazebo.gz_sim import write_gz_sim
from gym_gazebo2.gazebo.serve import find_simulator
from gym_gazebo2.options import make_env_robot, read_robot_keywords
from gym_gazebo2.sim import SimConfig, simulate

__all__ = ["Arguments", "GzSim", "InstallGazebo", "Sim", "parse"]

MODE = tyro.conf.create_mutex_group(required=False)
"""At most one of --lock-step and --real-time."""


@dataclasses.dataclass(frozen=True)
class Arguments(SimConfig):
    """Serve a simulated robot over ROS 2, until Ctrl-C.

    Attributes:
        lock_step: Let time stand still between commands. This is the default.
    """

    robot: tyro.conf.Positional[str | None] = None
    real_time: Annotated[bool, MODE, tyro.conf.FlagCreatePairsOff] = False
    env_kwargs: RobotKeywords = dataclasses.field(default_factory=dict)
    lock_step: Annotated[bool, MODE, tyro.conf.FlagCreatePairsOff] = False


def parse(args: Sequence[str]) -> SimConfig:
    """Return the configuration of a command line; invalid arguments end the program with status 2 and a message."""
    given = tyro.cli(Arguments, args=join_keywords(args), prog="gym-gazebo2 sim")
    return SimConfig(**{field.name: getattr(given, field.name) for field in dataclasses.fields(SimConfig)})


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

    With ``--simulator gz_sim`` it finds today's Gazebo, or prints the commands that install it: they need root or conda.

    Attributes:
        simulator: "gazebo" is Gazebo 11, "gz_sim" is today's Gazebo.
        mirror: Debian mirror to fetch Gazebo 11 from; None takes those of the system's apt configuration.
    """

    simulator: Literal["gazebo", "gz_sim"] = "gazebo"
    mirror: str | None = None

    def run(self) -> None:
        """Find or install, and print where it is."""
        found = install_gazebo(self.mirror) if self.simulator == "gazebo" else find_simulator(self.simulator)
        Console(soft_wrap=True).print(f"Gazebo {found.version}: {found.program}", highlight=False)


@dataclasses.dataclass(frozen=True)
class GzSim(Command):
    """Write what Gazebo Sim needs to serve a robot, and print the robot's description; launch/gz_sim.launch.py uses it.

    Attributes:
        robot: Name, such as mara; path of a URDF or xacro file, or of the folder "robot" in a run; or ros:/robot_description.
        folder: Where robot.urdf, controllers.yaml and world.sdf go.
        namespace: ROS namespace; None is the robot's name.
        control_dt: Control period of the client [s].
        physics_dt: Physics step [s].
        real_time_factor: Speed of simulated time: 1 is real time, 0 is as fast as possible. It is also a limit in lock-step.
        env_kwargs: A keyword of the environment that changes the robot, as in --env.tool_frame tool0.
    """

    robot: tyro.conf.Positional[str] = "mara"
    folder: Path = Path("gz_sim")
    namespace: str | None = None
    control_dt: float = 0.05
    physics_dt: float = 0.001
    real_time_factor: float = 0.0
    env_kwargs: RobotKeywords = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return what to write for some arguments."""
        return super().parse(join_keywords(args), program)

    def run(self) -> None:
        """Write, and print."""
        robot = make_env_robot(self.robot, read_robot_keywords(self.env_kwargs))
        times = (self.control_dt, self.physics_dt, self.real_time_factor)
        print(write_gz_sim(robot, self.folder, self.namespace, *times))
