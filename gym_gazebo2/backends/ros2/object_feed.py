"""The newest poses of objects that are reported without tokens: by a perception node, or by a simulator in real time.

Arrival times come from the caller, on a steady clock (``time.monotonic``), so that tests need no real time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gym_gazebo2.backends.ros2.messages import ObjectReading
from gym_gazebo2.backends.ros2.pacing import Array
from gym_gazebo2.contract import NANOSECONDS
from gym_gazebo2.errors import BackendError

__all__ = ["ObjectFeed"]


class Seen(NamedTuple):
    """One object, as it was last seen.

    Attributes:
        stamp: Time stamp of its message [ns].
        received: Arrival, on the steady clock [s].
        pose: (7,) position [m] and quaternion wxyz.
        twist: (6,) velocities [m/s], [rad/s].
    """

    stamp: int
    received: float
    pose: Array
    twist: Array


class ObjectFeed:
    """Keeps the newest pose of each object.

    Attributes:
        names: Names of the objects in the newest message.
        num_messages: How many messages have come.
    """

    def __init__(self, topic: str, stale_after: float) -> None:
        """Start without any object.

        Args:
            topic: Name of the topic, for error messages.
            stale_after: Age at which a pose is too old to act on [s].
        """
        self.names, self.num_messages = list[str](), 0
        self._topic, self._stale_after, self._seen = topic, stale_after, dict[str, Seen]()

    def add(self, reading: ObjectReading, now: float) -> None:
        """Keep the poses of a message that came at ``now`` on the steady clock [s]."""
        self.names, self.num_messages = reading.names, self.num_messages + 1
        for i, name in enumerate(reading.names[: len(reading.pose)]):
            pose, before = reading.pose[i], self._seen.get(name)
            twist = reading.twist[i] if len(reading.twist) > i else _estimate_twist(pose, reading.stamp, before)
            self._seen[name] = Seen(reading.stamp, now, pose, twist)

    def get(self, names: Sequence[str], now: float, stamp: int) -> ObjectReading:
        """Return the objects of some names.

        Args:
            names: Their names.
            now: Time on the steady clock [s].
            stamp: Stamp of the arm's state [ns]; a perception node without stamps (zero) is judged by arrival alone.

        Raises:
            BackendError: An object was never seen, or its newest pose is too old.
        """
        for name in names:
            seen = self._seen.get(name)
            if seen is None:
                found = ", ".join(self._seen) or "no object"
                raise BackendError(
                    f"{self._topic} has never reported the object {name!r}; it reports {found}. Check that the perception node "
                    "runs and uses the names of the scene's pool."
                )
            age = max(now - seen.received, (stamp - seen.stamp) / NANOSECONDS if seen.stamp else 0.0)
            if age > self._stale_after:
                raise BackendError(
                    f"The newest pose of {name!r} on {self._topic} is {age:.2f} s old, expected at most "
                    f"{self._stale_after:g} s. Check that the perception node sees it and has the clock of the arm's states, "
                    "or raise objects_stale_after."
                )
        rows = [self._seen[name] for name in names]
        pose = np.array([row.pose for row in rows]).reshape(-1, 7)
        return ObjectReading(stamp, "", list(names), pose, np.array([row.twist for row in rows]).reshape(-1, 6))


def _estimate_twist(pose: Array, stamp: int, before: Seen | None) -> Array:
    """Return the mean velocities (6,) since the pose before; zeros without one, or without stamps that advance."""
    if before is None or stamp <= before.stamp:
        return np.zeros(6)
    rate = NANOSECONDS / (stamp - before.stamp)
    (w, v), (w0, v0) = (pose[3], pose[4:]), (before.pose[3], before.pose[4:])
    # The vector part of q q₀⁻¹, with the sign of the shorter turn; the angle is 2 atan2(|vector|, scalar).
    scalar, vector = w * w0 + v @ v0, w0 * v - w * v0 - np.cross(v, v0)
    length = float(np.linalg.norm(vector))
    angle = 2.0 * np.arctan2(length, abs(scalar))
    turn = np.zeros(3) if length < 1e-12 else np.copysign(angle / length, scalar) * vector
    return rate * np.concatenate([pose[:3] - before.pose[:3], turn])
