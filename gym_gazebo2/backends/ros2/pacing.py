"""What every pacing has in common: its three methods, its settings, and the state that it returns."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.ros2.messages import ObjectCommand, ObjectReading
from gym_gazebo2.contract import NANOSECONDS

__all__ = ["Array", "Pacing", "Sample", "Settings", "fill_velocities"]

Array = NDArray[np.float64]


class Sample(NamedTuple):
    """An arm at the end of a control period.

    Attributes:
        stamp: Time of the provider's clock [ns].
        q: (dof,) measured positions [rad].
        dq: (dof,) measured velocities [rad/s].
        setpoint: (dof,) set-points of the drives at the end of their last ramp [rad].
        in_collision: Whether there was contact at any time of the period.
        objects: The objects at that instant; None for a scene without objects.
    """

    stamp: int
    q: Array
    dq: Array
    setpoint: Array
    in_collision: bool
    objects: ObjectReading | None = None


class Pacing(Protocol):
    """How an arm's time advances.

    Attributes:
        lock_step: Whether time stands still between steps.
        timeout: Deadline of every wait [s].
    """

    lock_step: bool
    timeout: float

    def place(self, q: Array, objects: ObjectCommand | None = None) -> Sample:
        """Bring the arm to ``q`` (dof,) [rad], at rest, and objects where they are to be, where that can be commanded."""
        ...

    def advance(self, goal: Array, objects: ObjectCommand | None = None) -> Sample:
        """Command a set-point (dof,) [rad], and return the arm at the end of the period.

        Args:
            goal: (dof,) set-point [rad].
            objects: Objects that stay; the others are taken away before the period begins. None changes nothing.
        """
        ...

    def hold(self) -> None:
        """Command the arm to hold its position, if anything can still be commanded. Never raises."""
        ...


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a pacing.

    Attributes:
        control_dt_ns: Control period [ns].
        timeout: Deadline of every wait [s].
        reset_speed: Speed of the motion to a start pose, as a share of the velocity limits, where the arm cannot be placed.
        stale_after: Free-running: age at which the newest state is too old to act on [s].
        objects_stale_after: Free-running: age at which the newest pose of an object is too old to act on [s].
    """

    control_dt_ns: int
    timeout: float
    reset_speed: float
    stale_after: float
    objects_stale_after: float = 0.5


def fill_velocities(dq: Array, moved: Array, nanoseconds: int) -> Array:
    """Return ``dq``, or the mean velocity if the publisher gives none.

    Args:
        dq: (dof,) reported velocities [rad/s]; all NaN if the publisher reports none.
        moved: (dof,) change of position since the state before [rad].
        nanoseconds: Time between the two states [ns].
    """
    return moved * (NANOSECONDS / nanoseconds) if np.isnan(dq).all() else dq
