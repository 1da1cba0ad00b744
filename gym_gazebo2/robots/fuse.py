"""Fuse the links that fixed joints connect: one body per moving joint, with the inertia of all of its links.

A URDF holds many links that are frames, covers or sensors, often without a proper inertia. Physics engines need an inertia
for each body that moves, and solve faster with fewer bodies. These links stay: the root, the links on the way to the tool, and
links with collision shapes, since pairs of links are excluded from collisions by name.
"""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import RobotError
from gym_gazebo2.robots.transforms import format_numbers, read_origin, write_origin

__all__ = ["fuse_links", "has_improper_inertia"]

Array = NDArray[np.float64]

INERTIA = (("ixx", 0, 0), ("ixy", 0, 1), ("ixz", 0, 2), ("iyy", 1, 1), ("iyz", 1, 2), ("izz", 2, 2))


@dataclasses.dataclass(frozen=True)
class Body:
    """A mass with its centre and its inertia about it, in the frame of a link.

    Attributes:
        mass: Mass [kg].
        com: (3,) centre of mass [m].
        inertia: (3, 3) inertia about the centre of mass [kg·m²].
    """

    mass: float
    com: Array
    inertia: Array

    def move(self, T: Array) -> Body:
        """Return the same body in another frame. T (4, 4) is the pose of the present frame in that other frame."""
        R = T[:3, :3]
        with np.errstate(all="ignore"):  # check_inertias refuses what is not finite, and names the link
            return Body(self.mass, R @ self.com + T[:3, 3], R @ self.inertia @ R.T)

    def add(self, other: Body) -> Body:
        """Return both bodies as one rigid body."""
        mass = self.mass + other.mass
        com = (self.mass * self.com + other.mass * other.com) / mass
        return Body(mass, com, self._shift(com) + other._shift(com))

    def _shift(self, point: Array) -> Array:
        """Return the inertia about another point, by the parallel-axis theorem (Steiner)."""
        r = self.com - point
        return self.inertia + self.mass * (r @ r * np.eye(3) - np.outer(r, r))


def has_improper_inertia(root: ET.Element) -> bool:
    """Return whether a link behind a fixed joint has an inertia that no engine takes, or a moving one has no mass."""
    links = {link.get("name"): link for link in root.findall("link")}
    for joint in root.findall("joint"):
        body = _read_body(links[joint.find("child").get("link")])  # type: ignore[union-attr]
        if body is None and joint.get("type") != "fixed":
            return True
        if body is not None and joint.get("type") == "fixed" and not _is_proper(body.inertia):
            return True
    return False


def fuse_links(root: ET.Element, kept: Collection[str], path: Path) -> list[str]:
    """Fuse the links that fixed joints connect, in place.

    Args:
        root: The URDF: a tree, in which all joints but those to the tool are fixed.
        kept: Names of links that must stay: the root and the links on the way to the tool.
        path: The URDF, for errors.

    Returns:
        The names of the links with an improper inertia, whose mass was kept and whose inertia was replaced by that of a point.

    Raises:
        RobotError: A link that a moving joint carries has an improper inertia, or none.
    """
    links = {link.get("name", ""): link for link in root.findall("link")}
    by_child = {joint.find("child").get("link"): joint for joint in root.findall("joint")}  # type: ignore[union-attr]
    tops = {name: _find_top(name, by_child) for name in links}
    improper = _fuse_inertias(links, by_child, tops, path)
    for name, link in links.items():
        top, T = tops[name]
        if name in kept:
            continue
        for visual in link.findall("visual"):
            write_origin(visual, T @ read_origin(visual))
            link.remove(visual)
            links[top].append(visual)
        joint = by_child[name]
        if link.find("collision") is None:
            root.remove(link)
            root.remove(joint)
        else:
            write_origin(joint, T)
            joint.find("parent").set("link", top)  # type: ignore[union-attr]
    return improper


