"""The newest state of an arm whose states come by themselves: late, doubled, reordered, foreign and absurd ones told apart.

Times of arrival come from the caller, on a steady clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NoReturn

import numpy as np

from gym_gazebo2.backends.base import ABSURD_POSITION, ABSURD_SPEED, NANOSECONDS
from gym_gazebo2.backends.ros2.link import Array
from gym_gazebo2.backends.ros2.wire import JointReading
from gym_gazebo2.errors import BackendError
from gym_gazebo2.robots import RobotSpec

__all__ = ["Feed", "State", "fill_velocities"]

JUMP_PERIODS = 0.75
"""After so many periods with nothing but older stamps, the clock was set back, and it is not that a message was late."""
TWO_CLOCKS = 10.0
"""A clock that is set back twice within so long is two clocks [s]."""
MOST_HASTE, MOST_LEAP = 100.0, 10.0
"""A provider's clock runs at most so many times as fast as time, and so far besides [s]."""
MOST_SPEEDUP, MOST_NOISE = 4.0, 0.2
"""Between two states an arm moves at most so many times as far as at its velocity limit, and so far besides [rad]."""


def fill_velocities(dq: Array, way: Array, nanoseconds: int) -> Array:
    """Return velocities (dof,); where the publisher gives none, NaN, those of the way (dof,) that took so long [rad/s]."""
    return way * (NANOSECONDS / nanoseconds) if np.isnan(dq).all() else dq


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """A measured state.

    Attributes:
        stamp: Time of the provider's clock, without its jumps back [ns].
        q: (dof,) positions [rad].
        dq: (dof,) velocities [rad/s]; from the positions where the publisher gives none.
        received: When it came at the earliest, on the steady clock [s].
    """

    stamp: int
    q: Array
    dq: Array
    received: float


class Feed:
    """Takes messages as they come, and keeps the newest state that can be true.

    Attributes:
        newest: That state; None before the first.
        force: Largest contact force since it was last set [N].
    """

    def __init__(
        self, robot: RobotSpec, arrange: Callable[[JointReading], tuple[Array, Array]], topic: str, period: float
    ) -> None:
        """Expect states of a robot.

        Args:
            robot: The arm.
            arrange: Returns positions and velocities (dof,) by the robot's joints, or raises a BackendError.
            topic: Where they come from, for messages.
            period: Control period [s].
        """
        self.force = 0.0
        self._robot, self._arrange, self._topic, self._period = robot, arrange, topic, period
        self.restart()

    def restart(self) -> None:
        """Forget all that came: what comes next is the first."""
        self.newest: State | None = None
        self._shift = 0
        self._older_since: float | None = None
        self._set_back = -np.inf
        self._broken: BackendError | None = None

    def take(self, reading: JointReading, now: float, earliest: float | None = None) -> None:
        """Take what came.

        Args:
            reading: What it says.
            now: The steady clock [s].
            earliest: Time at which it may have come already, where it waited in a queue [s].
        """
        if set(self._robot.joint_names).isdisjoint(reading.names):
            return  # another device on the same topic
        try:
            stamp = self._unwrap(reading.stamp, now)
            if self.newest is not None and stamp <= self.newest.stamp:
                return
            q, dq = self._arrange(reading)
            self.newest = self._check(State(stamp, q, self._fill(dq, q, stamp), now if earliest is None else earliest))
            self._broken = None
        except BackendError as error:
            self._broken = error

    def check(self, now: float, stale_after: float, since: float = -np.inf) -> State:
        """Return the newest state.

        Args:
            now: The steady clock [s].
            stale_after: Age at which it is too old [s].
            since: Time from which on another is awaited; before that its age does not count [s].

        Raises:
            BackendError: It is too old, or what came after it cannot be true.
        """
        if self._broken is not None:
            error, self._broken = self._broken, None
            raise error
        if self.newest is None:
            raise BackendError(f"No state came on {self._topic}, expected one of {self._robot.joint_names}.")
        age = now - max(self.newest.received, since)
        if age > stale_after:
            raise BackendError(
                f"The newest state on {self._topic} is {age:.2f} s old, expected one every {self._period:g} s "
                f"and none older than {stale_after:g} s. Is the robot off, or the simulator slow (option stale_after)?"
            )
        return self.newest

    def _unwrap(self, stamp: int, now: float) -> int:
        """Return the stamp on a clock that does not jump back: who resets a simulator may set its time back, once in a while.

        Raises:
            BackendError: It was set back just before, or leaps ahead: another node publishes there, by a clock of its own.
        """
        newest, stamp = self.newest, stamp + self._shift
        if newest is None or stamp >= newest.stamp:
            self._older_since = None
            if newest is not None:
                self._check_leap((stamp - newest.stamp) / NANOSECONDS, now - newest.received)
        elif self._older_since is None:
            self._older_since = now
        elif now - self._older_since > JUMP_PERIODS * self._period:
            self._older_since = None
            since, self._set_back = now - self._set_back, now
            if since < TWO_CLOCKS:
                self._blame_other(f"went back twice within {since:.1f} s")
            resumed = newest.stamp + round((now - newest.received) * NANOSECONDS)
            self._shift += resumed - stamp
            self.newest = None  # the arm may be anywhere now
            return resumed
        return stamp

    def _check_leap(self, leap: float, passed: float) -> None:
        if leap > MOST_HASTE * passed + MOST_LEAP:
            self._blame_other(f"went ahead by {leap:.1f} s while {passed:.1f} s passed")

    def _blame_other(self, what: str) -> NoReturn:
        raise BackendError(
            f"The time of the states on {self._topic} {what}, expected one clock. Does another node publish there, by a clock "
            "of its own (another simulator, or a joint_state_publisher)? End it, or take another namespace or ROS_DOMAIN_ID."
        )

    def _fill(self, dq: Array, q: Array, stamp: int) -> Array:
        """Return velocities; where the publisher gives none, those of the way since the newest state."""
        if self.newest is None:
            return fill_velocities(dq, np.zeros_like(q), 1)
        return fill_velocities(dq, q - self.newest.q, stamp - self.newest.stamp)

    def _check(self, state: State) -> State:
        robot = self._robot
        sane = (state.q > robot.lower - ABSURD_POSITION) & (state.q < robot.upper + ABSURD_POSITION)
        sane &= np.abs(state.dq) < ABSURD_SPEED
        if not sane.all():
            joint = int(np.argmin(sane))
            raise BackendError(
                f"{self._topic} says that {robot.joint_names[joint]!r} is at {state.q[joint]} rad and turns at "
                f"{state.dq[joint]} rad/s; expected {robot.lower[joint]} to {robot.upper[joint]} rad, and numbers."
            )
        if self.newest is not None:
            way = np.abs(state.q - self.newest.q)
            most = MOST_SPEEDUP * robot.velocity_limit * (state.stamp - self.newest.stamp) / NANOSECONDS + MOST_NOISE
            if (way > most).any():
                joint = int(np.argmax(way - most))
                raise BackendError(
                    f"{self._topic} says that {robot.joint_names[joint]!r} went {way[joint]:.3f} rad between two states, "
                    f"at most {most[joint]:.3f} expected. Does another node publish there, or did a reset move the arm?"
                )
        return state
