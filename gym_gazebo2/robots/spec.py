"""The frozen specification of an arm: everything that kinematics, controls and engines need to know about it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

__all__ = ["RobotSpec"]

Array = NDArray[np.float64]


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
