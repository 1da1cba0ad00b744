"""How an arm fits a table: reach of the area and the bins, opening of the gripper, and the pose at which it starts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.inverse_kinematics import compute_tool_step
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.tasks.sort_table import AREA, LANES, Table

__all__ = ["check_reach", "compute_grip_width", "find_pose_above"]

HEIGHT = 0.03
"""Height above the table at which the tool has to reach every place [m, table's frame]."""
START = (0.5, 0.0, 0.2)
"""Place of the tool at the start of an episode [m, table's frame]."""
STEP, MOST_STEPS, ARRIVED = 0.03, 60, 1e-4
"""Length of a step of the tool on its way there [m], the largest number of steps, and the distance at which it is there [m]."""
LARGEST_STEP = 0.3
"""Largest motion of a joint in such a step [rad, or strokes]."""
OUT_OF_REACH = 0.01
"""A place is out of reach if the tool is farther away from it than this in every pose [m]."""
ADVICE = "Change the table, for example table={'scale': 0.5, 'x': 0.1, 'z': 0.0}."


def check_reach(kinematics: Kinematics, table: Table, largest: float, bin_x: float | None) -> str | None:
    """Return a warning if a part of the table is out of the arm's reach, or objects are too large; None if all fits.

    Args:
        kinematics: The arm.
        table: The table.
        largest: Largest half size of the objects [m, table's frame].
        bin_x: x of the bins that the tool must reach [m, table's frame]; None: it need not.

    Raises:
        InvalidArgumentError: The tool reaches no part of the area in which objects start.
    """
    robot, messages = kinematics.robot, []
    corners = [(x, y, HEIGHT) for x in (AREA[0][0], AREA[1][0]) for y in (AREA[0][1], AREA[1][1])]
    missed = [corner for corner in corners if not _is_in_reach(kinematics, table.to_base(corner))]
    if len(missed) == len(corners):
        sentence = f"{robot.name!r} reaches no corner of the area in which objects start: {table}. {ADVICE}"
        raise InvalidArgumentError("table", table, sentence=sentence)
    if missed:
        messages.append(f"objects may start out of the tool's reach, for example at {_show(table.to_base(missed[0]))}")
    if bin_x is not None:
        far = [(bin_x, y, HEIGHT) for y in LANES.values() if not _is_in_reach(kinematics, table.to_base((bin_x, y, HEIGHT)))]
        if far:
            messages.append(f"the bin at {_show(table.to_base(far[0]))} is out of reach")
    width = compute_grip_width(robot)
    if width is not None and 2.0 * largest * table.scale > width:
        messages.append(
            f"objects of {2e3 * largest * table.scale:.0f} mm do not fit between fingers that open {1e3 * width:.0f} mm"
        )
    return f"{robot.name!r} does not fit the table: {'; '.join(messages)}. {ADVICE}" if messages else None


def find_pose_above(kinematics: Kinematics, table: Table) -> NDArray[np.float64] | None:
    """Return a pose (dof,) with the tool above the middle of the objects' area [rad or m].

    The tool moves there from the home pose along a straight line, with its orientation held. None: it does not arrive.
    """
    chain, goal = kinematics.chain, np.array(table.to_base(START))
    q, travel = chain.robot.home[None], LARGEST_STEP * chain.robot.scale
    for _ in range(MOST_STEPS):
        way = goal - chain.compute_tcp_pose(q)[:, :3, 3]
        distance = float(np.linalg.norm(way))
        if distance < ARRIVED:
            return np.concatenate([q[0], kinematics.robot.home[len(q[0]) :]])
        q = compute_tool_step(chain, q, way * min(1.0, STEP / distance), travel)
    return None


def compute_grip_width(robot: RobotSpec) -> float | None:
    """Return by how much sliding fingers open [m]; None for turning ones, where it depends on their shape."""
    if robot.gripper is None or not robot.is_prismatic[robot.chain_dof :].all():
        return None
    return float(np.abs(np.subtract(robot.gripper.open, robot.gripper.closed)).sum())


def _is_in_reach(kinematics: Kinematics, place: tuple[float, float, float]) -> bool:
    return kinematics.compute_distance_to_reach(place) < OUT_OF_REACH


def _show(place: tuple[float, float, float]) -> str:
    return f"({', '.join(f'{value:.2f}' for value in place)}) m"
