"""Keep a loop from running faster than real time, for people who watch."""

from __future__ import annotations

import threading
import time

__all__ = ["RealTime"]


class RealTime:
    """Lets at least one period pass between two calls of ``wait``."""

    def __init__(self, period: float) -> None:
        """Begin; the first call of ``wait`` returns at once.

        Args:
            period: Shortest time between two calls [s].
        """
        # An event that is never set: its wait has a timeout and can be interrupted.
        self._period, self._due, self._pacer = period, time.monotonic(), threading.Event()

    def wait(self) -> None:
        """Return one period after the last call returned. A loop that is slower does not catch up."""
        self._pacer.wait(max(0.0, self._due - time.monotonic()))
        self._due = max(self._due, time.monotonic()) + self._period
