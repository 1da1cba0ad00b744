"""The command that prints a robot's URDF for other programs."""

from __future__ import annotations

import dataclasses
import logging
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Literal

import tyro
from typing_extensions import Self

from gym_gazebo2.cli.command import Command
from gym_gazebo2.cli.env_option import RobotKeywords, join_keywords
from gym_gazebo2.options import make_env_robot, read_robot_keywords
from gym_gazebo2.robots import make_description

__all__ = ["Describe"]


@dataclasses.dataclass(frozen=True)
class Describe(Command):
    """Print the URDF of a robot as every engine reads it, with absolute paths of its meshes; launch/robot.launch.py uses it.

    Attributes:
        robot: Name, such as mara; path of a URDF or xacro file, or of the folder "robot" in a run; or ros:/robot_description.
        joint_prefix: Prefix of the joints' names, as in the messages of an arm that has one.
        gripper: Leave the fingers movable. Otherwise they are fixed where the environment holds them.
        only: Print only the robot's name, which is its namespace, or the name of its root link.
        env_kwargs: A keyword of the environment that changes the robot, as in --env.tool_frame tool0.
    """

    robot: tyro.conf.Positional[str] = "mara"
    joint_prefix: str = ""
    gripper: bool = False
    only: Literal["name", "base_link"] | None = None
    env_kwargs: RobotKeywords = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return what to print for some arguments."""
        return super().parse(join_keywords(args), program)

    def run(self) -> None:
        """Print."""
        # The log's line about what was assumed goes to standard error, which launch files take for a failure of the command.
        logging.getLogger("gym_gazebo2.robots").setLevel(logging.ERROR)
        robot = make_env_robot(self.robot, read_robot_keywords(self.env_kwargs), self.gripper)
        if self.only is not None:
            print(getattr(robot, self.only), end="")  # a launch file would take the end of the line as a part of the name
            return
        root = make_description(robot, self.joint_prefix)
        ET.indent(root)
        print(ET.tostring(root, encoding="unicode"))
