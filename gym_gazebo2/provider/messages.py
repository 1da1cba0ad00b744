"""Read the messages of clients: joints by name, every number checked. Knows the messages' fields, but not rclpy.

``gazebo/plugin/messages.cpp`` makes the same checks in C++, with the same texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.contract import LIMIT_TOLERANCE, MAX_COMMAND_NS
from gym_gazebo2.robots import RobotSpec

__all__ = ["RefusedError", "count_steps", "read_command", "read_effort", "read_joints", "read_objects"]

Array = NDArray[np.float64]


class RefusedError(Exception):
    """A message is invalid; the text names the reason. The provider logs it once and ignores the message."""


def read_command(message: Any, robot: RobotSpec, setpoint: Array) -> Array:
    """Return the set-points (dof,) of a JointTrajectory of exactly one point [rad].

    Args:
        message: The command.
        robot: The arm.
        setpoint: (dof,) current set-point [rad]. The fingers keep theirs if the command names only the other joints.

    Raises:
        RefusedError: It has another number of points, or its joints or positions are invalid.
    """
    if len(message.points) != 1:
        raise RefusedError("a command without exactly one point")
    return read_joints("command", message.joint_names, message.points[0].positions, robot, setpoint)


def read_effort(message: Any, robot: RobotSpec) -> Array | None:
    """Return the efforts (dof,) of a JointTrajectory of one point without positions [N·m or N]; None if it has positions.

    Raises:
        RefusedError: Its joints are invalid, or an effort is NaN or beyond its limit.
    """
    if len(message.points) != 1 or len(message.points[0].positions) or not len(message.points[0].effort):
        return None
    effort = _arrange("command", message.joint_names, message.points[0].effort, robot, np.zeros(robot.dof), "efforts")
    inside = np.abs(effort) <= robot.effort_limit * (1.0 + LIMIT_TOLERANCE)  # False for NaN
    if not inside.all():
        raise RefusedError(f"a command: the effort of {robot.joint_names[int(np.argmin(inside))]!r} is NaN or beyond its limit")
    return effort


def read_joints(kind: str, names: Sequence[str], values: Sequence[float], robot: RobotSpec, current: Array) -> Array:
    """Return positions (dof,) in the robot's order [rad].

    Args:
        kind: Kind of message, for the error: "command" or "placement".
        names: Joint names, in any order.
        values: Their positions [rad].
        robot: The arm.
        current: (dof,) positions [rad]. The fingers keep theirs if the message names only the other joints.

    Raises:
        RefusedError: A joint is unknown, missing or named twice, or a position is NaN or outside the limits.
    """
    q = _arrange(kind, names, values, robot, current)
    tolerance = LIMIT_TOLERANCE * robot.scale
    inside = (q >= robot.lower - tolerance) & (q <= robot.upper + tolerance)  # False for NaN
    if not inside.all():
        raise RefusedError(f"a {kind}: {robot.joint_names[int(np.argmin(inside))]!r} is NaN or outside its limits")
    return q


def _arrange(
    kind: str, names: Sequence[str], values: Sequence[float], robot: RobotSpec, current: Array, unit: str = "positions"
) -> Array:
    """Return values by joint name in the robot's order (dof,); those of ``current`` for fingers that are not named."""
    if len(names) != len(values) or len(names) not in (robot.dof, robot.chain_dof):
        alone = f", or {robot.chain_dof} without the fingers" if robot.gripper is not None else ""
        raise RefusedError(f"a {kind} of {len(names)} names and {len(values)} {unit}, expected {robot.dof} of each{alone}")
    expected = robot.joint_names[: len(names)]  # the fingers come last
    for name in names:
        if name not in robot.joint_names:
            raise RefusedError(f"a {kind} for the unknown joint {name!r}")
    if len(set(names)) != len(names):
        raise RefusedError(f"a {kind} that names a joint twice")
    if missing := set(expected) - set(names):
        raise RefusedError(f"a {kind} without the joint {min(missing)!r}")
    given = dict(zip(robot.joint_names, current.tolist(), strict=True)) | dict(zip(names, values, strict=True))
    return np.array([given[name] for name in robot.joint_names])


def read_objects(message: Any, present: Mapping[str, bool]) -> dict[str, Array | None]:
    """Return which objects are in the scene from now on: name → pose (7,) to put it at, or None where it stays as it is.

    Args:
        message: A MultiDOFJointState. It names all objects that are to be there. With a transform for each name, they are put
            there, at rest; without any transform, they stay.
        present: Which objects of the pool are there now, by name.

    Raises:
        RefusedError: An object is unknown, is named twice, or has no transform although it is parked; or a pose is invalid.
    """
    names, transforms = list(message.joint_names), message.transforms
    if len(transforms) not in (0, len(names)):
        raise RefusedError(
            f"a placement of {len(names)} objects and {len(transforms)} transforms, expected one for each object, or none"
        )
    wanted: dict[str, Array | None] = {}
    for i, name in enumerate(names):
        if name not in present:
            raise RefusedError(f"a placement of the unknown object {name!r}")
        if name in wanted:
            raise RefusedError("a placement that names an object twice")
        if not len(transforms) and not present[name]:
            raise RefusedError(f"a placement without a transform for {name!r}, which is parked")
        wanted[name] = _read_pose(transforms[i], name) if len(transforms) else None
    return wanted


def _read_pose(transform: Any, name: str) -> Array:
    p, r = transform.translation, transform.rotation
    pose = np.array([p.x, p.y, p.z, r.w, r.x, r.y, r.z])
    if not (np.isfinite(pose).all() and np.linalg.norm(pose[3:]) > 1e-6):
        raise RefusedError(f"a placement: the pose of {name!r} is not finite, or its quaternion has no length")
    return pose


def count_steps(duration: int, physics_dt: int, exact: bool) -> int:
    """Return the number of physics steps of a command.

    Args:
        duration: Its ``time_from_start`` [ns].
        physics_dt: Physics step [ns].
        exact: Whether it must be a whole number of steps, as in lock-step; else it is rounded up.

    Raises:
        RefusedError: It is not between 0 and 60 s, or not a whole number of steps.
    """
    if not 0 < duration <= MAX_COMMAND_NS:
        raise RefusedError("a command: time_from_start is not between 0 and 60 s")
    if exact and duration % physics_dt:
        raise RefusedError(f"a command: time_from_start is not a whole number of physics steps of {physics_dt} ns")
    return -(-duration // physics_dt)  # rounded up
