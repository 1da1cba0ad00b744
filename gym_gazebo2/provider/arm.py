"""One arm of the embedded physics that follows ramps of any whole number of physics steps. Knows no ROS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import NANOSECONDS
from gym_gazebo2.backends.mujoco import PHYSICS_DT, MujocoBackend
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.provider.messages import RefusedError
from gym_gazebo2.robots import RobotSpec

__all__ = ["ServedArm"]

Array = NDArray[np.float64]

TOUCH = 1e-9
"""Force that is reported where links touch without one: contact is told by a force above zero [N]."""
REACH_TOLERANCE = 1e-6
"""A client rounds: as much may a set-point be out of reach, absolute and relative [rad]."""
ONE = np.ones(1, dtype=bool)


class ServedArm:
    """An arm that is placed, commanded, and advanced along its command's ramp.

    Attributes:
        robot: The arm.
        physics_dt_ns: Physics step [ns].
        time: Simulated time; runs on through placements [ns].
        q: (dof,) measured joint positions [rad].
        dq: (dof,) measured joint velocities [rad/s].
    """

    def __init__(self, robot: RobotSpec, control_dt: float = 0.05, physics_dt: float = PHYSICS_DT, start: int = 0) -> None:
        """Make the arm, at home.

        Args:
            robot: The arm.
            control_dt: Control period, a whole number of physics steps [s].
            physics_dt: Physics step, whole nanoseconds [s].
            start: Simulated time of the start [ns].

        Raises:
            InvalidArgumentError: A time cannot work.
        """
        self._backend = MujocoBackend(robot, 1, control_dt, physics_dt, num_threads=1, measure_forces=True)
        self.robot, self.time, self.physics_dt_ns = robot, start, round(physics_dt * NANOSECONDS)
        if abs(physics_dt * NANOSECONDS - self.physics_dt_ns) > 1e-3:
            raise InvalidArgumentError("physics_dt", physics_dt, "whole nanoseconds")
        self.place(robot.home)

    @property
    def left(self) -> int:
        """Physics steps until the command's end."""
        return self._steps - self._done

    @property
    def effort(self) -> Array:
        """(dof,) torques of the drives in the last physics step [N·m]."""
        effort: Array = self._backend.effort[0]
        return effort

    def place(self, q: Array) -> None:
        """Put the joints at ``q`` (dof,) inside the limits [rad], at rest, and forget the command."""
        state = self._backend.reset(ONE, np.clip(q, self.robot.lower, self.robot.upper)[None])
        self.q, self.dq, self._setpoint = state.q[0], state.dq[0], state.q[0]
        self._start = self._goal = self._setpoint
        self._steps = self._done = 0
        self._force = TOUCH if state.in_collision[0] else 0.0

    def command(self, goal: Array, steps: int) -> None:
        """Take a command; ``advance`` then follows it.

        Args:
            goal: (dof,) set-point at its end, inside the limits [rad].
            steps: Physics steps that the straight way there takes.

        Raises:
            RefusedError: A joint would be faster than its velocity limit.
        """
        seconds = steps * self.physics_dt_ns / NANOSECONDS
        reach = self.robot.velocity_limit * seconds * (1 + REACH_TOLERANCE) + REACH_TOLERANCE
        from_setpoint = np.abs(goal - self._setpoint) <= reach
        # A client that has just come, or holds the arm, starts from what it measured.
        far = ~from_setpoint & (np.abs(goal - self.q) > reach)
        if far.any():
            name = self.robot.joint_names[int(np.argmax(far))]
            raise RefusedError(f"a command that moves {name!r} faster than its velocity limit")
        if not from_setpoint.all():
            self._move_setpoint(np.where(from_setpoint, self._setpoint, self.q))
        self._start, self._goal = self._setpoint, np.clip(goal, self.robot.lower, self.robot.upper)
        self._steps, self._done = steps, 0

    def advance(self, steps: int) -> None:
        """Advance time by physics steps, at most ``left`` of them along the command; without one, hold."""
        self._done = min(self._done + steps, self._steps)
        is_over = self._done == self._steps
        self._setpoint = self._goal if is_over else self._start + self._done / self._steps * (self._goal - self._start)
        state = self._backend.advance(self._setpoint[None], steps)
        self.q, self.dq = state.q[0], state.dq[0]
        self.time += steps * self.physics_dt_ns
        if state.in_collision[0]:
            self._force = max(self._force, TOUCH, float(self._backend.contact_force[0]))

    def take_contact_force(self) -> float:
        """Return the largest contact force since the last call or placement [N]; zero when free."""
        force, self._force = self._force, 0.0
        return force

    def show(self) -> None:
        """Draw the arm in a window, no faster than one picture a control period."""
        self._backend.render("human", 0, 0)

    def close(self) -> None:
        """Free the physics and the window; closing twice is fine."""
        self._backend.close()

    def _move_setpoint(self, setpoint: Array) -> None:
        self._backend.set_state(self._backend.get_state() | {"setpoint": setpoint[None]})
        self._setpoint = setpoint
