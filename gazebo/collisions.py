"""Which shapes touch in Gazebo 11: the pairs of links that every engine excludes, as bits that Gazebo compares."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from gym_gazebo2.errors import RobotError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.robots.spec import FLOOR
from gym_gazebo2.robots.urdf import find_joint

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["find_hosts", "make_bitmasks"]

BITS = 16
"""Bits of ``collide_bitmask``. Two shapes touch if their masks have a common bit."""

Pair = frozenset[str]


def find_hosts(urdf: yourdfpy.Robot, robot: RobotSpec) -> dict[str, str]:
    """Return the Gazebo link of each URDF link: itself, or the one into which it is fused because it has no mass."""
    by_child = {joint.child: joint for joint in urdf.joints}
    massless = {link.name for link in urdf.links if link.inertial is None or not link.inertial.mass}

    def find_host(link: str) -> str:
        joint = by_child.get(link)
        stays = joint is None or joint.type != "fixed" or link == robot.tool_frame or link not in massless
        return link if stays or joint is None else find_host(joint.parent)

    return {link.name: find_host(link.name) for link in urdf.links}


def make_bitmasks(urdf: yourdfpy.Robot, robot: RobotSpec, hosts: Mapping[str, str]) -> dict[str, int]:
    """Return a mask for each link with shapes, and for the floor; empty if Gazebo needs none.

    ODE by itself leaves out the shapes of one link, and of two links that a joint connects.

    Raises:
        RobotError: The pairs need more bits than Gazebo has.
    """
    solid = [link.name for link in urdf.links if link.collisions]
    body = {name: find_joint(name, urdf, robot.joint_names)[0] for name in solid} | {FLOOR: -1}
    left_out = {frozenset((hosts[joint.parent], hosts[joint.child])) for joint in urdf.joints}
    hosts = {**hosts, FLOOR: FLOOR}

    def is_open(one: str, two: str) -> bool:
        """Return whether ODE compares two shapes, so that the bits decide."""
        return body[one] != body[two] and frozenset((hosts[one], hosts[two])) not in left_out

    pairs = {frozenset(pair) for pair in itertools.combinations([FLOOR, *solid], 2) if is_open(*pair)}
    apart = pairs & {frozenset((pair.link1, pair.link2)) for pair in robot.excluded_pairs}
    if not apart:
        return {}
    groups = cover(pairs - apart, apart, [FLOOR, *solid])
    if len(groups) > BITS:
        raise RobotError(
            f"{robot.urdf!r} excludes collisions of {len(apart)} pairs of links. Gazebo 11 has {BITS} bits for them, "
            f"and {len(groups)} are needed. Use a simpler URDF, or the backend 'mujoco'."
        )
    return {name: sum(1 << bit for bit, group in enumerate(groups) if name in group) for name in [FLOOR, *solid]}


def cover(together: Collection[Pair], apart: Collection[Pair], names: Sequence[str]) -> list[set[str]]:
    """Return groups of names: each pair of ``together`` is in a group, and no pair of ``apart`` is.

    The fewest groups are hard to find (a clique cover). Growing each group as far as it goes finds a few more than that.
    """
    left, groups = sorted(together, key=sorted), []
    while left:
        group = set(left[0])
        for name in names:
            if all(frozenset((name, other)) not in apart for other in group):
                group.add(name)
        groups.append(group)
        left = [pair for pair in left if not pair <= group]
    return groups
