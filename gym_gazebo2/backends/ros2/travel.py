"""Go to a pose by commands alone: slowly, all joints together in a straight line, from where the arm is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import NANOSECONDS
from gym_gazebo2.backends.ros2.link import Array, Sample, Settings
from gym_gazebo2.errors import BackendError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.setpoint import WINDUP_PERIODS

__all__ = ["count_time", "travel"]

ARRIVED, AT_REST = 0.02, 0.05
"""How near to the pose and how slow an arm must be [rad], [rad/s]."""
STICTION = 0.05
"""The set-point leads a slow arm by as much at least [rad]."""
SETTLE = 3.0
"""Time that it has to come to rest there [s]."""


def count_time(way: Array, speed: Array, least: int) -> int:
    """Return the time that a way (k,) takes [ns], ``least`` at least.

    Args:
        way: From here to there [rad].
        speed: (k,) how fast [rad/s].
        least: Least time [ns].
    """
    return int(np.ceil((np.abs(way) / speed * NANOSECONDS).max(initial=least)))


def travel(robot: RobotSpec, q: Array, goal: Array, advance: Callable[[Array, int], Sample], settings: Settings) -> Sample:
    """Move an arm to a pose and wait until it rests.

    Many small commands, not one long trajectory: who dies on the way leaves an arm that stops within a period. Set-points are
    inside the limits: an arm that begins outside comes to them first, at the same speed, while its other joints wait.

    Args:
        robot: The arm.
        q: (dof,) where it is; the first command says the same, as far as that is inside the limits [rad].
        goal: (dof,) where it shall be [rad].
        advance: Commands a set-point, with at least so much time [ns] to get there, and returns the arm a period later.
        settings: The control period and the speed.

    Returns:
        The arm at rest; its set-point is where it is.

    Raises:
        BackendError: It is not there, or not at rest, in twice the time that the way takes and three seconds.
    """
    speed = settings.reset_speed * robot.velocity_limit
    most = speed * settings.control_dt_ns / NANOSECONDS
    window = WINDUP_PERIODS * most + STICTION

    def find_out(q: Array) -> NDArray[np.bool_]:
        return (q < robot.lower) | (q > robot.upper)

    def command(setpoint: Array, q: Array) -> Sample:
        inside, is_out = np.clip(setpoint, robot.lower, robot.upper), find_out(q)
        return advance(inside, count_time((inside - q)[is_out], speed[is_out], settings.control_dt_ns))

    sample = command(q, q)
    periods = 2 * np.abs((goal - sample.q) / most).max() + SETTLE * NANOSECONDS / settings.control_dt_ns
    for _ in range(int(periods) + 1):
        is_there = np.abs(sample.q - goal).max() < ARRIVED and np.allclose(sample.setpoint, goal, rtol=0.0, atol=1e-9)
        if is_there and np.abs(sample.dq).max() < AT_REST:
            return sample._replace(setpoint=sample.q.copy())
        # Meanwhile the set-point stays: what it gained would have to be made up for in one period.
        is_coming_in = find_out(sample.q).any() and np.abs(sample.dq).max() >= AT_REST
        way = np.zeros_like(goal) if is_coming_in else goal - sample.setpoint
        ahead = sample.setpoint + way / max(1.0, np.abs(way / most).max())
        sample = command(np.clip(ahead, sample.q - window, sample.q + window), sample.q)
    joint = int(np.argmax(np.abs(sample.q - goal)))
    name, at, turning = robot.joint_names[joint], sample.q[joint], sample.dq[joint]
    raise BackendError(
        f"The arm did not come to rest at its start pose: {name!r} is at {at:.3f} rad, turning "
        f"at {turning:.3f} rad/s, expected {goal[joint]:.3f} rad within {ARRIVED} rad. Is it blocked, or its drive off?"
    )
