"""The one pure function that limits every command to an arm: distance from the measured position, speed, joint limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.robots import RobotSpec

__all__ = ["WINDUP_PERIODS", "compute_setpoint"]

Array = NDArray[np.float64]

WINDUP_PERIODS = 3.0
"""The set-point leads the measured position by at most this many periods at full speed."""


def compute_setpoint(setpoint: Array, target: Array, q: Array, robot: RobotSpec, travel: Array) -> Array:
    """Return the next set-point: towards the target, near the arm, no faster than v_max, inside the limits.

    s' = clip(s + clip(clip(target, q ± 3·travel) − s, ±travel), limits)

    The order matters. The target is first limited to three periods of travel from the measured position, so that an arm
    held by an obstacle does not wind up. The step towards it is limited afterwards, so that the speed limit holds whatever
    the first rule asked for.

    Args:
        setpoint: (n, dof) current set-point [rad].
        target: (n, dof) joint targets from the action [rad].
        q: (n, dof) measured joint positions [rad].
        robot: The arm.
        travel: (dof,) distance of each joint in one control period at full speed, v_max · dt [rad].

    Returns:
        (n, dof) next set-point [rad].
    """
    window = WINDUP_PERIODS * travel
    near = np.minimum(np.maximum(target, q - window), q + window)
    step = np.minimum(np.maximum(near - setpoint, -travel), travel)
    return np.minimum(np.maximum(setpoint + step, robot.lower), robot.upper)
