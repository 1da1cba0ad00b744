"""The table of robots: the URDF of each arm, and the values for which URDF has no element."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from gym_gazebo2.checks import add_row
from gym_gazebo2.errors import InvalidArgumentError, RobotError, UnknownNameError
from gym_gazebo2.robots.descriptions import find_description
from gym_gazebo2.robots.fetched import fetch_urdf, is_fetched

__all__ = ["ROBOTS", "GripperRow", "PerJoint", "RobotRow", "find_row", "find_urdf", "is_built_in", "register_robot"]


SUFFIXES = (".urdf", ".xacro")
"""Ends of the names of files that describe robots."""
PerJoint = float | Mapping[str, float] | tuple[tuple[str, float], ...] | None
"""A value for all joints, or values by joint name."""


def _store_pairs(row: GripperRow | RobotRow) -> None:
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        if isinstance(value, Mapping):
            object.__setattr__(row, field.name, tuple(sorted(value.items())))


@dataclasses.dataclass(frozen=True)
class GripperRow:
    """Values of a gripper that differ from what is found in the URDF. None means: as found.

    A value is one number for all fingers, or a mapping or pairs of joint and number.

    Attributes:
        joints: Names of the finger joints; those that mimic one of them come with it. None: all moving joints that the last
            joint of the arm carries.
        closed: Positions when closed [rad or m]; None: the limit at which the fingers are nearest to each other.
        open: Positions when open [rad or m]; None: the other limit.
        home: Positions at which episodes start [rad or m]; None: open.
        force: Grip forces [N·m or N]; None: the URDF's effort limits.
        velocity_limit: Velocity limits [rad/s or m/s]; None: the URDF's.
        control_speed: Largest speeds that the environment commands [rad/s or m/s]; None: the velocity limits, at most 2 rad/s,
            or 2 strokes per second.
        rotor_inertia: Rotor inertias as seen at the joints [kg·m² or kg]; None: such that the full grip force is reached
            half a stroke away from the set-point.
    """

    joints: tuple[str, ...] | None = None
    closed: PerJoint = None
    open: PerJoint = None
    home: PerJoint = None
    force: PerJoint = None
    velocity_limit: PerJoint = None
    control_speed: PerJoint = None
    rotor_inertia: PerJoint = None

    def __post_init__(self) -> None:
        """Store mappings as sorted pairs, and the joints as a tuple."""
        _store_pairs(self)
        if self.joints is not None:
            object.__setattr__(self, "joints", tuple(self.joints))


@dataclasses.dataclass(frozen=True)
class RobotRow:
    """The URDF of an arm, and the values for which URDF has no element.

    Mappings may be given for the values that are listed as pairs below. They are stored as sorted pairs, so that rows can be
    compared and used as keys.

    Attributes:
        urdf: Path of the URDF or xacro file. A bare file name is looked up among the package's own URDFs.
        tool_frame: Link whose origin is the tool centre point. None: a link with a usual name, else the only leaf link
            (without a child joint).
        home: Joint positions at which episodes start [rad or m]; None: the pose that the SRDF names, else the best-conditioned
            one of random poses without collision.
        control_speed: Largest speed that the environment commands, the same for all joints [rad/s; strokes/s for prismatic
            joints]; None: each joint's velocity limit, at most 2 rad/s or 2 strokes/s, less where the drive would not follow.
        velocity_limit: Velocity limit [rad/s or m/s] of the joints for which the URDF has none or 0; or pairs of joint and
            limit, which also replace the URDF's.
        effort_limit: Effort limits [N·m or N], in the same way.
        rotor_inertia: Rotor inertias as seen at the joint [kg·m² or kg], in the same way; None: where the URDF has none, one
            that fits the links (``drive.choose_rotors``).
        held: Pairs of a joint beside the chain to the tool and the position at which it is held [rad or m].
        package_dirs: Folders in which package:// and $(find …) look first: packages, or folders of packages.
        xacro_args: Pairs of name and value for the <xacro:arg> elements of a xacro file.
        gripper: What differs from the gripper that is found in the URDF. It counts where a task uses the gripper.
        srdf: Path of the SRDF; None: the one beside the URDF, if there is one; "": none.
        mount_height: Height of the base above the floor [m].
        default_contacts: Whether MuJoCo's default contacts are used. They throw an arm out of the floor. Only MARA and SCARA
            set it, so that their results equal those of earlier versions bit for bit.
    """

    urdf: str
    tool_frame: str | None = None
    home: tuple[float, ...] | None = None
    control_speed: float | None = None
    velocity_limit: PerJoint = None
    effort_limit: PerJoint = None
    rotor_inertia: PerJoint = None
    held: Mapping[str, float] | tuple[tuple[str, float], ...] = ()
    package_dirs: tuple[str, ...] = ()
    xacro_args: Mapping[str, str] | tuple[tuple[str, str], ...] = ()
    gripper: GripperRow = GripperRow()
    srdf: str | None = None
    mount_height: float = 0.0
    default_contacts: bool = False

    def __post_init__(self) -> None:
        """Store mappings as sorted pairs."""
        _store_pairs(self)


ROBOTS: dict[str, RobotRow] = {
    "mara": RobotRow("mara.urdf", home=(0.0,) * 6, control_speed=1.57, default_contacts=True),
    "scara": RobotRow("scara.urdf", home=(0.0,) * 3, control_speed=1.57, default_contacts=True),
    "scara4": RobotRow("scara4.urdf", home=(0.0,) * 4, control_speed=1.57, default_contacts=True),
    # At these home poses, the tools of Panda and UR5e look down. The last angle of the Panda turns its fingers along the y
    # axis.
    "panda": RobotRow(
        "panda.urdf",
        "panda_hand_tcp",
        (0.0, -math.pi / 4, 0.0, -3 * math.pi / 4, 0.0, math.pi / 2, math.pi / 4),
        # Below the limits of 2.17 and 2.61 rad/s: the drives then follow within the tolerance of docs/semantics.md.
        control_speed=2.0,
        # Half open where a task does not use the gripper.
        held={"panda_finger_joint1": 0.02, "panda_finger_joint2": 0.02},
        # 1 kg of apparent mass with the finger's own 15 g: the drive's stiffness is then 1600 N/m. The links alone would have
        # 24 N/m, which holds nothing.
        gripper=GripperRow(control_speed=0.2, rotor_inertia=0.985),
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


def find_row(robot: str | RobotRow) -> tuple[str, RobotRow]:
    """Return the name and the row of a robot.

    Args:
        robot: Name of a row, path of a .urdf or .xacro file, name of a module of ``robot_descriptions``, "ros:" and the full
            name of a topic or parameter of a running ROS 2 that holds a URDF, or a row.

    Raises:
        UnknownNameError: There is no such robot.
        InvalidArgumentError: The value is neither text nor a row.
        MissingDependencyError: ``robot_descriptions`` is not installed.
        RobotError: The description cannot be fetched, or is no URDF.
        RosError: No node of ROS 2 holds the URDF.
    """
    if isinstance(robot, RobotRow):
        return _make_name(robot.urdf), dataclasses.replace(robot, urdf=str(find_urdf(robot.urdf)))
    if not isinstance(robot, str):
        raise InvalidArgumentError("robot", robot, f"a path, a RobotRow, or one of the names {', '.join(sorted(ROBOTS))}")
    if robot in ROBOTS:
        return robot, ROBOTS[robot]
    if is_fetched(robot):
        path = str(fetch_urdf(robot))
        return _make_name(path), RobotRow(path)
    if robot.endswith(SUFFIXES):
        return _make_name(robot), RobotRow(str(find_urdf(robot)))
    if robot.endswith("_description"):
        urdf, package_dirs, xacro_args = find_description(robot)
        return robot, RobotRow(urdf, package_dirs=package_dirs, xacro_args=xacro_args)
    raise UnknownNameError(
        "robot", robot, ROBOTS, "A path must end with .urdf or .xacro; ros:/robot_description asks a running ROS 2."
    )


def _make_name(urdf: str) -> str:
    """Return a name for a robot that is given as a file: the file's, as a valid ROS namespace."""
    name = re.sub(r"\W", "_", Path(urdf).name.split(".")[0], flags=re.ASCII)
    return name if name[:1].isalpha() else f"robot_{name}"


def is_built_in(row: RobotRow) -> bool:
    """Return whether the URDF of a row is one of this package."""
    return find_urdf(row.urdf).parent == (Path(str(resources.files("gym_gazebo2"))) / "urdf").resolve()


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
