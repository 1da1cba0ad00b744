"""What the sorting tasks see: arms and objects in the table's frame, prepared once for rewards and observations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import UsageError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.scene import Pool
from gym_gazebo2.tasks.base import TaskState
from gym_gazebo2.tasks.objects import compute_extent, compute_rpy
from gym_gazebo2.tasks.rotations import make_rotation
from gym_gazebo2.tasks.sort_table import Table

__all__ = ["FULL_LAG", "LatestView", "SortView", "compute_squeeze", "make_view"]

Array = NDArray[np.float64]

FULL_LAG = 0.45
"""Distance of the fingers behind their set-point that counts as a full grip, in units of the opening (−1 closed to 1 open). For
the Panda it is 9 mm and 15 N."""
SHUT = -0.97
"""Fingers whose opening is smaller hold nothing (−1 closed to 1 open)."""


@dataclasses.dataclass(frozen=True)
class SortView:
    """n arms with k objects each, in the table's frame: lengths are divided by the table's scale.

    Attributes:
        position: (n, k, 3) positions of the objects [m]; zero where a pose is not finite.
        rpy: (n, k, 3) roll, pitch, yaw [rad].
        velocity: (n, k, 3) linear velocities [m/s].
        spin: (n, k, 3) angular velocities [rad/s].
        half_size: (n, k, 3) half sizes along the object's own axes [m].
        extent: (n, k, 3) half sizes of the bounding box along the table's axes [m].
        shape: (n, k) index of the shape in ``SHAPES``.
        is_finite: (n, k) bool, whether all of an object's numbers are finite.
        remains: (n, k) bool, objects that are neither sorted nor lost.
        tcp: (n, 3) position of the tool [m].
        tcp_rpy: (n, 3) its rotation from the home pose, about the base's axes [rad].
        tcp_velocity: (n, 3) [m/s].
        tcp_spin: (n, 3) [rad/s].
        opening: (n,) measured opening of the gripper, −1 closed to 1 open.
        opening_setpoint: (n,) the set-point of its drives, in the same unit.
        squeeze: (n,) how hard the fingers close on something, from 0 to 1, see ``compute_squeeze``.
        gravity: Gravity [m/s²] in the table's unit of length.
    """

    position: Array
    rpy: Array
    velocity: Array
    spin: Array
    half_size: Array
    extent: Array
    shape: NDArray[np.int64]
    is_finite: NDArray[np.bool_]
    remains: NDArray[np.bool_]
    tcp: Array
    tcp_rpy: Array
    tcp_velocity: Array
    tcp_spin: Array
    opening: Array
    opening_setpoint: Array
    squeeze: Array
    gravity: float

    @property
    def bottom(self) -> Array:
        """(n, k) height of the lowest points of the objects above the table [m]."""
        height: Array = self.position[..., 2] - self.extent[..., 2]
        return height

    @property
    def is_first(self) -> NDArray[np.bool_]:
        """(n, k) bool, the remaining object of the lowest index, at most one per arm."""
        return self.remains & (np.cumsum(self.remains, axis=1) == 1)


class LatestView:
    """The view of the newest state. The rewards and the observation of a period see the same state, so it is made once.

    A state is recognised by its parts, which nobody changes in place. Of its memory a view has ``remains`` alone.
    """

    def __init__(self) -> None:
        """Begin without a view."""
        self._seen: tuple[TaskState, SortView] | None = None

    def __getstate__(self) -> dict[str, None]:
        """Return what a copy or a pickle holds: no view."""
        return {"_seen": None}

    def get(self, state: TaskState, remains: NDArray[np.bool_], make: Callable[[], SortView]) -> SortView:
        """Return the view of a state, with the objects (n, k) that remain; ``make`` makes it."""
        if self._seen is not None:
            seen, view = self._seen
            if seen.arm is state.arm and seen.tcp is state.tcp and seen.action is state.action:
                return dataclasses.replace(view, remains=remains)
        view = make()
        self._seen = state, view
        return view


def compute_squeeze(opening: Array, setpoint: Array, action: Array) -> Array:
    """Return (n,) how hard the fingers close on something, from 0 to 1.

    An object between the fingers keeps them behind their set-point. In torque control the set-point equals the measured
    opening. Then the commanded share of the grip force is returned, or 0 if the fingers are shut.

    Args:
        opening: (n,) measured openings, −1 closed to 1 open.
        setpoint: (n,) set-points, in the same unit.
        action: (n,) the gripper's component of the action.
    """
    share = np.where(setpoint == opening, -action * (opening > SHUT), (opening - setpoint) / FULL_LAG)
    return np.clip(share, 0.0, 1.0)


def make_view(
    state: TaskState, remains: NDArray[np.bool_], table: Table, pool: Pool, kinematics: Kinematics, R_home: Array
) -> SortView:
    """Return the view of a state.

    Args:
        state: The state.
        remains: (n, k) bool, objects that are neither sorted nor lost.
        table: The table.
        pool: The scene's pool.
        kinematics: The arm, with its gripper.
        R_home: (3, 3) rotation of the tool in the home pose.

    Raises:
        UsageError: The state has no objects, or the robot no gripper.
    """
    objects, tcp, gripper = state.arm.objects, state.tcp, kinematics.robot.gripper
    if objects is None or gripper is None:
        raise UsageError("Sorting needs a scene with objects and a robot with a gripper. Make the environment with gym.make.")
    numbers = np.concatenate([objects.pose, objects.twist], axis=-1)
    is_finite = np.isfinite(numbers).all(axis=-1)
    pose, twist = objects.pose, objects.twist
    if not is_finite.all():
        # An engine that diverged may report NaN. The task ends such an episode; its last observation must be finite.
        pose = np.where(is_finite[..., None], pose, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
        twist = np.where(is_finite[..., None], twist, 0.0)
    R, first = make_rotation(pose[..., 3:]), kinematics.robot.chain_dof
    opening = gripper.compute_opening(state.arm.q[:, first:])
    setpoint = gripper.compute_opening(state.arm.q_setpoint[:, first:])
    return SortView(
        position=table.from_base(pose[..., :3]),
        rpy=compute_rpy(R),
        velocity=twist[..., :3] / table.scale,
        spin=twist[..., 3:],
        half_size=pool.half_size[objects.index] / table.scale,
        extent=compute_extent(pool, objects.index, R) / table.scale,
        shape=pool.shape[objects.index],
        is_finite=is_finite,
        remains=remains,
        tcp=table.from_base(tcp.position),
        tcp_rpy=compute_rpy(tcp.rotation @ R_home.T),
        tcp_velocity=tcp.velocity / table.scale,
        tcp_spin=tcp.angular_velocity,
        opening=opening,
        opening_setpoint=setpoint,
        squeeze=compute_squeeze(opening, setpoint, state.action[:, -1]),
        gravity=9.81 / table.scale,
    )
