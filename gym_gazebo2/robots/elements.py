"""Check the elements of a URDF before they are read: names, required children, and numbers in every attribute that has them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gym_gazebo2.errors import RobotError

__all__ = ["JOINT_TYPES", "check_elements"]

JOINT_TYPES = ("revolute", "continuous", "prismatic", "fixed", "floating", "planar")

# Element → attribute → how many numbers it has, and whether it must be there.
NUMBERS: dict[str, dict[str, tuple[int, bool]]] = {
    "origin": {"xyz": (3, False), "rpy": (3, False)},
    "axis": {"xyz": (3, True)},
    "limit": {name: (1, False) for name in ("lower", "upper", "velocity", "effort")},
    "mimic": {"multiplier": (1, False), "offset": (1, False)},
    "mass": {"value": (1, True)},
    "inertia": {name: (1, True) for name in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")},
}
SINGLE = ("link", "joint", "inertial", "visual", "collision", "geometry")
"""Elements whose children must not repeat."""
SHAPES = ("visual", "collision")
SIZES: dict[str, dict[str, tuple[int, bool]]] = {
    "box": {"size": (3, True)},
    "cylinder": {"radius": (1, True), "length": (1, True)},
    "sphere": {"radius": (1, True)},
    "mesh": {"scale": (3, False)},
}


def check_elements(root: ET.Element, path: Path) -> None:
    """Check the elements that this package reads.

    Raises:
        RobotError: The root is not <robot>, it has no links, or an element lacks a name, a child or a number.
    """
    if root.tag != "robot":
        raise RobotError(f"{str(path)!r} has the root element <{root.tag}>, expected <robot>. Give a URDF or xacro file.")
    if root.find("link") is None:
        advice = "It is a part for other xacro files: give the file that includes it." if _is_xacro(root) else "Add its links."
        raise RobotError(f"{str(path)!r} has no <link>. {advice}")
    for element in root:
        if element.tag in ("link", "joint"):
            subject = _check_name(element, path)
            _check_single(element, subject)
            for numbers in _list_numbers(element):
                _check_numbers(numbers, subject)
    for link in root.findall("link"):
        _check_shapes(link, _describe(link, path))
    for joint in root.findall("joint"):
        _check_joint(joint, _describe(joint, path))


def _is_xacro(root: ET.Element) -> bool:
    # ET shows a namespace only where an element uses it, and it drops comments. So a xacro file may have no visible elements:
    # a root without children is taken for xacro.
    return True if not len(root) else any("xacro" in str(element.tag) for element in root.iter())


def _describe(element: ET.Element, path: Path) -> str:
    return f"{element.tag.capitalize()} {element.get('name')!r} of {str(path)!r}"


def _check_name(element: ET.Element, path: Path) -> str:
    if not (element.get("name") or "").strip():
        raise RobotError(f"A <{element.tag}> of {str(path)!r} has no name. Give each link and joint a name.")
    return _describe(element, path)


def _list_numbers(element: ET.Element) -> Iterator[ET.Element]:
    return (child for child in element.iter() if child.tag in NUMBERS or child.tag in SIZES)


def _check_single(element: ET.Element, subject: str) -> None:
    """Check that an element, and those inside it, have one of each child at most, except shapes."""
    for inner in element.iter():
        tags = [child.tag for child in inner if child.tag not in SHAPES]
        repeated = [str(tag) for tag in dict.fromkeys(tags) if tags.count(tag) > 1]
        if repeated and inner.tag in SINGLE:
            inside = "" if inner is element else f" in its <{inner.tag}>"
            raise RobotError(f"{subject} has several <{repeated[0]}>{inside}, expected one. Remove the others.")


def _check_numbers(element: ET.Element, subject: str) -> None:
    for attribute, (count, is_required) in {**NUMBERS, **SIZES}[element.tag].items():
        text = element.get(attribute)
        if text is None and not is_required:
            continue
        expected = "a number" if count == 1 else f"{count} numbers"
        given = f"no {attribute}" if text is None else f"{attribute}={text!r}"
        values = _read_values(text or "")
        if len(values) != count:
            raise RobotError(f"{subject} is malformed: its <{element.tag}> has {given}, expected {expected}.")
        if element.tag == "origin" and not np.isfinite(values).all():
            raise RobotError(f"{subject} has an <origin> with {given}, expected finite numbers. Correct it.")
        if element.tag in SIZES and not _is_size(element.tag, values):
            raise RobotError(f"{subject} has a <{element.tag}> with {given}, expected {expected}, finite and above zero.")


def _read_values(text: str) -> list[float]:
    """Return the numbers of a text, none if one is malformed."""
    # Python takes digits of every script, and 1_000. XML readers in C++ do not.
    if not text.isascii() or "_" in text:
        return []
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return []


def _is_size(tag: str, values: list[float]) -> bool:
    # A mesh may be mirrored by a negative scale. Nothing of an arm is a kilometre long.
    sizes = np.abs(values) if tag == "mesh" else np.array(values)
    return bool(np.all((sizes > 0.0) & (sizes < 1000.0)))


def _check_shapes(link: ET.Element, subject: str) -> None:
    for shape in (*link.findall("visual"), *link.findall("collision")):
        geometry = shape.find("geometry")
        kinds = [] if geometry is None else [child.tag for child in geometry if child.tag in SIZES]
        if geometry is None or len(kinds) != 1:
            found = "" if geometry is None else ", ".join(str(child.tag) for child in geometry)
            raise RobotError(
                f"{subject} has a <{shape.tag}> with the shapes [{found}], expected one of {', '.join(SIZES)}. Replace it."
            )
        if kinds == ["mesh"] and not geometry.find("mesh").get("filename"):  # type: ignore[union-attr]
            raise RobotError(f"{subject} has a <mesh> without a filename. Name its file.")
    for element, child in (("inertial", "mass"), ("inertial", "inertia")):
        for inertial in link.findall(element):
            if child == "mass" and inertial.find(child) is None:
                raise RobotError(f"{subject} has an <inertial> without <{child}>. Add it, or remove the <inertial>.")


def _check_joint(joint: ET.Element, subject: str) -> None:
    for end in ("parent", "child"):
        element = joint.find(end)
        if element is None or not element.get("link"):
            raise RobotError(f'{subject} has no {end} link. Add <{end} link="…"/>.')
    if joint.get("type") not in JOINT_TYPES:
        raise RobotError(f"{subject} has the type {joint.get('type')!r}, expected one of {', '.join(JOINT_TYPES)}.")
    mimic = joint.find("mimic")
    if mimic is not None and not mimic.get("joint"):
        raise RobotError(f'{subject} has a <mimic> without a joint. Add joint="…".')
