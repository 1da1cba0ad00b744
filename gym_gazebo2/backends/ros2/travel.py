"""Go to a pose by commands alone: slowly, all joints together in a straight line, from where the arm is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gym_gazebo2.backends.base import NANOSECONDS
from gym_gazebo2.backends.ros2.link import Array, Sample, Settings
from gym_gazebo2.errors import BackendError
from gym_gazebo2.robots import RobotSpec

__all__ = ["travel"]

ARRIVED, AT_REST = 0.02, 0.05
"""How near to the pose and how slow an arm must be [rad], [rad/s]."""
SETTLE = 3.0
"""Time that it has to come to rest there [s]."""


def travel(robot: RobotSpec, q: Array, goal: Array, advance: Callable[[Array], Sample], settings: Settings) -> Sample:
    """Move an arm to a pose and wait until it rests.

    Many small commands, not one long trajectory: who dies on the way leaves an arm that stops within a period.

    Args:
        robot: The arm.
        q: (dof,) where it is; the first command says the same [rad].
        goal: (dof,) where it shall be [rad].
        advance: Commands a set-point and returns the arm a period later.
        settings: The control period and the speed.

    Returns:
        The arm at rest; its set-point is where it is.

    Raises:
        BackendError: It is not there, or not at rest, in twice the time that the way takes and three seconds.
    """
    most = settings.reset_speed * robot.velocity_limit * settings.control_dt_ns / NANOSECONDS
    sample = advance(np.clip(q, robot.lower, robot.upper))
    periods = 2 * np.abs((goal - sample.q) / most).max() + SETTLE * NANOSECONDS / settings.control_dt_ns
    for _ in range(int(periods) + 1):
        is_there = np.abs(sample.q - goal).max() < ARRIVED and np.allclose(sample.setpoint, goal, rtol=0.0, atol=1e-9)
        if is_there and np.abs(sample.dq).max() < AT_REST:
            return sample._replace(setpoint=sample.q.copy())
        way = goal - sample.setpoint
        sample = advance(sample.setpoint + way / max(1.0, np.abs(way / most).max()))
    joint = int(np.argmax(np.abs(sample.q - goal)))
    name, at, speed = robot.joint_names[joint], sample.q[joint], sample.dq[joint]
    raise BackendError(
        f"The arm did not come to rest at its start pose: {name!r} is at {at:.3f} rad, turning "
        f"at {speed:.3f} rad/s, expected {goal[joint]:.3f} rad within {ARRIVED} rad. Is it blocked, or its drive off?"
    )
