"""The URDF of a robot for programs that read it from a message or a file elsewhere, such as ``robot_state_publisher``."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from gym_gazebo2.robots.source import read_xml
from gym_gazebo2.robots.spec import RobotSpec

__all__ = ["make_description"]

NAMING = (("joint", "name"), ("joint/mimic", "joint"), ("transmission/joint", "name"))
"""Elements below <robot>, and their attributes that hold the name of a joint."""


def make_description(robot: RobotSpec, joint_prefix: str = "") -> ET.Element:
    """Return the URDF that every engine reads, with whole paths of its meshes.

    Args:
        robot: The robot.
        joint_prefix: Prefix of the joints' names, as in the messages of an arm that has one.

    Raises:
        RobotError: The URDF cannot be read.
    """
    root = read_xml(Path(robot.urdf))
    for mesh in root.iter("mesh"):
        mesh.set("filename", (Path(robot.urdf).parent / mesh.get("filename", "")).as_uri())
    for path, attribute in NAMING:
        for element in root.findall(path):
            element.set(attribute, joint_prefix + element.get(attribute, ""))
    return root
