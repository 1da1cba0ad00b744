"""The frozen specification of an arm: everything that kinematics, controls and engines need to know about it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOOR", "ExcludedPair", "RobotSpec"]

Array = NDArray[np.float64]


FLOOR = "floor"
"""Name of the floor in pairs of links."""


@dataclasses.dataclass(frozen=True)
class ExcludedPair:
    """Two links whose collisions do not count.

    Attributes:
        link1: Name of a link, or ``FLOOR``.
        link2: Name of the other link.
        reason: Why, such as "neighbours".
    """

    link1: str
    link2: str
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class RobotSpec:
    """A serial arm, in the order from base to tool. Arrays are read-only; ``dof`` entries each.

    Joints are revolute [rad, N·m, kg·m²] or prismatic [m, N, kg]. A continuous joint is revolute with limits that are
    four turns away from zero.

    Attributes:
        name: Name, also its ROS namespace.
        urdf: Path of the URDF that every engine reads: the maker's, or its expanded copy in the cache.
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
        is_prismatic: Which joints slide.
        is_continuous: Which joints had no limits in the URDF.
        mount_height: Height of the base above the floor [m].
        default_contacts: Whether MuJoCo's default contacts and limits are used.
        excluded_pairs: Pairs of links whose collisions do not count, each with its reason. Every engine excludes these.
        assumptions: What was assumed because the URDF does not say it, one sentence each.
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
    is_prismatic: NDArray[np.bool_]
    is_continuous: NDArray[np.bool_]
    mount_height: float = 0.0
    default_contacts: bool = False
    excluded_pairs: tuple[ExcludedPair, ...] = ()
    assumptions: tuple[str, ...] = ()

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

    @property
    def scale(self) -> Array:
        """(dof,) 1 rad, or the stroke of a prismatic joint [m]: tolerances are written in rad and multiplied by this."""
        return np.where(self.is_prismatic, self.upper - self.lower, 1.0)

    @property
    def range_lower(self) -> Array:
        """(dof,) lower ends of the useful range: the limits, but one turn around zero for continuous joints."""
        return np.where(self.is_continuous, -np.pi, self.lower)

    @property
    def range_upper(self) -> Array:
        """(dof,) upper ends of the useful range."""
        return np.where(self.is_continuous, np.pi, self.upper)

    def wrap(self, q: Array) -> Array:
        """Return joint positions (n, dof) with those of continuous joints between −π and π [rad]."""
        return np.where(self.is_continuous, (q + np.pi) % (2.0 * np.pi) - np.pi, q)
