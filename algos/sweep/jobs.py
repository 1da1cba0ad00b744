"""Call a function on many items, each in a process of its own, a few at a time; whatever ends this process ends them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any, TypeVar, cast

from gym_gazebo2.algos.processes import Child

__all__ = ["call_each"]

Item = TypeVar("Item")


def call_each(function: Callable[[Item], Any], items: Iterable[Item], jobs: int) -> Generator[tuple[Item, Any], None, None]:
    """Yield each item with the function's result, in the order in which they end; close the iterator when you stop early.

    A process per item, not a pool: asked to end by a signal, a worker finishes what it must and ends, and there are no idle
    workers that would have to be told from busy ones.

    Args:
        function: Called with an item. It, the items and its results can be pickled.
        items: What it is called with.
        jobs: Most processes at the same time.

    Yields:
        An item, and the function's result or the exception that it raised.

    Raises:
        ChildKilledError: A process ended without a result.
        KeyboardInterrupt: A process was interrupted by a signal.
    """
    waiting, running = deque(items), dict[Connection, tuple[Child, Item]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                item = waiting.popleft()
                child = Child(function, item)
                running[child.reader] = child, item
            for reader in cast(list[Connection], connection.wait(running)):
                child, item = running.pop(reader)
                outcome = child.receive()
                if isinstance(outcome, KeyboardInterrupt):
                    raise outcome
                yield item, outcome
    finally:
        for child, _ in running.values():
            child.terminate()
        for child, _ in running.values():
            child.join()
