"""Joints that the environment does not drive: they are held, that is, made fixed at one position in every engine."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from gym_gazebo2.errors import InvalidArgumentError, RobotError
from gym_gazebo2.robots.transforms import make_motion, read_numbers, read_origin, write_origin

__all__ = ["hold_joints"]

UNIT = {"prismatic": "m"}
KEPT = ("origin", "parent", "child")
"""Elements of a joint that still mean something when it is fixed."""


def hold_joints(
    root: ET.Element, driven: Collection[str], chosen: Mapping[str, float], named_pose: Mapping[str, float], path: Path
) -> list[str]:
    """Make every moving joint that is not driven fixed, in place.

    The position is that of ``chosen``, else of ``named_pose``, else zero clipped into the limits. A joint with <mimic> follows
    its master.

    Args:
        root: The URDF.
        driven: Names of the joints that the environment drives.
        chosen: Positions that the row gives [rad or m].
        named_pose: Positions of the SRDF's pose.
        path: The URDF, for errors.

    Returns:
        One phrase per held joint, such as "finger at 0.04 m".

    Raises:
        RobotError: A joint mimics a driven one, or a missing one, or itself.
        InvalidArgumentError: ``chosen`` names a joint that is not held, or a position outside its limits.
    """
    for joint in root.findall("joint"):
        if joint.get("type") == "fixed":
            _strip(joint)  # makers leave <mimic> or <limit> behind when they make a joint fixed
    held = {j.get("name", ""): j for j in root.findall("joint") if j.get("type") != "fixed" and j.get("name") not in driven}
    unknown = set(chosen) - set(held)
    if unknown:
        raise InvalidArgumentError("held", sorted(unknown), f"joints beside the chain to the tool: {', '.join(held) or 'none'}")
    positions = {name: _find_position(name, held, chosen, named_pose, path) for name in held}
    phrases = [f"{name} at {positions[name]:g} {UNIT.get(joint.get('type', ''), 'rad')}" for name, joint in held.items()]
    for name, joint in held.items():
        _fix(joint, positions[name])
    return phrases


def _find_position(
    name: str, held: Mapping[str, ET.Element], chosen: Mapping[str, float], named_pose: Mapping[str, float], path: Path
) -> float:
    """Return the position at which a joint is held [rad or m]."""
    factor, offset, seen = 1.0, 0.0, [name]
    # A follower's position is multiplier · master + offset. A master may itself follow another joint.
    while name not in chosen and (mimic := held[name].find("mimic")) is not None:
        multiplier, shift = float(mimic.get("multiplier", "1")), float(mimic.get("offset", "0"))
        factor, offset = factor * multiplier, offset + factor * shift
        name = mimic.get("joint", "")
        if name in seen or name not in held:
            cause = "which follows it in turn" if name in seen else "which is driven or missing"
            raise RobotError(
                f"Joint {seen[-1]!r} of {str(path)!r} mimics {name!r}, {cause}. Only joints beside the chain to the tool can "
                "follow each other: coupled drives and closed chains are not supported."
            )
        seen.append(name)
    return factor * _choose_position(name, held[name], chosen, named_pose) + offset


def _choose_position(name: str, joint: ET.Element, chosen: Mapping[str, float], named_pose: Mapping[str, float]) -> float:
    lower, upper = _read_limits(joint)
    if name in chosen:
        if not lower <= chosen[name] <= upper:
            raise InvalidArgumentError(f"held[{name!r}]", chosen[name], f"a position between {lower} and {upper}")
        return float(chosen[name])
    position = named_pose.get(name, 0.0)
    return float(np.clip(position, lower, upper)) if np.isfinite(position) else 0.0


def _read_limits(joint: ET.Element) -> tuple[float, float]:
    limit = joint.find("limit")
    if limit is None or joint.get("type") not in ("revolute", "prismatic"):
        return -np.inf, np.inf
    # An attribute that is missing counts as zero: that is what the URDF format says.
    lower, upper = float(limit.get("lower", "0")), float(limit.get("upper", "0"))
    return (lower, upper) if lower <= upper else (-np.inf, np.inf)  # also where one is NaN


def _fix(joint: ET.Element, position: float) -> None:
    joint_type = joint.get("type", "")
    axis = read_numbers(joint.find("axis"), "xyz", "1 0 0")
    # A joint with an invalid axis is held where it is. It does not move, so its axis does not matter.
    has_axis = axis.shape == (3,) and bool(1e-9 < np.linalg.norm(axis) < np.inf)
    if position and has_axis and joint_type in ("revolute", "continuous", "prismatic"):
        write_origin(joint, read_origin(joint) @ make_motion(joint_type, axis, position))
    _strip(joint)
    joint.set("type", "fixed")


def _strip(joint: ET.Element) -> None:
    """Remove what means nothing at a fixed joint."""
    for child in [child for child in joint if child.tag not in KEPT]:
        joint.remove(child)
