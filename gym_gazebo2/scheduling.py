"""How the processes that work in lock-step share processors."""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["keep_to_processor", "work_in_batches"]


def work_in_batches(pid: int = 0) -> None:
    """Let a process, and those that it starts, work on when it has woken another, instead of making room at once (sched(7)).

    Simulator and client wait for each other: the one that answers is done in an instant, and loses its caches and its
    processor where each message that it sends interrupts it. A no-op where there is no such policy, or no right to it, as in
    some sandboxes.

    Args:
        pid: The process; 0 is this one.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))


def keep_to_processor(index: int) -> None:
    """Keep this process, and those that it starts, to one of the processors that it may use: a no-op but on Linux.

    A client and its simulator take turns, so that one processor is enough for both. The scheduler, left to itself, now and then
    lets the one that was woken wait for another simulator's physics, while a processor is idle. Where the system refuses,
    the scheduler goes on as it does.

    Args:
        index: Which of them; where there are fewer, counting begins anew.
    """
    if sys.platform == "linux":
        own = sorted(os.sched_getaffinity(0))
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {own[index % len(own)]})
