"""How processes that work side by side share processors."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TextIO

__all__ = ["count_processors", "keep_to_free_processor", "keep_to_processor", "limit_processors", "work_in_batches"]

_LIMITS: list[int] = []
"""The last one is the most processors that this process should use at once."""
_CLAIMS: list[TextIO] = []
"""Locked files of the processors that this process keeps to; open until it ends."""


def count_processors() -> int:
    """Return the processors that this process may use: in a container or under taskset fewer than the machine has."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([own, *_LIMITS[-1:]])


def limit_processors(count: int) -> None:
    """Let this process count as many processors as its own, at most. Physics engines then start no more threads.

    Two processes with a thread per processor each would wait for each other at every step.

    Args:
        count: Processors, at least 1.
    """
    _LIMITS.append(count)


def work_in_batches(pid: int = 0) -> None:
    """Give a process, and the processes that it starts, the policy SCHED_BATCH: a process that it wakes does not preempt it.

    Simulator and client take turns. The process that answers needs only microseconds more. Under the default policy, the
    receiver of its message would take the processor from it at once, and with it the contents of the caches. See sched(7). A
    no-op where the system has no such policy or refuses it, as some sandboxes do.

    Args:
        pid: The process; 0 means this one.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))


def keep_to_processor(index: int) -> None:
    """Keep this process, and the processes that it starts, on one of the processors that it may use.

    A client and its simulator take turns, so one processor is enough for both. Without this, the scheduler sometimes lets the
    one that was woken wait behind the physics of another simulator while a processor is idle. A no-op on other systems than
    Linux, and where the system refuses.

    Args:
        index: Position of the processor among those allowed, modulo their number.
    """
    if sys.platform == "linux":
        own = sorted(os.sched_getaffinity(0))
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {own[index % len(own)]})


def keep_to_free_processor(most: int = 1) -> bool:
    """As ``keep_to_processor``, on the first processor to which fewer than so many processes keep already.

    Processes that know nothing of each other, such as the workers of two trainings, so do not meet on one processor. A claim is
    a lock on a file in the folder for temporary files. The kernel releases it when the process ends.

    Args:
        most: Processes per processor.

    Returns:
        Whether there was one. If not, nothing changes.
    """
    if sys.platform != "linux":
        return False
    folder = Path(tempfile.gettempdir(), "gym-gazebo2-processors")
    for place in range(most):
        for index, processor in enumerate(sorted(os.sched_getaffinity(0))):
            if _claim(folder, f"{processor}-{place}"):
                keep_to_processor(index)
                return True
    return False


def _claim(folder: Path, name: str) -> bool:
    """Lock a file until this process ends; return False where another process has the lock, or the file cannot be opened."""
    import fcntl  # missing on Windows

    with contextlib.suppress(OSError):
        _make_lock(folder, name)
        # Reading is enough for a lock, so users need no rights on each other's files.
        stream = os.fdopen(os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW))
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
            return False
        _CLAIMS.append(stream)
        return True
    return False


def _make_lock(folder: Path, name: str) -> None:
    """Make a file that all users can lock, unless it exists."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)  # as /tmp: who makes a file may remove it
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)
