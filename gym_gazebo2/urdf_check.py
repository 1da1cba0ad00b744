"""What a parsed URDF must be before anything is computed from it: one tree of links, true inertias, joints with limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import RobotError

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["check_inertias", "check_joints", "check_rotors", "check_tree"]

LIMITS = ("lower", "upper", "velocity", "effort")


def check_tree(robot: yourdfpy.Robot, path: Path) -> None:
    """Raise a RobotError unless the joints make one tree of the links, under one root, every name given once."""
    links = [link.name for link in robot.links]
    _check_unique("links", links, path)
    _check_unique("joints", [joint.name for joint in robot.joints], path)
    for joint in robot.joints:
        for end in (joint.parent, joint.child):
            if end not in links:
                raise RobotError(
                    f"Joint {joint.name!r} of {str(path)!r} names the link {end!r}. The links are: {_list(links)}."
                )
        _check_origin(f"joint {joint.name!r}", joint.origin, path)
    parents: dict[str, yourdfpy.Joint] = {}
    for joint in robot.joints:
        other = parents.setdefault(joint.child, joint)
        if other is not joint:
            raise RobotError(f"Link {joint.child!r} of {str(path)!r} hangs on the joints {other.name!r} and {joint.name!r}.")
    for link in links:
        _check_way_to_root(link, parents, path)
    roots = [link for link in links if link not in parents]
    if len(roots) != 1:
        raise RobotError(
            f"{str(path)!r} has the root links {_list(roots)}, expected one. Join the others to it by fixed joints."
        )


def check_inertias(robot: yourdfpy.Robot, path: Path) -> None:
    """Raise a RobotError unless masses are not negative, and what has one has a positive definite inertia."""
    for link in robot.links:
        mass = 0.0 if link.inertial is None or link.inertial.mass is None else link.inertial.mass
        if not 0.0 <= mass < np.inf:
            raise RobotError(f"Link {link.name!r} of {str(path)!r} has a mass of {mass} kg, expected at least 0.")
        if not mass:
            continue
        inertia = np.zeros((3, 3)) if link.inertial.inertia is None else link.inertial.inertia
        if not np.isfinite(inertia).all() or np.linalg.eigvalsh(inertia)[0] <= 0.0:
            raise RobotError(
                f"Link {link.name!r} of {str(path)!r} has the inertia {inertia.tolist()} kg·m², expected a positive "
                f"definite one for its mass of {mass} kg: <inertia ixx=… iyy=… izz=…/>."
            )
        _check_origin(f"the inertia of link {link.name!r}", link.inertial.origin, path)


def check_rotors(rotor_inertia: Mapping[str, float], path: Path) -> None:
    """Raise a RobotError unless the rotors' inertias, by joint, are finite and not negative."""
    for joint, inertia in rotor_inertia.items():
        if not 0.0 <= inertia < np.inf:
            raise RobotError(
                f"The transmission of {joint!r} in {str(path)!r} makes a rotor of {inertia} kg·m², expected 0 or more."
            )


def check_joints(joints: Iterable[yourdfpy.Joint], moving: Sequence[yourdfpy.Joint], path: Path) -> None:
    """Raise a RobotError unless the moving joints are those of a serial arm of limited revolute joints."""
    if not moving:
        raise RobotError(f"{str(path)!r} has no moving joint between its root and the tool frame.")
    beside = [joint.name for joint in joints if joint.type != "fixed" and joint not in moving]
    if beside:
        raise RobotError(f"{str(path)!r} has moving joints beside the chain to the tool: {_list(beside)}. Make them fixed.")
    for joint in moving:
        what = f"Joint {joint.name!r} of {str(path)!r}"
        if joint.type != "revolute":
            raise RobotError(f"{what} is {joint.type!r}, expected 'revolute' with limits.")
        if joint.axis.shape != (3,) or not 1e-9 < np.linalg.norm(joint.axis) < np.inf:
            raise RobotError(f"{what} has the axis {joint.axis.tolist()}, expected three numbers, not all zero.")
        values: list[Any] = [getattr(joint.limit, key, None) for key in LIMITS]
        if None in values or not (
            -np.inf < values[0] < values[1] < np.inf and 0 < values[2] < np.inf and 0 < values[3] < np.inf
        ):
            raise RobotError(
                f'{what} has {", ".join(LIMITS)} = {values}, expected <limit lower="…" upper="…" velocity="…" effort="…"/> '
                "with lower < upper, the others positive, and all finite."
            )


def _check_origin(what: str, origin: NDArray[np.float64] | None, path: Path) -> None:
    if origin is not None and not np.isfinite(origin).all():
        raise RobotError(f"The <origin> of {what} in {str(path)!r} is not finite.")


def _check_unique(kind: str, names: Sequence[str], path: Path) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise RobotError(f"{str(path)!r} has several {kind} of the name {_list(repeated)}. Give each a name of its own.")


def _check_way_to_root(link: str, parents: dict[str, yourdfpy.Joint], path: Path) -> None:
    way = [link]
    while way[-1] in parents:
        way.append(parents[way[-1]].parent)
        if way[-1] in way[:-1]:
            raise RobotError(f"The joints of {str(path)!r} make a loop of the links {' - '.join(reversed(way))}.")


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
