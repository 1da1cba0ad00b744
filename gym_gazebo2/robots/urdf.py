"""Read a URDF: its elements, and the joints from its root to the tool."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import RobotError

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["find_chain", "fold_fixed_joints", "parse_urdf"]

Array = NDArray[np.float64]


def parse_urdf(path: Path) -> tuple[yourdfpy.Robot, dict[str, float]]:
    """Return the parsed URDF, and joint name → rotor inertia as seen at the joint [kg·m²].

    Raises:
        RobotError: The URDF is malformed.
    """
    import yourdfpy

    try:
        tree = ET.parse(path)
        robot = yourdfpy.URDF.load(str(path), load_meshes=False, build_scene_graph=False).robot
        rotor = {}
        # yourdfpy reads a transmission but drops its actuator's rotor inertia and reduction, so they are read here.
        for transmission in tree.getroot().iter("transmission"):
            joint = transmission.find("joint")
            inertia = float(transmission.findtext(".//rotorInertia", "0"))
            reduction = float(transmission.findtext(".//mechanicalReduction", "1"))
            # A rotor behind a gear of ratio N turns N times as fast as the joint, so its inertia appears N² times as large.
            if joint is not None:
                rotor[joint.attrib["name"]] = inertia * reduction**2
    # yourdfpy raises all of these for malformed elements, depending on the element.
    except (ET.ParseError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise RobotError(f"The URDF {str(path)!r} is malformed: {error}. Check it with check_urdf or an XML editor.") from error
    return robot, rotor


def find_chain(robot: yourdfpy.Robot, tool_frame: str, path: Path) -> list[yourdfpy.Joint]:
    """Return the joints from the root link to the tool frame, fixed ones included.

    Raises:
        RobotError: No joint leads to the tool frame.
    """
    # From the tool upwards, the way is unique: every link has one parent at most. check_tree has made sure of that.
    by_child = {joint.child: joint for joint in robot.joints}
    if tool_frame not in by_child:
        exists = ", ".join(link.name for link in robot.links)
        raise RobotError(f"{str(path)!r} has no joint that leads to the tool frame {tool_frame!r}. Its links are: {exists}.")
    chain: list[yourdfpy.Joint] = []
    link = tool_frame
    while link in by_child:
        chain.insert(0, by_child[link])
        link = by_child[link].parent
    return chain


def fold_fixed_joints(chain: Sequence[yourdfpy.Joint]) -> tuple[Array, Array]:
    """Return the moving joints' poses in the frame of the previous one (dof, 4, 4), and the tool's in the last one (4, 4)."""
    # T collects the constant transforms since the last moving joint.
    offsets, T = [], np.eye(4)
    for joint in chain:
        T = T @ (np.eye(4) if joint.origin is None else joint.origin)
        if joint.type != "fixed":
            offsets.append(T)
            T = np.eye(4)
    return np.array(offsets), T
