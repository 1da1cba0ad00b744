"""Read a URDF: its elements, and the joints from its root to the tool."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import RobotError

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["choose_tool_frame", "find_chain", "find_joint", "fold_fixed_joints", "parse_urdf", "read_rotors"]

Array = NDArray[np.float64]

USUAL_TOOL_FRAMES = ("ee_link", "tool0", "tcp", "tool_frame", "panda_hand_tcp", "fr3_hand_tcp", "gripper_frame_link")
"""Links that are taken as the tool frame if none is named, in this order."""


def parse_urdf(root: ET.Element, path: Path) -> yourdfpy.Robot:
    """Return the links and joints of a URDF.

    Args:
        root: Its root element.
        path: The file, for errors.

    Raises:
        RobotError: The URDF is malformed.
    """
    import yourdfpy

    used = ET.Element(root.tag, root.attrib)
    used.extend([element for element in root if element.tag in ("link", "joint")])
    try:
        return yourdfpy.URDF.load(io.BytesIO(ET.tostring(used)), load_meshes=False, build_scene_graph=False).robot
    # yourdfpy raises all of these for malformed elements, depending on the element.
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise RobotError(f"{str(path)!r} is malformed: {error}. Check it with check_urdf or an XML editor.") from error


def read_rotors(root: ET.Element, path: Path) -> dict[str, float]:
    """Return joint name → rotor inertia as seen at the joint [kg·m², or kg], of the joints for which the URDF has one.

    Raises:
        RobotError: A number is malformed.
    """
    rotors = {}
    # yourdfpy reads a transmission but drops its actuator's rotor inertia and reduction, so they are read here.
    for transmission in root.iter("transmission"):
        joint, inertia = transmission.find("joint"), transmission.findtext(".//rotorInertia")
        if joint is None or inertia is None:
            continue
        try:
            reduction = float(transmission.findtext(".//mechanicalReduction", "1"))
            # A rotor behind a gear of ratio N turns N times as fast as the joint, so its inertia appears N² times as large.
            rotors[joint.get("name", "")] = float(inertia) * reduction**2
        except (ValueError, OverflowError) as error:
            name = joint.get("name")
            raise RobotError(f"The transmission of {name!r} in {str(path)!r} is malformed: {error}. Correct it.") from error
    return rotors


def choose_tool_frame(robot: yourdfpy.Robot, tool_frame: str | None, path: Path) -> str:
    """Return the tool frame: the given one, else a link with a usual name, else the only leaf link (without a child joint).

    Raises:
        RobotError: ``tool_frame`` is None, and there are several leaf links.
    """
    if tool_frame is not None:
        return tool_frame
    names = [link.name for link in robot.links]
    for name in USUAL_TOOL_FRAMES:
        if name in names:
            return name
    parents = {joint.parent for joint in robot.joints}
    last = [name for name in names if name not in parents]
    if len(last) != 1:
        raise RobotError(
            f"{str(path)!r} has several links at the end of a chain: {', '.join(last)}. Name the tool's link with tool_frame."
        )
    return last[0]


def find_chain(robot: yourdfpy.Robot, tool_frame: str, path: Path) -> list[yourdfpy.Joint]:
    """Return the joints from the root link to the tool frame, fixed ones included.

    Raises:
        RobotError: No joint leads to the tool frame.
    """
    # From the tool upwards, the way is unique: every link has one parent at most. check_tree has made sure of that.
    by_child = {joint.child: joint for joint in robot.joints}
    if tool_frame not in by_child:
        exists = ", ".join(link.name for link in robot.links)
        raise RobotError(
            f"{str(path)!r} has no joint that leads to the tool frame {tool_frame!r}. Choose one of its links with tool_frame: "
            f"{exists}."
        )
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


def find_joint(link: str, robot: yourdfpy.Robot, moving: Sequence[str]) -> tuple[int, Array]:
    """Return the index of the joint that carries a link, −1 for the base, and the link's pose (4, 4) in that joint's frame.

    Args:
        link: Name of the link.
        robot: The URDF.
        moving: Names of the moving joints, in order.
    """
    by_child = {joint.child: joint for joint in robot.joints}
    T = np.eye(4)
    while link in by_child:
        joint = by_child[link]
        if joint.name in moving:
            return list(moving).index(joint.name), T
        T = T if joint.origin is None else joint.origin @ T
        link = joint.parent
    return -1, T
