"""Messages as they come over the wire: to make an object of each costs more than all the rest of reading it."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.ros import (
    Duration,
    JointState,
    JointTrajectory,
    JointTrajectoryPoint,
    WrenchStamped,
    deserialize_message,
    serialize_message,
    to_ns,
)

__all__ = ["CommandWriter", "JointReading", "StateReader", "read_force"]

LITTLE_ENDIAN = b"\x00\x01"
HEADER = struct.Struct("<iII")
"""Seconds, nanoseconds, and the length of ``frame_id`` with the zero that ends it."""
COUNT = struct.Struct("<I")
PREFIX = 4
"""Bytes before a message, which say how it is encoded; alignment counts from their end."""
DOUBLE = 8
WRENCH_BYTES = 6 * DOUBLE
NANOSECONDS = 1_000_000_000
DURATION = struct.Struct("=iI")
"""Seconds and nanoseconds, as this machine orders bytes."""


class JointReading(NamedTuple):
    """What a JointState says.

    Attributes:
        stamp: Its time [ns].
        token: Its ``frame_id``.
        names: Of the joints.
        position: (n,) [rad].
        velocity: (n,) [rad/s], or empty.
    """

    stamp: int
    token: str
    names: list[str]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]


class StateReader:
    """Reads serialised JointStates; one that is laid out like the last costs a sixth of an object.

    The encoding is plain CDR (OMG DDSI-RTPS 2.5, section 10): names before the numbers, the numbers at the end, in the gaps
    whatever was there.
    """

    def __init__(self) -> None:
        """Know no layout yet."""
        self._names: list[str] = []
        self._block = re.compile(b"(?!)")
        self._tail = 0

    def read(self, message: bytes) -> JointReading:
        """Return what a message says."""
        sec, nanosec, size = HEADER.unpack_from(message, PREFIX)
        end = PREFIX + HEADER.size + size
        count, numbers = len(self._names), len(message) - self._tail
        block = self._block.match(message, _align(end, COUNT.size))
        if (
            block is None
            or not message.startswith(LITTLE_ENDIAN)
            or numbers != _align(block.end(), DOUBLE)
            or COUNT.unpack_from(message, numbers + count * DOUBLE)[0] != count
        ):
            return self._learn(message)
        token = message[PREFIX + HEADER.size : end - 1].decode()
        values = np.frombuffer(message, offset=numbers)
        return JointReading(sec * NANOSECONDS + nanosec, token, self._names, values[:count], values[count + 1 : 2 * count + 1])

    def _learn(self, message: bytes) -> JointReading:
        """Return what a message says by making an object of it, and note how those like it are laid out."""
        state = deserialize_message(message, JointState)
        names = list(state.name)
        if len(state.position) == len(state.velocity) == len(state.effort) == len(names):
            self._names = names
            size = re.escape(COUNT.pack(len(names)))
            self._block = re.compile(b"".join([size, *map(_make_pattern, names), size]), re.DOTALL)
            self._tail = (3 * len(names) + 2) * DOUBLE  # three times the numbers, between them their count
        return JointReading(
            to_ns(state.header.stamp), state.header.frame_id, names, np.array(state.position), np.array(state.velocity)
        )


class CommandWriter:
    """Writes serialised JointTrajectories of one point: what changes from one to the next is put into the last.

    A middleware writes plain CDR in its machine's byte order; where a token, positions and a duration stand in it is learnt
    from a message that has marks in their places.
    """

    def __init__(self, joint_names: Sequence[str]) -> None:
        """Write commands of joints with these names."""
        self._names = list(joint_names)
        self._message = bytearray()
        self._size = -1

    def write(self, goal: NDArray[np.float64], period: int, token: str) -> bytes:
        """Return the command to be at ``goal`` (n,) [rad] after a period [ns]."""
        name = token.encode()
        if len(name) != self._size:
            self._learn(token, len(name))
        self._message[self._token] = name
        self._message[self._goal] = goal.tobytes()
        self._message[self._period] = DURATION.pack(*divmod(period, NANOSECONDS))
        return bytes(self._message)

    def _learn(self, token: str, size: int) -> None:
        """Note where things stand in a message whose token has so many bytes."""
        goal, period = np.arange(1.0, len(self._names) + 1), (0x01020304, 0x05060708)
        point = JointTrajectoryPoint(positions=goal.tolist(), time_from_start=Duration(sec=period[0], nanosec=period[1]))
        command = JointTrajectory(joint_names=self._names, points=[point])
        command.header.frame_id = token
        self._message, self._size = bytearray(serialize_message(command)), size
        marks = (token.encode(), goal.tobytes(), DURATION.pack(*period))
        self._token, self._goal, self._period = (self._find(mark) for mark in marks)

    def _find(self, mark: bytes) -> slice:
        start = self._message.index(mark)
        return slice(start, start + len(mark))


def read_force(contact: bytes) -> float:
    """Return ``force.x`` of a serialised WrenchStamped [N]: it ends in its six doubles, nearly always nought."""
    if not any(contact[-WRENCH_BYTES:]):
        return 0.0
    return float(deserialize_message(contact, WrenchStamped).wrench.force.x)


def _make_pattern(text: str) -> bytes:
    """Return what a string in a sequence matches; whatever stands in the gap to the next."""
    data = text.encode() + b"\0"
    return re.escape(COUNT.pack(len(data)) + data) + b"." * (-len(data) % COUNT.size)


def _align(offset: int, size: int) -> int:
    """Return the next place at or after an offset where a number of so many bytes may stand."""
    return PREFIX - (PREFIX - offset) // size * size