def _find_top(name: str, by_child: dict[str | None, ET.Element]) -> tuple[str, Array]:
    """Return the first link of a body, which is the root or carried by a moving joint, and the pose of a link in its frame."""
    T = np.eye(4)
    while name in by_child and by_child[name].get("type") == "fixed":
        joint = by_child[name]
        T = read_origin(joint) @ T
        name = joint.find("parent").get("link", "")  # type: ignore[union-attr]
    return name, T


def _fuse_inertias(
    links: dict[str, ET.Element], by_child: dict[str | None, ET.Element], tops: dict[str, tuple[str, Array]], path: Path
) -> list[str]:
    """Give the first link of each moving body the inertia of all of its links. The base does not move and needs none."""
    fused: dict[str, Body] = {}
    improper, parts = [], dict.fromkeys(links, 0)
    for name, link in links.items():
        top, T = tops[name]
        body = _read_body(link)
        if body is None or (top not in by_child and name != top):
            continue
        if not _is_proper(body.inertia):
            if name == top and top in by_child:
                raise RobotError(_describe_improper(name, body, by_child[top], path))
            improper.append(name)
            body = Body(body.mass, body.com, np.zeros((3, 3)))
        body, parts[top] = body.move(T), parts[top] + 1
        fused[top] = fused[top].add(body) if top in fused else body
    for name, link in links.items():
        if tops[name][0] != name or name not in fused:
            _remove_inertial(link)
        elif parts[name] > 1 or _read_body(link) is None or not _is_proper(fused[name].inertia):
            _remove_inertial(link)
            if _is_proper(fused[name].inertia):
                link.append(_make_inertial(fused[name]))
    for name, link in links.items():
        if tops[name][0] == name and name in by_child and link.find("inertial") is None:
            raise RobotError(_describe_missing(name, by_child[name], path))
    return improper


def _read_body(link: ET.Element) -> Body | None:
    """Return the body of a link's <inertial>, in the link's frame; None where it has no mass."""
    inertial = link.find("inertial")
    if inertial is None:
        return None
    mass = float(inertial.find("mass").get("value"))  # type: ignore[union-attr, arg-type]
    if not mass:
        return None
    element, inertia = inertial.find("inertia"), np.zeros((3, 3))
    for name, i, j in INERTIA if element is not None else ():
        inertia[i, j] = inertia[j, i] = float(element.get(name, "0"))  # type: ignore[union-attr]
    return Body(mass, np.zeros(3), inertia).move(read_origin(inertial))


def _is_proper(inertia: Array) -> bool:
    """Return whether an inertia is finite and positive definite."""
    # isfinite comes first: eigvalsh raises a LinAlgError for NaN.
    return bool(np.isfinite(inertia).all() and np.linalg.eigvalsh(inertia)[0] > 0.0)


def _remove_inertial(link: ET.Element) -> None:
    for inertial in link.findall("inertial"):
        link.remove(inertial)


def _make_inertial(body: Body) -> ET.Element:
    inertial = ET.Element("inertial")
    ET.SubElement(inertial, "origin", xyz=format_numbers(body.com), rpy="0 0 0")
    ET.SubElement(inertial, "mass", value=repr(float(body.mass)))
    ET.SubElement(inertial, "inertia", {name: repr(float(body.inertia[i, j])) for name, i, j in INERTIA})
    return inertial


def _describe_improper(name: str, body: Body, joint: ET.Element, path: Path) -> str:
    return (
        f"Link {name!r} of {str(path)!r} has a mass of {body.mass} kg and the inertia {body.inertia.tolist()} kg·m², expected "
        f"a positive definite inertia, since the joint {joint.get('name')!r} moves it. Correct <inertia ixx=… iyy=… izz=…/>."
    )


def _describe_missing(name: str, joint: ET.Element, path: Path) -> str:
    return (
        f"Link {name!r} of {str(path)!r} has no mass, but the joint {joint.get('name')!r} moves it. Give the link, or a link "
        "that a fixed joint connects to it, an <inertial> with mass and inertia."
    )
