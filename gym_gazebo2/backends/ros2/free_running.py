"""A robot, or a simulator whose time runs by itself: paced by the stamps of its states, guarded on this side."""

from __future__ import annotations

import contextlib
import logging
import time

import numpy as np

from gym_gazebo2.backends.base import NANOSECONDS
from gym_gazebo2.backends.ros2.feed import Feed, State
from gym_gazebo2.backends.ros2.link import Array, Link, Sample, Settings
from gym_gazebo2.backends.ros2.travel import count_time, travel
from gym_gazebo2.backends.ros2.wire import JointReading, read_force
from gym_gazebo2.errors import BackendError

__all__ = ["FreeRunning"]

LOG = logging.getLogger("gym_gazebo2.backends")
LATE_PERIODS = 0.5
"""An arm that is farther from its set-point than it goes in so many periods did not get the command, or does not follow."""
CAUTION = 0.95
"""Share of its speed limit at which it then goes on."""
FLUSH, DISCOVERY = 0.5, 2.0
"""Longest time to see the last command off, and to find its reader anew [s]."""


class FreeRunning:
    """Paced by stamps.

    A command asks for the set-point of a period's end. The state that answers it is the first whose stamp is at least a period
    later than the newest that had come when the command was published: a policy slower than the period is not paired with
    an older state that waits in a queue. There is no placement: the arm goes to a start pose by commands.
    """

    lock_step = False

    def __init__(self, link: Link, settings: Settings) -> None:
        """Wait for the first state, and for somebody who takes commands.

        Raises:
            BackendError: There is none in time, or the state cannot be true.
        """
        self._link, self._settings = link, settings
        period = settings.control_dt_ns / NANOSECONDS
        self._feed = Feed(link.robot, link.arrange, link.topics.state, period)
        link.on_state, link.on_contact = self._on_state, self._on_contact
        self._goal: Array | None = None
        self._earliest: float | None = None
        if not link.graph.wait(lambda: self._feed.newest is not None and link.is_heard, settings.timeout):
            self._feed.check(time.monotonic(), float("inf"))
            raise BackendError(f"Nobody takes commands on {link.topics.command}. Is the controller active?")
        self._looked = time.monotonic()

    def place(self, q: Array) -> Sample:
        """Go to ``q`` slowly; the first command is the measured pose."""
        self._feed.restart()
        return travel(self._link.robot, self._catch_up().q, q, self.advance, self._settings)

    def advance(self, goal: Array, least: int = 0) -> Sample:
        """Command a period, with at least so much time to get there [ns], and wait for its end."""
        newest = self._catch_up()
        self._feed.force = 0.0
        self._link.send_goal(goal, max(least, self._choose_duration(newest.q, goal)))
        self._goal = goal
        state = self._wait(newest.stamp + self._settings.control_dt_ns)
        return Sample(state.stamp, state.q, state.dq, goal, self._feed.force > 0.0)

    def _choose_duration(self, q: Array, goal: Array) -> int:
        """Return the time to reach a goal [ns]: a period, or more where the arm did not follow and would have to hurry."""
        period, speed = self._settings.control_dt_ns, CAUTION * self._link.robot.velocity_limit / NANOSECONDS
        if self._goal is None or (np.abs(q - self._goal) <= LATE_PERIODS * period * speed).all():
            return period
        return self._count_time(goal - q)

    def _count_time(self, way: Array) -> int:
        """Return a period, or the time that the way takes below the velocity limit, where that is more [ns]."""
        return count_time(way, CAUTION * self._link.robot.velocity_limit, self._settings.control_dt_ns)

    def hold(self) -> None:
        """Command the measured pose, unless it was measured long ago: by now the arm may have been moved by others."""
        try:
            self._hold_by_any_link()
        except BackendError as error:
            LOG.error("The arm could not be told to hold: %s", error)

    def _hold_by_any_link(self) -> None:
        try:
            self._take_waiting()
            self._send_hold(self._link, FLUSH)
        except BackendError:
            if self._link.graph.is_open:
                raise
            with contextlib.closing(self._link.renew()) as link:
                self._send_hold(link, DISCOVERY)

    def _send_hold(self, link: Link, patience: float) -> None:
        newest, robot = self._feed.newest, link.robot
        if newest is None or time.monotonic() - newest.received > 2 * self._settings.stale_after + patience:
            return
        if link.graph.wait(lambda: link.is_heard, patience):
            goal = np.clip(newest.q, robot.lower, robot.upper)
            link.send_goal(goal, self._count_time(goal - newest.q))
            link.flush(FLUSH)

    def _catch_up(self) -> State:
        """Return the newest state, of an age that is known."""
        self._take_waiting()
        return self._look()

    def _take_waiting(self) -> None:
        """Take what waits in the queues: since the last look, as far as is known. Where that was long ago, await one more."""
        self._earliest = self._looked
        try:
            self._link.graph.drain()
        finally:
            self._earliest = None
        self._link.graph.wait(self._is_fresh, min(self._settings.stale_after, self._settings.timeout))
        self._looked = time.monotonic()

    def _is_fresh(self) -> bool:
        newest = self._feed.newest
        return newest is not None and time.monotonic() - newest.received <= self._settings.stale_after

    def _look(self, since: float = -np.inf) -> State:
        return self._feed.check(time.monotonic(), self._settings.stale_after, since)

    def _wait(self, stamp: int) -> State:
        """Return the first state of at least that stamp."""
        # From the command on: what it was given on may have waited nearly as long as it may.
        if not self._link.graph.wait(lambda: self._look(self._looked).stamp >= stamp, self._settings.timeout):
            raise BackendError(
                f"{self._link.topics.state} reached no stamp of {stamp} ns within {self._settings.timeout:g} s; the newest is "
                f"{self._look().stamp} ns. Is the simulator paused?"
            )
        self._looked = time.monotonic()
        return self._look()

    def _on_state(self, reading: JointReading) -> None:
        self._feed.take(reading, time.monotonic(), self._earliest)

    def _on_contact(self, contact: bytes) -> None:
        self._feed.force = max(self._feed.force, read_force(contact))
