"""A relay between a client and a provider, over real DDS, that loses, delays, doubles, reorders and changes messages.

The provider serves in the namespace "far"; the client sees the relay's in "near". A fault decides what becomes of a message:
it gets the message's number and the message, and returns what is sent on, with delays in seconds.
"""

from __future__ import annotations

import contextlib
import copy
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from gym_gazebo2.ros import Graph, JointState, JointTrajectory, String, Topics, WrenchStamped

FAR, NEAR = Topics("far"), Topics("near")
KINDS = {"command": JointTrajectory, "place": JointState, "state": JointState, "contacts": WrenchStamped, "provider": String}
TO_FAR = ("command", "place")
Fault = Callable[[int, Any], list[tuple[float, Any]]]


def pass_on(k: int, message: Any) -> list[tuple[float, Any]]:
    return [(0.0, message)]


def lose(every: int) -> Fault:
    return lambda k, message: [] if k % every == 0 else [(0.0, message)]


def delay(seconds: float) -> Fault:
    return lambda k, message: [(seconds, message)]


def double(seconds: float) -> Fault:
    return lambda k, message: [(0.0, message), (seconds, message)]


def reorder(every: int, seconds: float) -> Fault:
    """Let every so-manieth message come after those that follow it."""
    return lambda k, message: [(seconds if k % every == 0 else 0.0, message)]


def change(edit: Callable[[Any], None], after: int = 0) -> Fault:
    """Edit a copy of each message from some number on."""

    def fault(k: int, message: Any) -> list[tuple[float, Any]]:
        message = copy.deepcopy(message)
        if k > after:
            edit(message)
        return [(0.0, message)]

    return fault


class Relay:
    """Passes messages on in a thread of its own.

    Attributes:
        faults: What becomes of the messages of a kind; may be set at any time.
        seen: Messages as they came, by kind.
        hooks: Called with each message of a kind as it comes.
    """

    def __init__(self, domain: int, kinds: tuple[str, ...] = tuple(KINDS), state_qos: Any = None) -> None:
        self.graph = Graph(domain)
        self.faults: dict[str, Fault] = {}
        self.seen: dict[str, list[Any]] = {kind: [] for kind in kinds}
        self.hooks: dict[str, Callable[[Any], None]] = {}
        self._due: list[tuple[float, int, Any, Any]] = []
        self._numbers, self._stop = itertools.count(), threading.Event()
        for kind in kinds:
            source, target = (NEAR, FAR) if kind in TO_FAR else (FAR, NEAR)
            keep = kind == "provider"
            topic = getattr(target, kind)
            if kind == "state" and state_qos is not None:
                publisher = self.graph.node.create_publisher(KINDS[kind], topic, state_qos)
            else:
                publisher = self.graph.publish(KINDS[kind], topic, keep=keep)
            self.graph.subscribe(KINDS[kind], getattr(source, kind), self._make_callback(kind, publisher), keep=keep)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.graph.close()

    def _make_callback(self, kind: str, publisher: Any) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            self.seen[kind].append(message)
            self.hooks.get(kind, lambda message: None)(message)
            for seconds, sent in self.faults.get(kind, pass_on)(len(self.seen[kind]), message):
                heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), publisher, sent))

        return take

    def _run(self) -> None:
        while not self._stop.is_set():
            left = self._due[0][0] - time.monotonic() if self._due else 0.05
            self.graph.wait(lambda: bool(self._due) and self._due[0][0] <= time.monotonic(), max(0.0, min(left, 0.05)))
            if self._due and self._due[0][0] <= time.monotonic():
                _, _, publisher, message = heapq.heappop(self._due)
                publisher.publish(message)


@contextlib.contextmanager
def relay(domain: int, **options: Any) -> Iterator[Relay]:
    running = Relay(domain, **options)
    try:
        yield running
    finally:
        running.close()
