"""Find the finger joints of a gripper in a URDF, and prepare them to be driven. ``gripper`` makes the specification of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from gym_gazebo2.errors import InvalidArgumentError, RobotError
from gym_gazebo2.robots.limits import CONTINUOUS_LIMIT, read_per_joint
from gym_gazebo2.robots.rows import GripperRow

__all__ = ["Mimics", "find_fingers", "prepare_fingers", "read_mimics"]

Mimics = Mapping[str, tuple[str, float, float]]
"""Joint → (master, multiplier, offset): the joint's position is multiplier · master + offset."""

MOVING = ("revolute", "continuous", "prismatic")


def find_fingers(root: ET.Element, chain: Sequence[ET.Element], row: GripperRow, path: Path) -> list[ET.Element]:
    """Return the joints of the gripper, in the order in which engines list them: depth first.

    They are all moving joints that the last moving joint of the chain carries, or those that the row names and their followers.

    Args:
        root: The URDF.
        chain: Its joints from the root to the tool, fixed ones included.
        row: The gripper's row.
        path: The URDF, for errors.

    Raises:
        RobotError: There are none.
        InvalidArgumentError: The row names a joint that the arm's last joint does not carry.
    """
    moving = [joint for joint in chain if joint.get("type") != "fixed"]
    on_chain = {joint.get("name") for joint in chain}
    beyond = [joint for joint in _list_beyond(root, moving[-1]) if joint.get("name") not in on_chain] if moving else []
    names = [joint.get("name", "") for joint in beyond if joint.get("type") in MOVING]
    chosen = names if row.joints is None else list(row.joints)
    if unknown := [name for name in chosen if name not in names]:
        exists = ", ".join(names) or "none"
        raise InvalidArgumentError("gripper.joints", unknown, f"moving joints beyond the last joint of the arm: {exists}")
    if not chosen:
        raise RobotError(
            f"{str(path)!r} has no gripper: its last joint carries no further moving joint. Use a robot with a gripper, or "
            "another tool_frame."
        )
    mimics = read_mimics(beyond)
    while followers := [name for name in names if name not in chosen and mimics.get(name, ("",))[0] in chosen]:
        chosen += followers
    return [joint for joint in beyond if joint.get("name") in chosen]


def _list_beyond(root: ET.Element, joint: ET.Element) -> list[ET.Element]:
    """Return the joints that a joint carries, depth first, in the order of the file."""
    by_parent: dict[str, list[ET.Element]] = {}
    for other in root.findall("joint"):
        by_parent.setdefault(_get_link(other, "parent"), []).append(other)
    found, waiting = [], [joint]
    while waiting:
        last = waiting.pop()
        found.append(last)
        waiting += reversed(by_parent.get(_get_link(last, "child"), []))
    return found[1:]


def read_mimics(fingers: Sequence[ET.Element]) -> dict[str, tuple[str, float, float]]:
    """Return which fingers follow which joint. Call it before ``prepare_fingers``, which removes the <mimic> elements."""
    mimics = {}
    for joint in fingers:
        mimic = joint.find("mimic")
        if mimic is not None:
            multiplier, offset = float(mimic.get("multiplier", "1")), float(mimic.get("offset", "0"))
            mimics[joint.get("name", "")] = (mimic.get("joint", ""), multiplier, offset)
    return mimics


def prepare_fingers(fingers: Sequence[ET.Element], row: GripperRow, path: Path) -> bool:
    """Give every finger all four limits, and remove <mimic> and friction, in place.

    A finger that mimics another becomes a joint with a drive of its own, whose set-point follows the other's. That is the same
    in every engine: MuJoCo would make a soft constraint of <mimic>, which competes with the contacts of the object that is
    held, and Gazebo 11 has none.

    Args:
        fingers: The finger joints.
        row: The gripper's row.
        path: The URDF, for errors.

    Returns:
        Whether there are fingers.

    Raises:
        RobotError: A finger has no velocity limit or force, and the row gives none; or it mimics a joint that is no finger.
        InvalidArgumentError: The row gives a value for a joint that is no finger, or one that is not positive.
    """
    by_name = {joint.get("name", ""): joint for joint in fingers}
    given = {
        "velocity": ("velocity_limit", read_per_joint("gripper.velocity_limit", row.velocity_limit, list(by_name))),
        "effort": ("force", read_per_joint("gripper.force", row.force, list(by_name))),
    }
    masters = read_mimics(fingers)
    for name, joint in by_name.items():
        limit = joint.find("limit")
        limit = ET.SubElement(joint, "limit") if limit is None else limit
        for key, (option, values) in given.items():
            value = values.get(name) or _find_limit(key, name, by_name, masters, path)
            if not value:
                raise RobotError(
                    f"Finger {name!r} of {str(path)!r} has no {key} limit. Give it in the robot's row: "
                    f"gripper=GripperRow({option}=…)."
                )
            limit.set(key, repr(float(value)))
        if joint.get("type") == "continuous":
            joint.set("type", "revolute")
            limit.set("lower", repr(-CONTINUOUS_LIMIT))
            limit.set("upper", repr(CONTINUOUS_LIMIT))
    for joint in fingers:
        for element in [child for child in joint if child.tag in ("mimic", "dynamics")]:
            joint.remove(element)
    return bool(fingers)


def _find_limit(key: str, name: str, by_name: Mapping[str, ET.Element], mimics: Mimics, path: Path) -> float:
    """Return a limit of a finger. A follower without this limit has that of the joint that it follows. 0 if there is none."""
    seen = [name]
    while not (value := _read_limit(by_name[name], key)) and name in mimics:
        name = mimics[name][0]
        if name not in by_name or name in seen:
            raise RobotError(
                f"Finger {seen[-1]!r} of {str(path)!r} mimics {name!r}, which is not another finger of the gripper, or closes "
                "a loop. Correct its <mimic>, or name the fingers: gripper=GripperRow(joints=…)."
            )
        seen.append(name)
    return value


def _read_limit(joint: ET.Element, key: str) -> float:
    limit = joint.find("limit")
    return 0.0 if limit is None else float(limit.get(key, "0"))


def _get_link(joint: ET.Element, end: str) -> str:
    element = joint.find(end)
    return "" if element is None else element.get("link", "")
