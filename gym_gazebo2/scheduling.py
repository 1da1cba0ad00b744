"""How the processes that work in lock-step share processors."""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["work_in_batches"]


def work_in_batches(pid: int = 0) -> None:
    """Let a process, and those that it starts, work on when it has woken another, instead of making room at once (sched(7)).

    Simulator and client wait for each other: the one that answers is done in an instant, and loses its caches and its
    processor where each message that it sends interrupts it. A no-op where there is no such policy, or no right to it.

    Args:
        pid: The process; 0 is this one.
    """
    if sys.platform == "linux":
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
