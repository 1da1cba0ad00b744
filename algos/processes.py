"""A function in a process of its own, which saves when it is asked to end, and ends when its parent does."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from typing import Any

from gym_gazebo2.signals import ENDING, raise_on_signals

__all__ = ["Child", "ChildKilledError"]

EXIT_TIMEOUT_S = 60.0
"""Longest wait for a process to end that has sent its result [s]."""


class ChildKilledError(Exception):
    """A process ended without a result, such as one that the kernel killed where memory ran out."""


class Child:
    """A process that calls a function once.

    Attributes:
        reader: Becomes ready when there is a result, or when the process has ended without one.
    """

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        """Start the process; signals that come while it imports wait until it can handle them.

        Args:
            function: Called with the arguments. It, they and its result can be pickled.
            *args: What it is called with.
        """
        context = get_context("spawn")
        self.reader, writer = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(writer, function, args))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # inherited by the process
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        writer.close()  # now the pipe ends when the process does

    def receive(self) -> Any:
        """Return the function's result or the exception that it raised, as soon as there is one.

        Raises:
            ChildKilledError: The process ended without a result.
        """
        with self.reader:
            try:
                outcome = self.reader.recv()
            except (EOFError, ConnectionResetError) as error:
                raise ChildKilledError("A process ended without a result.") from error
        self._process.join(EXIT_TIMEOUT_S)
        return outcome

    def terminate(self) -> None:
        """Ask the process to end: a training saves first. A process that got a signal before ignores this one."""
        self._process.terminate()

    def join(self) -> None:
        """Wait for the process's end, as long as an iteration of a training takes; another Ctrl-C ends both at once."""
        self._process.join()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join(EXIT_TIMEOUT_S)


def _work(writer: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Call the function in its process, and send its result or its exception."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with writer:
        try:
            with raise_on_signals():
                outcome = function(*args)
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
