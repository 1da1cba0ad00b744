"""The table of robots: the URDF of each arm, and the values for which URDF has no element."""

from __future__ import annotations

import dataclasses
import math
from importlib import resources
from pathlib import Path

from gym_gazebo2.checks import add_row
from gym_gazebo2.errors import RobotError

__all__ = ["ROBOTS", "RobotRow", "find_urdf", "register_robot"]


@dataclasses.dataclass(frozen=True)
class RobotRow:
    """The URDF of an arm, and the values for which URDF has no element.

    Attributes:
        urdf: Path of the URDF. A bare file name is looked up among the package's own URDFs.
        tool_frame: Link whose origin is the tool centre point.
        home: Joint positions at which episodes start [rad]; None: all zeros, clipped to the limits.
        control_speed: Joint speed that the environment uses [rad/s]; None: the URDF's velocity limits.
    """

    urdf: str
    tool_frame: str = "ee_link"
    home: tuple[float, ...] | None = None
    control_speed: float | None = None


ROBOTS: dict[str, RobotRow] = {
    "mara": RobotRow("mara.urdf"),
    "scara": RobotRow("scara.urdf", control_speed=1.57),
    "scara4": RobotRow("scara4.urdf", control_speed=1.57),
    # Both look down at the floor in front of them. The last angle of the Panda turns its fingers along the y axis.
    "panda": RobotRow(
        "panda.urdf", "panda_hand_tcp", (0.0, -math.pi / 4, 0.0, -3 * math.pi / 4, 0.0, math.pi / 2, math.pi / 4)
    ),
    "ur5e": RobotRow(
        "ur5e.urdf", "tool0", (0.0, -math.pi / 2, math.pi / 2, -math.pi / 2, -math.pi / 2, 0.0), control_speed=1.57
    ),
}


def register_robot(name: str, row: RobotRow) -> None:
    """Add a robot to the table. Adding an equal row again changes nothing.

    Args:
        name: Name of the robot, also its ROS namespace.
        row: The row. A relative path is resolved against the working directory of this call.

    Raises:
        RobotError: The URDF does not exist.
        InvalidArgumentError: Another row has this name.
    """
    # The package's own rows hold bare file names. Comparing before the path is made absolute lets them be added again.
    if ROBOTS.get(name) != row:
        add_row(ROBOTS, name, dataclasses.replace(row, urdf=str(find_urdf(row.urdf))))


def find_urdf(urdf: str) -> Path:
    """Return the absolute path of a URDF. A bare file name is looked up among the package's own, unless it exists here.

    Raises:
        RobotError: There is no such file.
    """
    own = Path(str(resources.files("gym_gazebo2"))) / "urdf"
    path = own / urdf if Path(urdf).name == urdf and not Path(urdf).exists() else Path(urdf)
    if not path.is_file():
        exists = ", ".join(sorted(p.name for p in own.glob("*.urdf")))
        raise RobotError(f"The URDF {urdf!r} does not exist. Give a path to a file, or one of: {exists}.")
    return path.resolve()
