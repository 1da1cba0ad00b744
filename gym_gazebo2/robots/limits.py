"""Limits of the driven joints: those of the URDF, completed by the row where the URDF has none."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gym_gazebo2.errors import InvalidArgumentError, RobotError
from gym_gazebo2.robots.rows import PerJoint, RobotRow

__all__ = ["CONTINUOUS_LIMIT", "complete_limits", "read_per_joint"]

CONTINUOUS_LIMIT = 8.0 * np.pi
"""A joint without limits may turn this far from zero, in both directions: four turns [rad]. A default episode of 5 s at 3 rad/s
covers less, and a whole number of turns keeps uniform positions uniform on the circle."""


def complete_limits(joints: Sequence[ET.Element], row: RobotRow, path: Path) -> bool:
    """Give every driven joint all four limits, in place, and remove its friction.

    Where the URDF has no velocity or effort limit, or a limit of zero, the row's is used. A limit that the row gives by joint
    name always replaces the URDF's.

    Args:
        joints: The joints that the environment drives.
        row: The robot's row.
        path: The URDF, for errors.

    Returns:
        Whether anything was changed.

    Raises:
        RobotError: A joint is floating or planar, or has no velocity or effort limit, and the row gives none.
        InvalidArgumentError: The row gives a value for a joint that is not driven, or one that is not positive.
    """
    names = [joint.get("name", "") for joint in joints]
    given = {"velocity": read_per_joint("velocity_limit", row.velocity_limit, names)}
    given["effort"] = read_per_joint("effort_limit", row.effort_limit, names)
    before = [ET.tostring(joint) for joint in joints]
    for joint in joints:
        _make_revolute(joint, path)
        _refuse_follower(joint, path)
        # The drive compensates the joint's friction, as it compensates the weight of the links (docs/semantics.md).
        for dynamics in joint.findall("dynamics"):
            joint.remove(dynamics)
        for key, values in given.items():
            _complete(joint, key, values, isinstance(getattr(row, f"{key}_limit"), tuple), path)
    return before != [ET.tostring(joint) for joint in joints]


def read_per_joint(option: str, value: PerJoint, names: Sequence[str]) -> Mapping[str, float]:
    """Return the values that a row gives, by joint name.

    Raises:
        InvalidArgumentError: A value is not a positive number, or a joint is not among ``names``.
    """
    if isinstance(value, int | float):
        value = dict.fromkeys(names, float(value))
    values = dict(value or {})
    for name, number in values.items():
        if name not in names:
            raise InvalidArgumentError(option, name, f"values of the joints {', '.join(names)}")
        # rotor_inertia may be zero; a speed or a torque may not.
        if not (0.0 < number < np.inf or (option == "rotor_inertia" and number == 0.0)):
            raise InvalidArgumentError(f"{option} of {name!r}", number, "a positive number")
    return values


def _make_revolute(joint: ET.Element, path: Path) -> None:
    if joint.get("type") in ("floating", "planar"):
        raise RobotError(
            f"Joint {joint.get('name')!r} of {str(path)!r} is {joint.get('type')!r}, expected 'revolute', 'continuous' or "
            "'prismatic' between the root and the tool frame. Replace it by joints of these types."
        )
    if joint.get("type") == "continuous":
        limit = joint.find("limit")
        limit = ET.SubElement(joint, "limit") if limit is None else limit
        limit.set("lower", repr(-CONTINUOUS_LIMIT))
        limit.set("upper", repr(CONTINUOUS_LIMIT))
        joint.set("type", "revolute")


def _refuse_follower(joint: ET.Element, path: Path) -> None:
    mimic = joint.find("mimic")
    if mimic is not None:
        raise RobotError(
            f"Joint {joint.get('name')!r} of {str(path)!r} is between the root and the tool, and mimics "
            f"{mimic.get('joint')!r}. Coupled drives and closed chains are not supported."
        )


def _complete(joint: ET.Element, key: str, values: Mapping[str, float], is_named: bool, path: Path) -> None:
    """Set one limit of a joint: a value given by joint name always counts, a common one only where the URDF has none."""
    limit, name = joint.find("limit"), joint.get("name", "")
    if limit is None:
        return  # the check of the joints names all four attributes
    has_own = bool(float(limit.get(key, "0")))
    if name in values and (is_named or not has_own):
        limit.set(key, repr(float(values[name])))
    elif not has_own:
        given = "no" if limit.get(key) is None else f"a {key} limit of 0, which is no"
        raise RobotError(
            f"Joint {name!r} of {str(path)!r} has {given} {key} limit. Give {key}_limit=… for all such joints, or "
            f"--env.robot_options.{key}_limit.{name} VALUE for this one."
        )
