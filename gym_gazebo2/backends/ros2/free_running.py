"""Pacing of a robot, or of a simulator whose time runs by itself: by the stamps of its states, which this client checks."""

from __future__ import annotations

import contextlib
import logging
import time

import numpy as np

from gym_gazebo2.backends.base import NANOSECONDS
from gym_gazebo2.backends.ros2.link import Link
from gym_gazebo2.backends.ros2.messages import JointReading, ObjectCommand, ObjectReading, write_objects
from gym_gazebo2.backends.ros2.object_feed import ObjectFeed
from gym_gazebo2.backends.ros2.pacing import Array, Sample, Settings
from gym_gazebo2.backends.ros2.return_motion import compute_duration, return_to
from gym_gazebo2.backends.ros2.state_stream import State, StateStream
from gym_gazebo2.errors import BackendError
from gym_gazebo2.ros.topics import MultiDOFJointState, WrenchStamped

__all__ = ["FreeRunning"]

LOG = logging.getLogger("gym_gazebo2.backends")
LATE_PERIODS = 0.5
"""If the arm is farther from its last set-point than it moves in this many periods at full speed, it did not follow. Then the
command was lost, or something holds the arm."""
CATCH_UP_SHARE = 0.95
"""Share of the velocity limit at which such an arm then continues, so that a controller does not reject the command."""
FLUSH_TIMEOUT_S = 0.5
"""Longest wait for the controller to acknowledge the last command [s]."""
OTHERS_TIMEOUT_S = 1.0
"""Longest wait for another client, which has just been closed, to disappear [s]."""
DISCOVERY_TIMEOUT_S = 2.0
"""Longest wait for a new node to find the controller [s]: DDS discovery of a robot on the network may take a second."""
PLACED_TOLERANCE = 0.1
"""A simulator has placed an object if it is this near to where it was to be [m]: by then it may have fallen a little."""


