"""Robots as data: a URDF and one row of a table give a frozen specification.

The URDF is the only place that holds a robot's geometry, limits and masses. A row of ``ROBOTS`` adds the values for which
the URDF format has no element: home pose, tool frame, and the speed to train with. This module knows neither tasks nor
simulators.
"""

from __future__ import annotations

import dataclasses
import functools
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.checks import add_row
from gym_gazebo2.errors import InvalidArgumentError, RobotError, UnknownNameError
from gym_gazebo2.urdf_check import check_inertias, check_joints, check_rotors, check_tree

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["ROBOTS", "RobotRow", "RobotSpec", "load_robot", "make_robot", "register_robot"]

Array = NDArray[np.float64]

INERTIA_POSES = 32
"""Random poses over which the links' inertia about each joint is averaged."""


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
}


@dataclasses.dataclass(frozen=True, eq=False)
class RobotSpec:
    """A serial arm of revolute joints, in the order from base to tool. Arrays are read-only; ``dof`` entries each.

    Attributes:
        name: Name, also its ROS namespace.
        urdf: Path of the URDF.
        base_link: Root link; "base" in names such as ``p_tcp_in_base``.
        tool_frame: Link whose origin is the tool centre point (tcp).
        joint_names: Names of the joints.
        link_names: Names of the joints' child links.
        lower: Lower position limits [rad].
        upper: Upper position limits [rad].
        velocity_limit: Largest speed of the joints [rad/s]; backends refuse faster set-points.
        control_speed: Largest speed that the environment commands, v_max [rad/s].
        effort_limit: Torque limits [N·m].
        home: Home pose [rad].
        rotor_inertia: Inertia of the rotor as seen at the joint, that is, times the gear reduction squared [kg·m²].
        drive_inertia: Apparent inertia that the drive assumes, M̂ [kg·m²]: the rotor's, plus the links' inertia about the
            joint, averaged over the workspace.
        T_joint_to_parent: (dof, 4, 4) pose of each joint's frame in the frame of the previous joint, all joints at zero.
        axis: (dof, 3) unit joint axes in the joint's frame.
        T_tcp_to_last: (4, 4) pose of the tool in the last joint's frame.
    """

    name: str
    urdf: str
    base_link: str
    tool_frame: str
    joint_names: tuple[str, ...]
    link_names: tuple[str, ...]
    lower: Array
    upper: Array
    velocity_limit: Array
    control_speed: Array
    effort_limit: Array
    home: Array
    rotor_inertia: Array
    drive_inertia: Array
    T_joint_to_parent: Array
    axis: Array
    T_tcp_to_last: Array

    def __post_init__(self) -> None:
        """Make every array read-only."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def dof(self) -> int:
        """Number of joints."""
        return len(self.joint_names)


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
    robot, rotors = _parse(path)
    # The checks come before any computation: an invalid URDF must end in an error that names its element, not in a
    # LinAlgError or in an arm that explodes in the simulator.
    check_tree(robot, path)
    check_inertias(robot, path)
    check_rotors(rotors, path)
    chain = _find_chain(robot, row.tool_frame, path)
    moving = [joint for joint in chain if joint.type != "fixed"]
    check_joints(robot.joints, moving, path)
    offsets, T_tcp_to_last = _fold_fixed_joints(chain)
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
        drive_inertia=rotor + _compute_mean_inertia(robot, moving, limits["lower"], limits["upper"]),
        T_joint_to_parent=offsets,
        axis=np.array([joint.axis / np.linalg.norm(joint.axis) for joint in moving]),
        T_tcp_to_last=T_tcp_to_last,
    )


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


def _parse(path: Path) -> tuple[yourdfpy.Robot, dict[str, float]]:
    """Return the parsed URDF, and joint name → rotor inertia as seen at the joint [kg·m²].

    Raises:
        RobotError: The URDF is malformed.
    """
    import yourdfpy

    try:
        tree = ET.parse(path)
        robot = yourdfpy.URDF.load(str(path), load_meshes=False, build_scene_graph=False).robot
        rotor = {}
        # yourdfpy reads a transmission but drops its actuator's rotor inertia and reduction, so they are read here.
        for transmission in tree.getroot().iter("transmission"):
            joint = transmission.find("joint")
            inertia = float(transmission.findtext(".//rotorInertia", "0"))
            reduction = float(transmission.findtext(".//mechanicalReduction", "1"))
            # A rotor behind a gear of ratio N turns N times as fast as the joint, so its inertia appears N² times as large.
            if joint is not None:
                rotor[joint.attrib["name"]] = inertia * reduction**2
    # yourdfpy raises all of these for malformed elements, depending on the element.
    except (ET.ParseError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise RobotError(f"The URDF {str(path)!r} is malformed: {error}. Check it with check_urdf or an XML editor.") from error
    return robot, rotor


def _find_chain(robot: yourdfpy.Robot, tool_frame: str, path: Path) -> list[yourdfpy.Joint]:
    """Return the joints from the root link to the tool frame, fixed ones included.

    Raises:
        RobotError: No joint leads to the tool frame.
    """
    # From the tool upwards, the way is unique: every link has one parent at most. check_tree has made sure of that.
    by_child = {joint.child: joint for joint in robot.joints}
    if tool_frame not in by_child:
        exists = ", ".join(link.name for link in robot.links)
        raise RobotError(f"{str(path)!r} has no joint that leads to the tool frame {tool_frame!r}. Its links are: {exists}.")
    chain: list[yourdfpy.Joint] = []
    link = tool_frame
    while link in by_child:
        chain.insert(0, by_child[link])
        link = by_child[link].parent
    return chain


def _fold_fixed_joints(chain: Sequence[yourdfpy.Joint]) -> tuple[Array, Array]:
    """Return the moving joints' poses in the frame of the previous one (dof, 4, 4), and the tool's in the last one (4, 4)."""
    # T collects the constant transforms since the last moving joint.
    offsets, T = [], np.eye(4)
    for joint in chain:
        T = T @ (np.eye(4) if joint.origin is None else joint.origin)
        if joint.type != "fixed":
            offsets.append(T)
            T = np.eye(4)
    return np.array(offsets), T


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


def _compute_mean_inertia(robot: yourdfpy.Robot, moving: Sequence[yourdfpy.Joint], lower: Array, upper: Array) -> Array:
    """Return the inertia about each joint's axis of all links beyond it, averaged over the workspace, (dof,) [kg·m²]."""
    import yourdfpy

    urdf = yourdfpy.URDF(robot, load_meshes=False)
    # A fixed seed: every process, and every engine that is given M̂, must see the same number.
    poses = np.random.default_rng(0).uniform(lower, upper, (INERTIA_POSES, len(moving)))
    inertia = np.zeros(len(moving))
    for q in poses:
        urdf.update_cfg(q)
        for index, joint in enumerate(moving):
            T_joint = urdf.get_transform(joint.child)
            beyond = [other.child for other in urdf.robot.joints if _is_descendant(urdf, other.child, joint.child)]
            inertia[index] += sum(_compute_inertia_about(urdf, link, T_joint, joint.axis) for link in beyond)
    return inertia / len(poses)


def _is_descendant(urdf: yourdfpy.URDF, link: str, ancestor: str) -> bool:
    """Return whether a link is the ancestor itself, or hangs on it."""
    parents = {joint.child: joint.parent for joint in urdf.robot.joints}
    while link != ancestor and link in parents:
        link = parents[link]
    return link == ancestor


def _compute_inertia_about(urdf: yourdfpy.URDF, link: str, T_joint: Array, axis: Array) -> float:
    """Return one link's inertia about a joint axis, by the parallel-axis theorem (Steiner) [kg·m²]."""
    inertial = urdf.link_map[link].inertial
    if inertial is None or not inertial.mass:
        return 0.0
    T_com = urdf.get_transform(link) @ (np.eye(4) if inertial.origin is None else inertial.origin)
    a = T_joint[:3, :3] @ axis / np.linalg.norm(axis)
    r = T_com[:3, 3] - T_joint[:3, 3]
    I_base = T_com[:3, :3] @ inertial.inertia @ T_com[:3, :3].T
    # aᵀ I a about the centre of mass, plus the mass times the squared distance of the centre of mass from the axis.
    return float(a @ I_base @ a + inertial.mass * (r @ r - (a @ r) ** 2))
