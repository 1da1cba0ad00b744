"""A training that is asked to end finishes its iteration, saves, and reports how to resume it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from gym_gazebo2.signals import handle_signals, make_interrupt

__all__ = ["Interrupt", "report_resume_command"]


class Interrupt:
    """Notes the first SIGINT (Ctrl-C), SIGTERM or SIGHUP, for the training to end at the next iteration.

    A Ctrl-C after it ends the training at once. Further SIGTERM and SIGHUP change nothing: ``timeout``, ``make`` and batch
    systems send them twice within milliseconds, and follow them by SIGKILL where the time is over.

    Attributes:
        signum: The signal that came first; None before.
    """

    def __init__(self, run: Path) -> None:
        """Start without a request.

        Args:
            run: The run's folder, for the message.
        """
        self.signum: int | None = None
        self._run = run

    @property
    def is_requested(self) -> bool:
        """Whether the training shall end."""
        return self.signum is not None

    @contextlib.contextmanager
    def noting_signals(self) -> Iterator[None]:
        """Note signals instead of letting them end the process; handlers of the user's program stay."""
        before = signal.getsignal(signal.SIGINT)

        def note(signum: int, frame: FrameType | None) -> None:
            if self.signum is None:
                self.signum = signum
                signal.signal(signal.SIGINT, before)
                self._announce(signum)

        with handle_signals(note):
            yield

    def raise_if_requested(self) -> None:
        """Raise where the training shall end.

        Raises:
            KeyboardInterrupt: A signal came; an ``Interrupted`` unless it was SIGINT.
        """
        if self.signum is not None:
            raise make_interrupt(self.signum)

    def _announce(self, signum: int) -> None:
        name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        text = (
            f"\n{name}: finishing this iteration and saving. Press Ctrl-C to end at once. "
            f"Resume with: gym-gazebo2 resume {self._run}\n"
        )
        # A handler may interrupt a print, so it cannot print. It must not block or raise, or nothing would be saved. The
        # terminal is perhaps closed (SIGHUP), or no program reads the pipe.
        with contextlib.suppress(OSError, ValueError):
            descriptor = sys.__stderr__.fileno() if sys.__stderr__ else 2
            if select.select([], [descriptor], [], 0.0)[1]:
                os.write(descriptor, text.encode())


@contextlib.contextmanager
def report_resume_command(run: Path) -> Iterator[None]:
    """Add the command that resumes the run in this folder to a KeyboardInterrupt."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.args = (f"Resume with: gym-gazebo2 resume {run}",)
        raise