class FreeRunning:
    """Paced by time stamps.

    A command asks for a set-point at the end of a control period. Its answer is the first state whose stamp is at least one
    period later than the newest stamp *received when the command was published*. A policy that takes longer than a period is
    therefore never paired with an older state that waited in the queue:

        states    …  s₁   s₂   s₃   s₄   s₅        stamps, one every 50 ms
        client        └ policy computes ┘ command   newest received stamp: s₄, so the answer is s₅ or later

    The arm cannot be placed. It moves to a start pose by commands (``return_motion``). Only a simulator can place objects. In
    front of a robot, those that the perception node reports are the objects of the episode.
    """

    lock_step = False

    def __init__(self, link: Link, settings: Settings) -> None:
        """Wait for the first state and for a subscriber to the commands.

        Args:
            link: The arm's topics.
            settings: The settings of the pacing.

        Raises:
            BackendError: One of them does not come in time, or the state is invalid.
        """
        self.timeout, self._link, self._settings = settings.timeout, link, settings
        self._stream = StateStream(link.robot, link.arrange, link.topics.state, settings.control_dt_ns / NANOSECONDS)
        self._feed = ObjectFeed(link.topics.objects, settings.objects_stale_after)
        self._names = list[str]()  # of the episode's objects that are there
        is_simulator = link.has_objects and link.provider is not None
        self._object_places = link.graph.publish(MultiDOFJointState, link.topics.place_objects) if is_simulator else None
        link.on_state, link.on_contact, link.on_objects = self._on_state, self._on_contact, self._on_objects
        self._goal: Array | None = None  # last commanded set-point (dof,) [rad]
        # While queued messages are read: the earliest time at which they can have arrived [s].
        self._earliest_arrival: float | None = None

        def is_ready() -> bool:
            return self._stream.newest is not None and link.num_command_subscribers > 0

        if not link.graph.wait(is_ready, settings.timeout):
            self._stream.get_newest(time.monotonic(), float("inf"))
            raise BackendError(f"Nobody subscribes to {link.topics.command}. Check that the controller is active.")
        self._check_alone()
        self._queue_read_at = time.monotonic()  # when the queue was last known to be empty [s]

    def place(self, q: Array, objects: ObjectCommand | None = None) -> Sample:
        """Move to ``q`` (dof,) [rad] slowly; the first command is the measured pose. Then objects are placed or found."""
        self._check_alone()
        self._stream.restart()
        before = return_to(self._link.robot, self._read_fresh_state().q, q, self._move, self._settings)
        if objects is None:
            return self._add_objects(before)
        if self._object_places is not None:
            self._place_objects(objects)
        else:
            self._names = self._find_objects(objects.names)
        # The arm rests, but the objects have changed: the state and the objects are those of one instant.
        return self.advance(before.q.clip(self._link.robot.lower, self._link.robot.upper))

    def advance(self, goal: Array, objects: ObjectCommand | None = None) -> Sample:
        """Command a set-point (dof,) [rad], and wait for the end of the period."""
        if objects is not None:
            self._names = objects.names
            if self._object_places is not None:
                self._link.graph.send(self._object_places, write_objects(objects))
        return self._add_objects(self._move(goal))

    def _add_objects(self, sample: Sample) -> Sample:
        """Return a sample with the newest poses of the objects."""
        if not self._link.has_objects:
            return sample
        return sample._replace(objects=self._feed.get(self._names, time.monotonic(), sample.stamp))

    def _place_objects(self, objects: ObjectCommand) -> None:
        """Let a simulator place objects, and wait until it reports them there."""
        self._link.graph.send(self._object_places, write_objects(objects))
        self._names = objects.names

        def is_placed() -> bool:
            if set(self._feed.names) != set(objects.names) or objects.pose is None:
                return False
            seen = self._feed.get(objects.names, time.monotonic(), 0)
            return bool(np.linalg.norm(seen.pose[:, :3] - objects.pose[:, :3], axis=1).max(initial=0.0) < PLACED_TOLERANCE)

        if not self._link.graph.wait(is_placed, self.timeout):
            raise BackendError(
                f"{self._link.topics.objects} reports {self._feed.names} and not {objects.names} where they were placed, "
                f"within {self.timeout:g} s. See the provider's log."
            )

    def _find_objects(self, wanted: list[str]) -> list[str]:
        """Return the objects in front of a robot: as many as wanted, those of the wanted names first.

        Raises:
            BackendError: The perception node does not report that many objects of the scene's pool in time.
        """
        scene, feed = self._link.scene, self._feed
        pool = () if scene is None else scene.pool.names

        def list_known() -> list[str]:
            return [*(n for n in wanted if n in feed.names), *(n for n in pool if n in feed.names and n not in wanted)]

        count = feed.num_messages
        if not self._link.graph.wait(lambda: feed.num_messages > count and len(list_known()) >= len(wanted), self.timeout):
            raise BackendError(
                f"{self._link.topics.objects} reports the objects {feed.names}, expected {len(wanted)} of the scene's pool: "
                f"{', '.join(pool)}. Put them there, and check the perception node."
            )
        return list_known()[: len(wanted)]

    def _move(self, goal: Array, shortest: int = 0) -> Sample:
        """Command a set-point, and wait for the end of the period.

        Args:
            goal: (dof,) set-point [rad].
            shortest: Shortest time to reach it [ns].
        """
        newest = self._read_fresh_state()
        self._stream.force = 0.0
        self._link.send_goal(goal, max(shortest, self._choose_duration(newest.q, goal)))
        self._goal = goal
        state = self._wait_for_stamp(newest.stamp + self._settings.control_dt_ns)
        return Sample(state.stamp, state.q, state.dq, goal, self._stream.force > 0.0)

    def hold(self) -> None:
        """Command the newest measured pose, unless it is old: the arm may have been moved by others since."""
        try:
            self._hold_by_any_link()
        except BackendError as error:
            LOG.error("The arm could not be commanded to hold: %s", error)

    def _check_alone(self) -> None:
        """Raise a BackendError if another node can command this arm.

        Not checked in every step: a client that has just started, and is about to be refused, must not stop this one.
        """
        link = self._link
        is_alone = link.graph.wait(lambda: not link.find_other_clients(), OTHERS_TIMEOUT_S)
        if not is_alone and (others := link.find_other_clients()):
            raise BackendError(
                f"{', '.join(others)} also publishes on {link.topics.command}, and an arm obeys one client only. "
                "End the other one; ROS forgets a client that was killed after about 20 s."
            )

    def _choose_duration(self, q: Array, goal: Array) -> int:
        """Return the time to reach a goal [ns].

        One period. If the arm did not follow its last set-point, the distance is larger. The time is then longer, so that the
        arm stays below its velocity limit.
        """
        period, speed = self._settings.control_dt_ns, CATCH_UP_SHARE * self._link.robot.velocity_limit / NANOSECONDS
        if self._goal is None or (np.abs(q - self._goal) <= LATE_PERIODS * period * speed).all():
            return period
        return self._compute_safe_duration(goal - q)

    def _compute_safe_duration(self, distance: Array) -> int:
        """Return the time in which every joint covers its distance below its velocity limit, at least a period [ns]."""
        return compute_duration(distance, CATCH_UP_SHARE * self._link.robot.velocity_limit, self._settings.control_dt_ns)

    def _hold_by_any_link(self) -> None:
        try:
            self._read_queue()
            self._send_hold(self._link, FLUSH_TIMEOUT_S)
        except BackendError:
            if self._link.graph.is_open:
                raise
            # Ctrl-C shut down every ROS context of this process, so a new one is needed to command the hold.
            with contextlib.closing(self._link.renew()) as link:
                self._send_hold(link, DISCOVERY_TIMEOUT_S)

    def _send_hold(self, link: Link, timeout: float) -> None:
        newest, robot = self._stream.newest, link.robot
        if newest is None or time.monotonic() - newest.received > 2 * self._settings.stale_after + timeout:
            return
        if link.graph.wait(lambda: link.num_command_subscribers > 0, timeout):
            goal = np.clip(newest.q, robot.lower, robot.upper)
            link.send_goal(goal, self._compute_safe_duration(goal - newest.q))
            link.flush(FLUSH_TIMEOUT_S)

    def _read_fresh_state(self) -> State:
        """Read all queued states, and return the newest."""
        self._read_queue()
        return self._get_newest()

    def _read_queue(self) -> None:
        """Read all queued states; if the newest may be stale, wait for a fresh one.

        A queued state may have arrived at any time since the queue was last read, so it counts as that old.
        If the policy took longer than ``stale_after``, every queued state is too old, although the robot works. Then this waits
        for the next state.
        """
        self._earliest_arrival = self._queue_read_at
        try:
            self._link.graph.drain()
        finally:
            self._earliest_arrival = None
        self._link.graph.wait(self._is_fresh, min(self._settings.stale_after, self.timeout))
        self._queue_read_at = time.monotonic()

    def _is_fresh(self) -> bool:
        newest = self._stream.newest
        return newest is not None and time.monotonic() - newest.received <= self._settings.stale_after

    def _get_newest(self, waiting_since: float = -np.inf) -> State:
        return self._stream.get_newest(time.monotonic(), self._settings.stale_after, waiting_since)

    def _wait_for_stamp(self, stamp: int) -> State:
        """Return the first state with at least this stamp [ns].

        The age is counted from the command at the earliest. When the command was sent, the newest state may have been almost
        too old already; without this rule, it would become too old during a normal period.
        """
        if not self._link.graph.wait(lambda: self._get_newest(self._queue_read_at).stamp >= stamp, self.timeout):
            raise BackendError(
                f"No state on {self._link.topics.state} reached the stamp {stamp} ns within {self.timeout:g} s; the newest has "
                f"{self._get_newest().stamp} ns. Check whether the simulator is paused."
            )
        self._queue_read_at = time.monotonic()
        return self._get_newest()

    def _on_state(self, reading: JointReading) -> None:
        self._stream.add(reading, time.monotonic(), self._earliest_arrival)

    def _on_objects(self, reading: ObjectReading) -> None:
        self._feed.add(reading, time.monotonic())

    def _on_contact(self, contact: WrenchStamped) -> None:
        self._stream.force = max(self._stream.force, contact.wrench.force.x)
