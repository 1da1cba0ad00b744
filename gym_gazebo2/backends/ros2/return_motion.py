"""The return motion: bring an arm to a start pose by commands alone, slowly, all joints together in a straight line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import NANOSECONDS
from gym_gazebo2.backends.ros2.pacing import Array, Sample, Settings
from gym_gazebo2.errors import BackendError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.setpoint import WINDUP_PERIODS

__all__ = ["compute_duration", "return_to"]

ARRIVAL_TOLERANCE, REST_SPEED = 0.02, 0.05
"""The arm has arrived when each joint is this near to the pose [rad] and this slow [rad/s]."""
MIN_LEAD = 0.05
"""How far the set-point may lead the arm at any speed [rad]: enough to overcome the static friction of a real drive."""
SETTLING_TIME_S = 3.0
"""Extra time to come to rest at the pose [s]."""


def compute_duration(distance: Array, speed: Array, shortest: int) -> int:
    """Return the time in which every joint covers its distance [ns].

    Args:
        distance: (k,) signed distances [rad].
        speed: (k,) speeds [rad/s].
        shortest: Least value of the result [ns].
    """
    return int(np.ceil((np.abs(distance) / speed * NANOSECONDS).max(initial=shortest)))


def return_to(robot: RobotSpec, q: Array, goal: Array, advance: Callable[[Array, int], Sample], settings: Settings) -> Sample:
    """Move an arm to a pose and wait until it rests there.

    The motion is sent as many commands of one period, not as one long trajectory: if the client dies on the way, the arm stops
    within a period. All set-points are inside the limits. An arm that starts outside its limits moves inside first, at the same
    speed, while its other joints wait.

    Args:
        robot: The arm.
        q: (dof,) measured pose [rad]; the first command is this pose, clipped to the limits.
        goal: (dof,) pose to reach, inside the limits [rad].
        advance: Commands a set-point (dof,) [rad] with a shortest time to reach it [ns], and returns the arm one period later.
        settings: The control period and the speed.

    Returns:
        The arm at rest; its set-point is its measured pose.

    Raises:
        BackendError: The arm is not at rest at the pose after twice the computed time plus three seconds.
    """
    speed = settings.reset_speed * robot.velocity_limit
    step = speed * settings.control_dt_ns / NANOSECONDS  # (dof,) largest change of the set-point per period [rad]
    window = WINDUP_PERIODS * step + MIN_LEAD * robot.scale  # (dof,) largest lead of the set-point over the arm [rad]

    def find_outside(q: Array) -> NDArray[np.bool_]:
        return (q < robot.lower) | (q > robot.upper)

    def command(setpoint: Array, q: Array) -> Sample:
        # A joint outside its limits is commanded to the limit at once, and gets the time that this distance takes.
        inside, is_outside = np.clip(setpoint, robot.lower, robot.upper), find_outside(q)
        return advance(inside, compute_duration((inside - q)[is_outside], speed[is_outside], settings.control_dt_ns))

    sample = command(q, q)
    periods = 2 * np.abs((goal - sample.q) / step).max() + SETTLING_TIME_S * NANOSECONDS / settings.control_dt_ns
    for _ in range(int(periods) + 1):
        error = np.abs(sample.q - goal) / robot.scale
        is_there = error.max() < ARRIVAL_TOLERANCE and np.allclose(sample.setpoint, goal, rtol=0.0, atol=1e-9)
        if is_there and (np.abs(sample.dq) / robot.scale).max() < REST_SPEED:
            return sample._replace(setpoint=sample.q.copy())
        # While a joint returns inside its limits, its command lasts several periods. Keep the set-point fixed during that time:
        # otherwise it would move away from the other joints, and they would have to catch up within a single period.
        is_returning = find_outside(sample.q).any() and (np.abs(sample.dq) / robot.scale).max() >= REST_SPEED
        distance = np.zeros_like(goal) if is_returning else goal - sample.setpoint
        # The slowest joint sets the pace, so that all joints arrive together.
        ahead = sample.setpoint + distance / max(1.0, np.abs(distance / step).max())
        sample = command(np.clip(ahead, sample.q - window, sample.q + window), sample.q)
    joint = int(np.argmax(np.abs(sample.q - goal)))
    name, position, velocity = robot.joint_names[joint], sample.q[joint], sample.dq[joint]
    raise BackendError(
        f"The arm did not come to rest at its start pose: {name!r} is at {position:.3f} rad and turns at {velocity:.3f} rad/s, "
        f"expected {goal[joint]:.3f} rad within {ARRIVAL_TOLERANCE} rad. Check whether it is blocked, or its drive is off."
    )
