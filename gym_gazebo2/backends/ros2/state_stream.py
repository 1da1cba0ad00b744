"""The newest valid state of an arm that publishes by itself: rejects late, repeated and impossible states, and those of others.

Arrival times come from the caller, on a steady clock (``time.monotonic``), so that tests need no real time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import numpy as np

from gym_gazebo2.backends.base import ABSURD_POSITION, ABSURD_SPEED, NANOSECONDS
from gym_gazebo2.backends.ros2.messages import JointReading
from gym_gazebo2.backends.ros2.pacing import Array, fill_velocities
from gym_gazebo2.errors import BackendError
from gym_gazebo2.robots import RobotSpec

__all__ = ["State", "StateStream"]

CLOCK_RESET_PERIODS = 0.75
"""If only older stamps arrive for this many control periods, the provider's clock was set back. A single older stamp is a
message that was overtaken on its way."""
MIN_RESET_INTERVAL_S = 10.0
"""Two backward jumps of the clock within this time mean two publishers with different clocks [s]."""
MAX_CLOCK_RATE, CLOCK_MARGIN_S = 100.0, 10.0
"""Between two states a stamp may advance by at most 100 × the elapsed time + 10 s. A larger jump means two publishers."""
MAX_SPEED_FACTOR, POSITION_MARGIN = 4.0, 0.2
"""Between two states a joint may move by at most 4 × velocity limit × time + 0.2 rad. Real arms overshoot their limit in a
collision, and encoders are noisy; an arm that "moved" farther is another arm, or was placed by a reset."""


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """A measured state.

    Attributes:
        stamp: Time of the provider's clock, with its backward jumps removed [ns].
        q: (dof,) positions [rad].
        dq: (dof,) velocities [rad/s]; computed from the positions if the publisher gives none.
        received: Earliest possible time of arrival, on the steady clock [s].
    """

    stamp: int
    q: Array
    dq: Array
    received: float


class Unmoved(NamedTuple):
    """A state whose stamp was not newer than the newest one's.

    Attributes:
        stamp: Its time stamp [ns].
        arrived: Its arrival, on the steady clock [s].
    """

    stamp: int
    arrived: float


class StateStream:
    """Keeps the newest valid state.

    Attributes:
        newest: The newest valid state; None before the first.
        force: Largest contact force since the caller last set it to zero [N].
    """

    def __init__(
        self, robot: RobotSpec, arrange: Callable[[JointReading], tuple[Array, Array]], topic: str, period: float
    ) -> None:
        """Start without any state.

        Args:
            robot: The arm.
            arrange: Returns positions and velocities (dof,) in the robot's order, or raises a BackendError.
            topic: Name of the states' topic, for error messages.
            period: Control period [s].
        """
        self.force = 0.0
        self._robot, self._arrange, self._topic, self._period = robot, arrange, topic, period
        self.restart()

    def restart(self) -> None:
        """Forget all states, so that the next one is compared with none."""
        self.newest: State | None = None
        self._clock_shift = 0  # added to every stamp: the sum of the backward jumps so far [ns]
        self._only_older_since: float | None = None  # arrival of the first of several older stamps [s]
        self._last_clock_reset = -np.inf  # [s]
        self._unmoved: Unmoved | None = None  # the last state whose stamp was not newer
        self._error: BackendError | None = None  # what was wrong with the newest message; raised by get_newest()

    def add(self, reading: JointReading, now: float, earliest: float | None = None) -> None:
        """Check a state, and keep it if it is newer.

        An invalid state does not raise here, inside a subscription's callback; the next ``get_newest`` raises its error.

        Args:
            reading: The state.
            now: Time on the steady clock [s].
            earliest: Earliest time at which it can have arrived, if it waited in a queue [s]; None is now.
        """
        if set(self._robot.joint_names).isdisjoint(reading.names):
            return  # another device on the same topic, such as a gripper
        try:
            stamp = self._remove_clock_resets(reading.stamp, now)
            if self.newest is not None and stamp <= self.newest.stamp:
                self._unmoved = Unmoved(reading.stamp, now)
                return
            q, dq = self._arrange(reading)
            self.newest = self._check(State(stamp, q, self._fill(dq, q, stamp), now if earliest is None else earliest))
            self._error = None
        except BackendError as error:
            self._error = error

    def get_newest(self, now: float, stale_after: float, waiting_since: float = -np.inf) -> State:
        """Return the newest state.

        Args:
            now: Time on the steady clock [s].
            stale_after: Age at which it is too old [s].
            waiting_since: When the caller started to wait [s]. The age is counted from this time, or from the
                state's arrival if that is later. Otherwise a state that was almost too old when the wait began would become too
                old during a normal period.

        Raises:
            BackendError: It is too old, or a state that came after it was invalid.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self.newest is None:
            raise BackendError(
                f"No state came on {self._topic}, expected one of {self._robot.joint_names}. Check that the robot is on."
            )
        age = now - max(self.newest.received, waiting_since)
        if age > stale_after and self._unmoved is not None and now - self._unmoved.arrived <= stale_after:
            raise BackendError(
                f"States come on {self._topic}, but their stamps do not advance: the last one is {self._unmoved.stamp} ns. "
                "Let the publisher stamp them (header.stamp); with use_sim_time, check that /clock is published."
            )
        if age > stale_after:
            raise BackendError(
                f"The newest state on {self._topic} is {age:.2f} s old, expected one every {self._period:g} s "
                f"and none older than {stale_after:g} s. Check that the robot is on; for a slow simulator, raise stale_after."
            )
        return self.newest

    def _remove_clock_resets(self, stamp: int, now: float) -> int:
        """Return the stamp on a clock that never jumps back. Resetting a simulator sets its clock back, which is valid.

        Raises:
            BackendError: The clock was set back twice within a short time, or jumps far ahead: two nodes publish there.
        """
        newest, stamp = self.newest, stamp + self._clock_shift
        if newest is None or stamp >= newest.stamp:
            self._only_older_since = None
            if newest is not None:
                self._check_leap((stamp - newest.stamp) / NANOSECONDS, now - newest.received)
        elif self._only_older_since is None:
            self._only_older_since = now
        elif now - self._only_older_since > CLOCK_RESET_PERIODS * self._period:
            self._only_older_since = None
            interval, self._last_clock_reset = now - self._last_clock_reset, now
            if interval < MIN_RESET_INTERVAL_S:
                self._raise_two_clocks(f"jumped back twice within {interval:.1f} s")
            # Continue as if the clock had run on at the speed of real time.
            resumed = newest.stamp + round((now - newest.received) * NANOSECONDS)
            self._clock_shift += resumed - stamp
            self.newest = None  # a reset may have moved the arm, so the next state is compared with none
            return resumed
        return stamp

    def _check_leap(self, leap: float, elapsed: float) -> None:
        if leap > MAX_CLOCK_RATE * elapsed + CLOCK_MARGIN_S:
            self._raise_two_clocks(f"jumped ahead by {leap:.1f} s within {elapsed:.1f} s")

    def _raise_two_clocks(self, finding: str) -> NoReturn:
        raise BackendError(
            f"The time stamps on {self._topic} {finding}, expected one clock. Check whether a second node publishes there "
            "(another simulator, or a joint_state_publisher). End it, or use another namespace or ROS_DOMAIN_ID."
        )

    def _fill(self, dq: Array, q: Array, stamp: int) -> Array:
        """Return the velocities, or those computed from the newest state's positions if the publisher gives none."""
        if self.newest is None:
            return fill_velocities(dq, np.zeros_like(q), 1)
        return fill_velocities(dq, q - self.newest.q, stamp - self.newest.stamp)

    def _check(self, state: State) -> State:
        """Return the state, or raise a BackendError if it cannot be true. NaN fails every comparison."""
        robot = self._robot
        margin = ABSURD_POSITION * robot.scale
        sane = (state.q > robot.lower - margin) & (state.q < robot.upper + margin)
        sane &= np.abs(state.dq) < ABSURD_SPEED * robot.scale
        if not sane.all():
            joint = int(np.argmin(sane))
            raise BackendError(
                f"{self._topic} reports {robot.joint_names[joint]!r} at {state.q[joint]} rad and {state.dq[joint]} rad/s, "
                f"expected finite values between {robot.lower[joint]} and {robot.upper[joint]} rad. Check the publisher."
            )
        if self.newest is not None:
            moved = np.abs(state.q - self.newest.q)
            reachable = MAX_SPEED_FACTOR * robot.velocity_limit * (state.stamp - self.newest.stamp) / NANOSECONDS
            reachable += POSITION_MARGIN * robot.scale
            if (moved > reachable).any():
                joint = int(np.argmax(moved - reachable))
                raise BackendError(
                    f"{self._topic} reports that {robot.joint_names[joint]!r} moved {moved[joint]:.3f} rad between two states, "
                    f"expected at most {reachable[joint]:.3f} rad. Check whether another node publishes there, or a reset "
                    "moved the arm."
                )
        return state
