"""Checks of a parsed URDF: one tree of links, physically possible inertias, joints with limits.

The parser accepts much that no physics engine can use. Each check names the element and the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gym_gazebo2.errors import RobotError

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["check_inertias", "check_joints", "check_masses", "check_rotors", "check_tree"]

LIMITS = ("lower", "upper", "velocity", "effort")
"""Attributes of <limit>. All four must be present: the drive and the set-point function need them."""


def check_tree(robot: yourdfpy.Robot, path: Path) -> None:
    """Check that the joints make one tree of the links, and that names are unique.

    Raises:
        RobotError: A name occurs twice, a joint names a missing link, a link has two parents, there is a loop, or there is not
            exactly one root.
    """
    links = [link.name for link in robot.links]
    _check_unique("links", links, path)
    _check_unique("joints", [joint.name for joint in robot.joints], path)
    for joint in robot.joints:
        for end in (joint.parent, joint.child):
            if end not in links:
                raise RobotError(
                    f"Joint {joint.name!r} of {str(path)!r} names the link {end!r}. The links are: {_list(links)}."
                )
    # Kinematics fold the joints from the root to the tool. With two parents, a loop or two roots there is no unique way.
    parents: dict[str, yourdfpy.Joint] = {}
    for joint in robot.joints:
        other = parents.setdefault(joint.child, joint)
        if other is not joint:
            raise RobotError(
                f"Link {joint.child!r} of {str(path)!r} is the child of two joints, {other.name!r} and {joint.name!r}. "
                "Remove one of them."
            )
    for link in links:
        _check_loop(link, parents, path)
    roots = [link for link in links if link not in parents]
    if len(roots) != 1:
        raise RobotError(
            f"{str(path)!r} has the root links {_list(roots)}, expected one. Join the others to it by fixed joints."
        )


def check_masses(robot: yourdfpy.Robot, path: Path) -> None:
    """Check the masses of links.

    Raises:
        RobotError: A mass is negative or not finite.
    """
    for link in robot.links:
        mass = 0.0 if link.inertial is None or link.inertial.mass is None else link.inertial.mass
        if not 0.0 <= mass < np.inf:
            raise RobotError(f"Link {link.name!r} of {str(path)!r} has a mass of {mass} kg, expected at least 0.")


def check_inertias(robot: yourdfpy.Robot, path: Path) -> None:
    """Check the inertia of every link with a mass. Links without a mass, such as tool frames, need none.

    Raises:
        RobotError: An inertia is not positive definite.
    """
    for link in robot.links:
        mass = 0.0 if link.inertial is None or link.inertial.mass is None else link.inertial.mass
        if not mass:
            continue
        # Engines divide by the inertia. MuJoCo refuses to compile one that is not positive definite. isfinite comes first,
        # since eigvalsh raises a LinAlgError for NaN.
        inertia = np.zeros((3, 3)) if link.inertial.inertia is None else link.inertial.inertia
        if not np.isfinite(inertia).all() or np.linalg.eigvalsh(inertia)[0] <= 0.0:
            raise RobotError(
                f"Link {link.name!r} of {str(path)!r} has a mass of {mass} kg and the inertia {inertia.tolist()} kg·m², "
                "expected a positive definite inertia: <inertia ixx=… iyy=… izz=…/>."
            )


def check_rotors(rotor_inertia: Mapping[str, float], path: Path) -> None:
    """Check the rotors' inertias, by joint [kg·m²].

    Raises:
        RobotError: An inertia is negative or not finite.
    """
    for joint, inertia in rotor_inertia.items():
        if not 0.0 <= inertia < np.inf:
            raise RobotError(
                f"The transmission of {joint!r} in {str(path)!r} gives a rotor inertia of {inertia} kg·m², expected 0 or more."
            )


def check_joints(moving: Sequence[yourdfpy.Joint], path: Path) -> None:
    """Check that the moving joints between root and tool frame have axes and limits.

    Args:
        moving: The joints.
        path: The URDF, for errors.

    Raises:
        RobotError: There is no moving joint, or one has no axis, or invalid limits.
    """
    if not moving:
        raise RobotError(f"{str(path)!r} has no moving joint between its root and the tool frame. Choose another tool_frame.")
    for joint in moving:
        subject = f"Joint {joint.name!r} of {str(path)!r}"
        if joint.axis.shape != (3,) or not 1e-9 < np.linalg.norm(joint.axis) < np.inf:
            raise RobotError(f"{subject} has the axis {joint.axis.tolist()}, expected three numbers, not all zero.")
        # The comparisons are written so that NaN fails them.
        values: list[Any] = [getattr(joint.limit, key, None) for key in LIMITS]
        if None in values or not (
            -np.inf < values[0] < values[1] < np.inf and 0 < values[2] < np.inf and 0 < values[3] < np.inf
        ):
            raise RobotError(
                f'{subject} has {", ".join(LIMITS)} = {values}, expected <limit lower="…" upper="…" velocity="…" effort="…"/> '
                "with lower < upper, the others positive, and all finite."
            )


def _check_unique(kind: str, names: Sequence[str], path: Path) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise RobotError(f"{str(path)!r} has several {kind} of the name {_list(repeated)}. Names must be unique.")


def _check_loop(link: str, parents: dict[str, yourdfpy.Joint], path: Path) -> None:
    """Raise a RobotError if the way from a link to its root comes back to a link."""
    way = [link]
    while way[-1] in parents:
        way.append(parents[way[-1]].parent)
        if way[-1] in way[:-1]:
            loop = " - ".join(reversed(way))
            raise RobotError(f"The joints of {str(path)!r} make a loop of the links {loop}. A serial arm is a tree.")


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
