"""How processes that work in lock-step share processors."""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["keep_to_processor", "work_in_batches"]


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
