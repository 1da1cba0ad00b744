"""Call a function on many items, each in a process of its own, a few at a time; whatever ends this process ends them."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar, cast

from gym_gazebo2.signals import ENDING, raise_on_signals

__all__ = ["WorkerKilledError", "call_each"]

Item = TypeVar("Item")

EXIT_TIMEOUT_S = 60.0
"""Longest wait for a worker to end that has sent its result [s]."""


class WorkerKilledError(Exception):
    """A worker ended without a result, such as one that the kernel killed where memory ran out."""


def call_each(function: Callable[[Item], Any], items: Iterable[Item], jobs: int) -> Generator[tuple[Item, Any], None, None]:
    """Yield each item with the function's result, in the order in which they end; close the iterator when you stop early.

    A process per item, not a pool. When a signal asks a worker to end, it saves and ends. There are no idle workers, so nothing
    has to distinguish them from busy ones.

    Args:
        function: Called with an item. It, the items and its results can be pickled.
        items: What it is called with.
        jobs: Most processes at the same time.

    Yields:
        An item, and the function's result or the exception that it raised.

    Raises:
        KeyboardInterrupt: A worker was interrupted by a signal.
    """
    waiting, running = deque(items), dict[Connection, tuple[SpawnProcess, Item]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                item = waiting.popleft()
                reader, process = _start(function, item)
                running[reader] = process, item
            for reader in cast(list[Connection], connection.wait(running)):
                outcome = _receive(reader)
                process, item = running.pop(reader)
                process.join(EXIT_TIMEOUT_S)
                yield item, outcome
    finally:
        for process, _ in running.values():
            process.terminate()  # SIGTERM: a training saves first; a worker that got a signal before ignores this one
        for process, _ in running.values():
            process.join()  # as long as an iteration of a training takes; another Ctrl-C ends both at once


def _start(function: Callable[[Item], Any], item: Item) -> tuple[Connection, SpawnProcess]:
    """Start a worker; signals that come while it imports wait until it can handle them."""
    context = get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(writer, function, item))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # inherited by the worker
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    writer.close()  # now the pipe ends when the worker does
    return reader, process


def _receive(reader: Connection) -> Any:
    with reader:
        try:
            outcome = reader.recv()
        except (EOFError, ConnectionResetError) as error:
            raise WorkerKilledError("A worker ended without a result.") from error
    if isinstance(outcome, KeyboardInterrupt):
        raise outcome
    return outcome


def _work(writer: Connection, function: Callable[[Item], Any], item: Item) -> None:
    """Call the function in a worker, and send its result or its exception."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with writer:
        try:
            with raise_on_signals():
                outcome = function(item)
        except (Exception, KeyboardInterrupt) as error:
            outcome = _make_portable(error)
        writer.send(outcome)


def _make_portable(error: BaseException) -> BaseException:
    """Return an exception that can be pickled and unpickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a foreign exception's constructor raises
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _end_with_parent() -> None:
    """End this process when its parent has ended, also where that was killed; a training continues from its checkpoint."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
