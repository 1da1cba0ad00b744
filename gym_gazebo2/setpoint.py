"""From action to set-point: the one pure function that limits what an arm is asked to do."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import UnknownNameError
from gym_gazebo2.robots import RobotSpec

__all__ = ["WINDUP_PERIODS", "Control", "check_control", "compute_setpoint", "compute_target"]

Array = NDArray[np.float64]
Control = Literal["delta", "position"]

WINDUP_PERIODS = 3.0
"""The set-point leads the measured position by at most this many periods at full speed."""


def check_control(control: str) -> None:
    """Raise an UnknownNameError unless the control mode exists."""
    if control not in get_args(Control):
        raise UnknownNameError("control mode", control, get_args(Control))


def compute_target(action: Array, setpoint: Array, robot: RobotSpec, travel: Array, control: Control) -> Array:
    """Return the joint target that an action means.

    Args:
        action: (n, dof) between −1 and 1.
        setpoint: (n, dof) current set-point [rad].
        robot: The arm.
        travel: (dof,) way of each joint in a period at full speed, v_max · dt [rad].
        control: "delta": set-point + action · travel; "position": −1…1 spans the joint limits.

    Returns:
        (n, dof) targets [rad], not yet limited.
    """
    if control == "delta":
        return setpoint + action * travel
    return robot.lower + 0.5 * (action + 1.0) * (robot.upper - robot.lower)


def compute_setpoint(setpoint: Array, target: Array, q: Array, robot: RobotSpec, travel: Array) -> Array:
    """Return the next set-point: towards the target, no faster than v_max, inside the limits, near the arm.

    The target is first brought within three periods of travel of the measured position, so that an arm held by an
    obstacle does not wind up; then the step towards it is limited, so that nothing can make the result faster.

    Args:
        setpoint: (n, dof) current set-point [rad].
        target: (n, dof) where the action points [rad].
        q: (n, dof) measured joint positions [rad].
        robot: The arm.
        travel: (dof,) way of each joint in a period at full speed, v_max · dt [rad].

    Returns:
        (n, dof) next set-point [rad].
    """
    window = WINDUP_PERIODS * travel
    near = np.minimum(np.maximum(target, q - window), q + window)
    step = np.minimum(np.maximum(near - setpoint, -travel), travel)
    return np.minimum(np.maximum(setpoint + step, robot.lower), robot.upper)
