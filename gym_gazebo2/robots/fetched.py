"""Robots whose URDF is not a file: the text of a running ROS 2, as in "ros:/robot_description"."""

from __future__ import annotations

import functools
import hashlib
import importlib
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from gym_gazebo2.cache import find_cache
from gym_gazebo2.errors import RobotError
from gym_gazebo2.robots.meshes import write_once
from gym_gazebo2.robots.source import parse_text

__all__ = ["fetch_urdf", "is_fetched"]

SCHEMES = {"ros": "gym_gazebo2.ros.description:fetch_text"}
"""What stands before the colon of a robot's name → "module:function" that returns the text of a URDF for what stands behind it.

The function is imported when it is used: robots know no ROS."""


def is_fetched(robot: str) -> bool:
    """Return whether a robot's name asks for a text from elsewhere."""
    scheme, colon, _ = robot.partition(":")
    return bool(colon) and scheme in SCHEMES


@functools.cache
def fetch_urdf(robot: str) -> Path:
    """Return the path of a copy of the text, in the cache. It is fetched once per process, so that a robot never changes.

    The copy lies in a folder named after its content, and has the name of the robot in the text.

    Args:
        robot: Such as "ros:/robot_description".

    Raises:
        RobotError: The text is no URDF.
        WriteError: The cache cannot be written.
        GymGazebo2Error: The text cannot be fetched; see the function of ``SCHEMES``.
    """
    scheme, _, name = robot.partition(":")
    module, function = SCHEMES[scheme].split(":")
    root = parse_text(getattr(importlib.import_module(module), function)(name), robot)
    if root.tag != "robot":
        raise RobotError(f"{robot!r} is no URDF: its first element is <{root.tag}>, expected <robot>. Check what publishes it.")
    data = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    file = re.sub(r"\W", "_", root.get("name", ""), flags=re.ASCII) or "robot"
    path = find_cache() / "descriptions" / hashlib.sha256(data).hexdigest()[:16] / f"{file}.urdf"
    if not path.is_file():
        write_once(path, data)
    return path
