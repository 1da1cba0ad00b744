"""Make the specification of an arm from its row and its URDF."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.robots.check import check_inertias, check_joints, check_rotors, check_tree
from gym_gazebo2.robots.inertia import compute_mean_inertia
from gym_gazebo2.robots.rows import ROBOTS, RobotRow, find_urdf
from gym_gazebo2.robots.spec import RobotSpec
from gym_gazebo2.robots.urdf import find_chain, fold_fixed_joints, parse_urdf

__all__ = ["load_robot", "make_robot"]

Array = NDArray[np.float64]


def make_robot(robot: str | RobotSpec) -> RobotSpec:
    """Return the specification of a robot of the table; a specification is returned as it is.

    Raises:
        UnknownNameError: The table has no such row.
        RobotError: Its URDF does not describe a serial arm.
    """
    if isinstance(robot, RobotSpec):
        return robot
    if robot not in ROBOTS:
        raise UnknownNameError("robot", robot, ROBOTS)
    return load_robot(robot, ROBOTS[robot])


@functools.cache
def load_robot(name: str, row: RobotRow) -> RobotSpec:
    """Read a URDF into a specification. The result is cached: the URDF is read once per process.

    Args:
        name: Name of the robot.
        row: Its row.

    Raises:
        RobotError: The URDF is missing, malformed, without the tool frame, or not a serial arm of limited revolute joints.
        InvalidArgumentError: ``home`` or ``control_speed`` of the row does not fit the URDF.
    """
    path = find_urdf(row.urdf)
    robot, rotors = parse_urdf(path)
    # The checks come before any computation: an invalid URDF must end in an error that names its element, not in a
    # LinAlgError or in an arm that explodes in the simulator.
    check_tree(robot, path)
    check_inertias(robot, path)
    check_rotors(rotors, path)
    chain = find_chain(robot, row.tool_frame, path)
    moving = [joint for joint in chain if joint.type != "fixed"]
    check_joints(robot.joints, moving, path)
    offsets, T_tcp_to_last = fold_fixed_joints(chain)
    rotor = np.array([rotors.get(joint.name, 0.0) for joint in moving])  # without a <transmission>, the rotor has no inertia
    limits = {key: np.array([getattr(j.limit, key) for j in moving]) for key in ("lower", "upper", "velocity", "effort")}
    return RobotSpec(
        name=name,
        urdf=str(path),
        base_link=chain[0].parent,
        tool_frame=row.tool_frame,
        joint_names=tuple(joint.name for joint in moving),
        link_names=tuple(joint.child for joint in moving),
        lower=limits["lower"],
        upper=limits["upper"],
        velocity_limit=limits["velocity"],
        control_speed=_check_speed(row.control_speed, limits["velocity"]),
        effort_limit=limits["effort"],
        home=_check_home(row.home, limits["lower"], limits["upper"]),
        rotor_inertia=rotor,
        drive_inertia=rotor + compute_mean_inertia(robot, moving, limits["lower"], limits["upper"]),
        T_joint_to_parent=offsets,
        axis=np.array([joint.axis / np.linalg.norm(joint.axis) for joint in moving]),
        T_tcp_to_last=T_tcp_to_last,
    )


def _check_home(home: tuple[float, ...] | None, lower: Array, upper: Array) -> Array:
    # A joint may have limits that leave out zero; its default home is then the nearest limit.
    q = np.clip(np.zeros_like(lower), lower, upper) if home is None else np.array(home, dtype=float)
    if q.shape != lower.shape or not np.all((q >= lower) & (q <= upper)):
        raise InvalidArgumentError("home", home, f"{len(lower)} joint positions between {lower} and {upper}")
    return q


def _check_speed(speed: float | None, velocity_limit: Array) -> Array:
    if speed is None:
        return velocity_limit.copy()
    if not 0 < speed <= velocity_limit.min():
        raise InvalidArgumentError("control_speed", speed, f"a speed up to the joints' limit {velocity_limit.min()} rad/s")
    return np.full_like(velocity_limit, speed)
