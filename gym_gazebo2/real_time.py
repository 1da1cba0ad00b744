"""Keep a loop from running faster than reality, for people who watch."""

from __future__ import annotations

import threading
import time

__all__ = ["RealTime"]


class RealTime:
    """Lets a period pass between two calls."""

    def __init__(self, period: float) -> None:
        """Begin; the first call returns at once.

        Args:
            period: Least time between two calls [s].
        """
        self._period, self._due, self._pacer = period, time.monotonic(), threading.Event()

    def wait(self) -> None:
        """Return a period after the last call did; a loop that is slower does not make up for it."""
        self._pacer.wait(max(0.0, self._due - time.monotonic()))
        self._due = max(self._due, time.monotonic()) + self._period
