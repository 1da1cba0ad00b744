"""Whether an arm fits a table: reach of the area and the bins, and opening of the gripper."""

from __future__ import annotations

import numpy as np

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.tasks.sort_table import AREA, LANES, Table

__all__ = ["check_reach", "compute_grip_width"]

HEIGHT = 0.03
"""Height above the table at which the tool has to reach every place [m, table's frame]."""
OUT_OF_REACH = 0.01
"""A place is out of reach if the tool remains farther away in every pose [m]."""
ADVICE = "Change the table, such as table={'scale': 0.5, 'x': 0.1, 'z': 0.0}."


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
        messages.append(f"objects may start out of the tool's reach, as at {_show(table.to_base(missed[0]))}")
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


def compute_grip_width(robot: RobotSpec) -> float | None:
    """Return by how much sliding fingers open [m]; None for turning ones, where it depends on their shape."""
    if robot.gripper is None or not robot.is_prismatic[robot.chain_dof :].all():
        return None
    return float(np.abs(np.subtract(robot.gripper.open, robot.gripper.closed)).sum())


def _is_in_reach(kinematics: Kinematics, place: tuple[float, float, float]) -> bool:
    return kinematics.compute_distance_to_reach(place) < OUT_OF_REACH


def _show(place: tuple[float, float, float]) -> str:
    return f"({', '.join(f'{value:.2f}' for value in place)}) m"
