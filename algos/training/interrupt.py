"""Ctrl-C in a training: the first finishes the iteration and saves, the second ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

__all__ = ["Interrupt", "naming_the_run"]


class Interrupt:
    """Whether Ctrl-C was pressed.

    Attributes:
        is_asked: It was, once.
    """

    def __init__(self, run: Path) -> None:
        """Nothing was pressed yet.

        Args:
            run: The run's folder, for what is said.
        """
        self.is_asked, self._run = False, run

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the first Ctrl-C as a wish, where it would raise: in the main thread, and a program without a handler."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self.is_asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        text = f"\nCtrl-C: finishing this iteration and saving; once more ends at once. Then: gym-gazebo2 resume {self._run}\n"
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())  # print may stand in the midst of printing


@contextlib.contextmanager
def naming_the_run(run: Path) -> Iterator[None]:
    """Let a KeyboardInterrupt say how the run in this folder goes on."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.args = (f"Go on with: gym-gazebo2 resume {run}",)
        raise
