"""Add the fingers of a gripper to the specification of an arm: which way they close, how hard, and their drives."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.contract import OMEGA
from gym_gazebo2.errors import InvalidArgumentError, RobotError
from gym_gazebo2.robots.collisions import CollisionModel, list_shape_points
from gym_gazebo2.robots.drive import TOP_SPEED
from gym_gazebo2.robots.fingers import Mimics
from gym_gazebo2.robots.inertia import compute_mean_coupling
from gym_gazebo2.robots.limits import read_per_joint
from gym_gazebo2.robots.motion import JointMotion
from gym_gazebo2.robots.rows import GripperRow, PerJoint
from gym_gazebo2.robots.spec import ExcludedPair, Gripper, RobotSpec
from gym_gazebo2.robots.urdf import find_joint

if TYPE_CHECKING:
    import yourdfpy


__all__ = ["add_gripper"]

Array = NDArray[np.float64]

FORCE_STROKE = 0.5
"""The drive of a finger reaches the full grip force when it is held this share of the stroke away from its set-point."""
SAME_GAP = 1e-4
"""Gaps that differ by less do not show which limit is the closed one [m]."""


def add_gripper(
    arm: RobotSpec, urdf: yourdfpy.Robot, path: Path, names: tuple[str, ...], mimics: Mimics, row: GripperRow
) -> RobotSpec:
    """Return the arm with its fingers behind the joints of the chain. Episodes start with the gripper open, or as the row asks.

    The numbers of the chain stay as they are, so a policy that leaves the gripper alone sees the same arm.

    Args:
        arm: The arm without fingers.
        urdf: The URDF in which the fingers move.
        path: Its file.
        names: Names of the finger joints.
        mimics: Which of them follow which.
        row: The gripper's row.

    Raises:
        RobotError: A finger has invalid limits, or mimics a joint that is no finger.
        InvalidArgumentError: A value of the row names a joint that is no finger, or is outside the limits.
    """
    spec = _append_joints(arm, urdf, path, names)
    closed, assumed = _find_closed(spec, urdf, mimics)
    gripper = _make_gripper(spec, closed, mimics, row)
    spec = _add_drives(dataclasses.replace(spec, gripper=gripper), urdf, row)
    home = np.concatenate([arm.home, _choose_start(gripper, row, spec.lower[arm.dof :], spec.upper[arm.dof :])])
    spec = _exclude_fingers(dataclasses.replace(spec, home=home), urdf)
    fingers = ", ".join(f"{n} {a:.3g} … {b:.3g}" for n, a, b in zip(names, gripper.closed, gripper.open, strict=True))
    sentence = f"Gripper, closed … open ({assumed}): {fingers}."
    return dataclasses.replace(spec, assumptions=(*arm.assumptions, sentence))


def _append_joints(arm: RobotSpec, urdf: yourdfpy.Robot, path: Path, names: tuple[str, ...]) -> RobotSpec:
    """Return the arm with more joints. Their drives and the gripper are still missing."""
    by_name = {joint.name: joint for joint in urdf.joints}
    joints, all_names = [by_name[name] for name in names], (*arm.joint_names, *names)
    for joint in joints:
        values = [joint.limit.lower, joint.limit.upper]
        if None in values or not -np.inf < values[0] < values[1] < np.inf:
            raise RobotError(
                f"Finger {joint.name!r} of {str(path)!r} has the limits {values}, expected lower < upper. Correct its <limit>."
            )
    carried = [find_joint(joint.parent, urdf, all_names) for joint in joints]
    origins = [T if joint.origin is None else T @ joint.origin for joint, (_, T) in zip(joints, carried, strict=True)]
    effort = np.array([joint.limit.effort for joint in joints])
    velocity = np.array([joint.limit.velocity for joint in joints])
    lower, upper = (np.array([getattr(joint.limit, end) for joint in joints]) for end in ("lower", "upper"))
    none = np.zeros(len(joints))
    more: dict[str, Array] = {
        "lower": lower, "upper": upper, "velocity_limit": velocity, "control_speed": velocity, "effort_limit": effort,
        "home": (lower + upper) / 2, "rotor_inertia": none, "drive_inertia": none, "T_joint_to_parent": np.array(origins),
        "axis": np.array([joint.axis / np.linalg.norm(joint.axis) for joint in joints]),
        "is_prismatic": np.array([joint.type == "prismatic" for joint in joints]),
        "is_continuous": np.zeros(len(joints), dtype=bool),
    }  # fmt: skip
    return dataclasses.replace(
        arm,
        urdf=str(path),
        joint_names=all_names,
        link_names=(*arm.link_names, *(joint.child for joint in joints)),
        finger_parents=tuple(index for index, _ in carried),
        gripper=Gripper(names, tuple(lower), tuple(upper), tuple(effort)),
        **_concatenate(arm, arm.dof, more),
    )


def _find_closed(spec: RobotSpec, urdf: yourdfpy.Robot, mimics: Mimics) -> tuple[dict[str, float], str]:
    """Return the closed position of every finger that follows no other, and how it was found.

    It is the limit at which the gap of the gripper is smaller, the other fingers being half open.
    """
    lower, upper = dict(zip(spec.joint_names, spec.lower, strict=True)), dict(zip(spec.joint_names, spec.upper, strict=True))
    masters = [name for name in spec.joint_names[spec.chain_dof :] if name not in mimics]
    closed, found = {}, "found from the shapes"
    for master in masters:
        half = {name: (lower[name] + upper[name]) / 2 for name in masters}
        ends = (lower[master], upper[master])
        q = [_follow(spec, half | {master: end}, mimics) for end in ends]
        gaps = _measure_gaps(spec, urdf, np.array(q))
        if gaps is not None and abs(gaps[0] - gaps[1]) > SAME_GAP:
            closed[master] = ends[int(np.argmin(gaps))]
        else:
            closed[master], found = min(ends, key=abs), "the limit nearest to zero taken as closed"
    return closed, found


def _follow(spec: RobotSpec, positions: dict[str, float], mimics: Mimics) -> Array:
    """Return joint positions (dof,) of the home pose with fingers at given positions; the others follow, inside the limits."""
    q = spec.home.copy()
    for i, name in enumerate(spec.joint_names[spec.chain_dof :], start=spec.chain_dof):
        factor, offset, seen = 1.0, 0.0, [name]
        while seen[-1] not in positions:
            master, multiplier, shift = mimics.get(seen[-1], ("", 1.0, 0.0))
            if master in seen or master not in spec.joint_names:
                raise RobotError(
                    f"Finger {seen[-1]!r} mimics {master!r}, which is not another finger of the gripper, or closes a loop. "
                    "Correct its <mimic>, or name the fingers: gripper=GripperRow(joints=…)."
                )
            factor, offset = factor * multiplier, offset + factor * shift
            seen.append(master)
        q[i] = factor * positions[seen[-1]] + offset
    return np.clip(q, spec.lower, spec.upper)


def _measure_gaps(spec: RobotSpec, urdf: yourdfpy.Robot, q: Array) -> Array | None:
    """Return a length (n,) that grows as the gripper opens, in poses (n, dof); None if the URDF has no shapes for it.

    With several fingers it is the mean distance between their centres, with one finger the distance of its tip from the
    shapes that do not move with it. Fingers that carry another finger are ignored.
    """
    fingers = [i for i in range(spec.chain_dof, spec.dof) if i not in spec.finger_parents]
    clouds = {i: _collect_points(spec, urdf, i) for i in (*fingers, spec.chain_dof - 1)}
    if not all(len(clouds[i]) for i in fingers):
        return None
    T = JointMotion(spec).compute_joint_poses(q)
    placed = {i: clouds[i] @ T[i][:, :3, :3].swapaxes(1, 2) + T[i][:, None, :3, 3] for i in clouds}
    if len(fingers) > 1:
        centres = [placed[i].mean(axis=1) for i in fingers]
        return np.mean([np.linalg.norm(a - b, axis=1) for a, b in itertools.combinations(centres, 2)], axis=0)
    finger, palm = fingers[0], placed[spec.chain_dof - 1]
    if not palm.shape[1]:
        return None
    axis = spec.axis[finger]
    levers = clouds[finger] if spec.is_prismatic[finger] else clouds[finger] - np.outer(clouds[finger] @ axis, axis)
    tip = placed[finger][:, np.argmax(np.linalg.norm(levers, axis=1))]
    distances: Array = np.linalg.norm(palm - tip[:, None], axis=2).min(axis=1)
    return distances


def _collect_points(spec: RobotSpec, urdf: yourdfpy.Robot, joint: int) -> Array:
    """Return the corners (p, 3) of all shapes that a joint moves, in its frame."""
    return np.concatenate([np.zeros((0, 3)), *(points for index, points in list_shape_points(spec, urdf) if index == joint)])


def _make_gripper(spec: RobotSpec, closed: dict[str, float], mimics: Mimics, row: GripperRow) -> Gripper:
    """Return the gripper: what was found, where the row gives no other value."""
    n, names = spec.chain_dof, spec.joint_names[spec.chain_dof :]
    lower, upper = spec.lower[n:], spec.upper[n:]
    opened = {name: lo + hi - closed[name] for name, lo, hi in zip(names, lower, upper, strict=True) if name in closed}
    ends = []
    for option, found in (("closed", closed), ("open", opened)):
        given = _read_positions(f"gripper.{option}", getattr(row, option), names)
        masters = {name: given.get(name, value) for name, value in found.items()}
        q = _follow(spec, masters, mimics)[n:]
        ends.append(np.array([given.get(name, value) for name, value in zip(names, q, strict=True)]))
        if not np.all((ends[-1] >= lower) & (ends[-1] <= upper)):
            raise InvalidArgumentError(f"gripper.{option}", ends[-1], f"positions between {lower} and {upper}")
    stuck = [name for name, a, b in zip(names, *ends, strict=True) if abs(a - b) < 1e-9]
    if stuck:
        raise InvalidArgumentError("gripper", stuck, "fingers whose open and closed positions differ")
    return Gripper(names, tuple(map(float, ends[0])), tuple(map(float, ends[1])), tuple(map(float, spec.effort_limit[n:])))


def _choose_start(gripper: Gripper, row: GripperRow, lower: Array, upper: Array) -> Array:
    """Return the positions (fingers,) at which episodes start [rad or m]."""
    given = _read_positions("gripper.home", row.home, gripper.joint_names)
    q = np.array([given.get(name, end) for name, end in zip(gripper.joint_names, gripper.open, strict=True)])
    if given and not np.all((q >= lower) & (q <= upper)):
        raise InvalidArgumentError("gripper.home", q, f"positions between {lower} and {upper}")
    return np.clip(q, lower, upper)


def _read_positions(option: str, value: PerJoint, names: tuple[str, ...]) -> dict[str, float]:
    given = dict(value) if isinstance(value, tuple | Mapping) else {} if value is None else dict.fromkeys(names, value)
    for name, number in given.items():
        if name not in names:
            raise InvalidArgumentError(option, name, f"positions of the fingers {', '.join(names)}")
        if not isinstance(number, int | float) or not np.isfinite(number):
            raise InvalidArgumentError(f"{option} of {name!r}", number, "a finite position")
    return given


def _add_drives(spec: RobotSpec, urdf: yourdfpy.Robot, row: GripperRow) -> RobotSpec:
    """Return the specification with the inertias and the speeds of the fingers."""
    n, names = spec.chain_dof, spec.joint_names[spec.chain_dof :]
    given = read_per_joint("rotor_inertia", row.rotor_inertia, names)
    links = np.diag(compute_mean_coupling(spec, urdf))[n:]
    # The drive's stiffness is M̂ω². The links alone, 30 g for a Panda, would give 50 N/m: too soft to hold anything. So
    # the rotor inertia is chosen for the wanted stiffness. A real gripper has a similar apparent inertia, because of its gear.
    stroke = np.abs(np.subtract(spec.gripper.open, spec.gripper.closed))  # type: ignore[union-attr]
    stiff = spec.effort_limit[n:] / (OMEGA**2 * FORCE_STROKE * stroke)
    rotor = np.array([given.get(name, max(m - link, link)) for name, m, link in zip(names, stiff, links, strict=True)])
    spec = _replace_last(spec, n, rotor_inertia=rotor, drive_inertia=rotor + links)
    # As for the arm's joints: rad/s, or strokes/s of a finger that slides. Such a finger opens or closes in 0.5 s or more.
    speed = np.minimum(spec.velocity_limit[n:], TOP_SPEED * np.where(spec.is_prismatic[n:], stroke, 1.0))
    chosen = read_per_joint("gripper.control_speed", row.control_speed, names)
    speed = np.array([chosen.get(name, value) for name, value in zip(names, speed, strict=True)])
    if np.any(speed > spec.velocity_limit[n:]):
        raise InvalidArgumentError("gripper.control_speed", speed, f"speeds up to the limits {spec.velocity_limit[n:]}")
    return _replace_last(spec, n, control_speed=speed)


def _replace_last(spec: RobotSpec, n: int, **values: Array) -> RobotSpec:
    """Return the specification with other values of the joints from the n-th on."""
    return dataclasses.replace(spec, **_concatenate(spec, n, values))


def _concatenate(spec: RobotSpec, n: int, values: Mapping[str, Array]) -> dict[str, Any]:
    return {name: np.concatenate([getattr(spec, name)[:n], last]) for name, last in values.items()}


def _exclude_fingers(spec: RobotSpec, urdf: yourdfpy.Robot) -> RobotSpec:
    """Return the specification with the pairs of links that a gripper brings into contact, besides those of the arm."""
    n, pairs = spec.chain_dof, {frozenset((pair.link1, pair.link2)): pair for pair in spec.excluded_pairs}
    body = {link.name: find_joint(link.name, urdf, spec.joint_names)[0] for link in urdf.links if link.collisions}
    for a, b in itertools.combinations(body, 2):
        # A gripper that closes is in no collision: its fingers touch each other, and the palm.
        if max(body[a], body[b]) >= n and min(body[a], body[b]) >= n - 1 and body[a] != body[b]:
            pairs.setdefault(frozenset((a, b)), ExcludedPair(a, b, "parts of the gripper"))
    spec = dataclasses.replace(spec, excluded_pairs=tuple(pairs.values()))
    touching = CollisionModel(spec, urdf).list_touching_at(spec.home)
    return dataclasses.replace(spec, excluded_pairs=(*spec.excluded_pairs, *touching))
