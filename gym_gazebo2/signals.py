"""Signals that ask a process to end: SIGINT (Ctrl-C), SIGTERM (kill, clusters, containers), SIGHUP (the terminal closed).

Every command turns them into an exception, so that everything is closed on the way out, and ends with 128 plus the signal's
number, as a shell reports it. A process that is started in the background by a script inherits SIGINT as ignored; then Python
installs no handler, and neither do its children. So the commands install one whatever they inherit.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

__all__ = [
    "ENDING",
    "Interrupted",
    "get_status",
    "handle_signals",
    "hold_signals",
    "leave_signals_to_parent",
    "make_interrupt",
    "raise_on_signals",
]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a process to end, and leave it time to do so."""

WORKER_GRACE_S = 60
"""Time that a worker goes on after SIGTERM, for its parent to finish and to end it [s]."""

RETRY_S = 0.05
"""Time after which a signal that came too early is sent again [s]."""

IMPORT_FILE = importlib._bootstrap._find_and_load.__code__.co_filename  # type: ignore[attr-defined]
"""File name in the frames of Python's import machinery: "<frozen importlib._bootstrap>"."""

Handler = Callable[[int, FrameType | None], Any]


class Interrupted(KeyboardInterrupt, SystemExit):
    """SIGTERM or SIGHUP asks this process to end; SIGINT is Python's own KeyboardInterrupt.

    What handles Ctrl-C handles it too. A program that does not catch it ends with the signal's status and without a traceback,
    as SystemExit does.

    Attributes:
        signum: The signal.
        code: Exit status, 128 + signum.
    """

    def __init__(self, signum: int, *args: object) -> None:
        """Store the signal.

        Args:
            signum: The signal.
            *args: What else there is to report, such as how to continue.
        """
        super().__init__(*args)
        self.signum, self.code = signal.Signals(signum), 128 + signum

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Pickle by the arguments, so that the exception crosses process boundaries."""
        return type(self), (int(self.signum), *self.args)


def make_interrupt(signum: int) -> KeyboardInterrupt:
    """Return the exception that ends a process on a signal."""
    return KeyboardInterrupt() if signum == signal.SIGINT else Interrupted(signum)


def get_status(interrupt: KeyboardInterrupt) -> int:
    """Return the exit status of a process that such an exception ends: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + getattr(interrupt, "signum", signal.SIGINT)


class _Raise:
    """A handler that raises.

    Only Ctrl-C raises again: ``timeout``, ``make`` and batch systems send SIGTERM twice within milliseconds, and the second
    one would interrupt what closes everything after the first.

    While a module is imported, or inside of ``hold_signals``, the signal is sent again a little later. Libraries in C++ turn
    an exception that is raised during their import into an ImportError, or abort the process.
    """

    held = 0
    """How many blocks of ``hold_signals`` the main thread is in."""

    def __init__(self) -> None:
        self.signum: int | None = None  # the signal that raised last

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if _Raise.held or _is_importing(frame):
            main = threading.main_thread().ident or 0  # the thread that may be waiting
            again = threading.Timer(RETRY_S, signal.pthread_kill, (main, signum))
            again.daemon = True  # else a program that ends first would wait for it
            again.start()
        elif signum == signal.SIGINT or self.signum is None:
            self.signum = signum
            raise make_interrupt(signum)


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether a frame runs inside of an import."""
    while frame is not None and frame.f_code.co_filename != IMPORT_FILE:
        frame = frame.f_back
    return frame is not None


def _ends_at_once(handler: Any) -> bool:
    """Return whether a handler ends the process, or raises in it, as soon as the signal comes."""
    return handler in (signal.SIG_DFL, signal.default_int_handler) or isinstance(handler, _Raise)


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Let the signals raise in the main thread, also where they were inherited as ignored or blocked.

    An ignored SIGHUP stays ignored: ``nohup`` asks for that. In another thread this does nothing, as Python handles signals in
    the main thread alone.

    Some libraries catch the exception and raise a new KeyboardInterrupt, for example Ray while it waits for a result. The block
    is then left with the exception of the signal that came.
    """
    wanted = [signum for signum in ENDING if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN]
    handler = _Raise()
    with _installed(dict.fromkeys(wanted, handler)):
        if _is_main_thread():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted)
        try:
            yield
        except KeyboardInterrupt as error:
            if handler.signum is None or isinstance(error, Interrupted) or handler.signum == signal.SIGINT:
                raise
            raise Interrupted(handler.signum, *error.args) from error


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
    """Let signals raise only after this block. For short calls of libraries that catch every exception, such as trimesh.

    They would swallow the interrupt, and go on with half of a result.
    """
    is_main = _is_main_thread()
    _Raise.held += is_main
    try:
        yield
    finally:
        _Raise.held -= is_main


@contextlib.contextmanager
def handle_signals(handler: Handler) -> Iterator[None]:
    """Handle those signals that would end the process at once; a user's own handlers stay, and what is ignored stays ignored.

    Args:
        handler: Called with the signal and the frame.
    """
    with _installed({signum: handler for signum in ENDING if _ends_at_once(signal.getsignal(signum))}):
        yield


def leave_signals_to_parent() -> None:
    """Let this process, a worker, outlive the signals until its parent ends it; called in its main thread.

    Terminals and batch systems send a signal to every process of a job, and a parent needs its workers to finish and to save.
    A handler that does nothing is better than SIG_IGN, which simulators that the worker starts would inherit. SIGTERM is also
    how ``multiprocessing`` ends a worker that it has lost, so a second one, or SIGALRM after the time of grace, ends it.
    """

    def end_later(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.alarm(WORKER_GRACE_S)

    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda signum, frame: None)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, end_later)


@contextlib.contextmanager
def _installed(handlers: dict[signal.Signals, Handler]) -> Iterator[None]:
    """Install handlers for a while, in the main thread."""
    before = {signum: signal.signal(signum, handler) for signum, handler in handlers.items()} if _is_main_thread() else {}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
