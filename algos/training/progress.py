"""How far a training is, for a person who waits: live on a terminal, a line now and then in a log, or nothing."""

from __future__ import annotations

import dataclasses
import datetime
import sys
import time
from collections import deque
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gym_gazebo2.algos.choices import ProgressMode
from gym_gazebo2.output import BestEffortStream

__all__ = ["Meter", "Progress", "Status", "format_status", "make_progress"]

WINDOW_S = 15.0
"""The speed shown is that of so many seconds."""
LINE_SECONDS = 30.0
"""Longest time between two lines of a log."""


@dataclasses.dataclass(frozen=True)
class Status:
    """What is shown of a training.

    Attributes:
        title: Which one it is.
        steps: Environment steps so far.
        total: Those asked for.
        wall_s: Wall time so far [s].
        speed: Steps a second; None before two looks at it.
        reward: Mean of the last 100 episodes; None before the first.
        results: The measures of the last evaluation, each as a text such as "tool error 0.42 mm"; empty before the first.
        success_rate: Its share of successes; None before the first, or where the environment does not report success.
        workers: What there is to report of workers, such as their speed or a loss; empty without them.
    """

    title: str
    steps: int
    total: int
    wall_s: float
    speed: float | None = None
    reward: float | None = None
    results: tuple[str, ...] = ()
    success_rate: float | None = None
    workers: tuple[str, ...] = ()

    @property
    def left_s(self) -> float | None:
        """Time left at this speed [s]."""
        return (self.total - self.steps) / self.speed if self.speed else None


class Progress(Protocol):
    """A way to show a training."""

    def start(self) -> None:
        """Begin to show."""

    def update(self, status: Status, *, is_milestone: bool = False) -> None:
        """Show a status; a milestone, such as an evaluation, is worth a line in a log."""

    def stop(self) -> None:
        """Leave the terminal as it was; stopping twice is fine."""


class QuietProgress:
    """Shows nothing."""

    def start(self) -> None:
        """Do nothing."""

    def update(self, status: Status, *, is_milestone: bool = False) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


class PlainProgress(QuietProgress):
    """Prints a line at each evaluation, and at least one in 30 seconds, to standard error."""

    _due = 0.0

    def start(self) -> None:
        """Wait for the first line's time."""
        self._due = time.monotonic() + LINE_SECONDS

    def update(self, status: Status, *, is_milestone: bool = False) -> None:
        """Print the status where it is time to."""
        if is_milestone or time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_SECONDS
            print(format_status(status), file=BestEffortStream(sys.stderr))


class RichProgress:
    """Keeps a bar and the figures up to date at the bottom of the terminal."""

    def __init__(self) -> None:
        """Prepare the display; ``start`` opens it."""
        self._status: Status | None = None
        console = Console(file=BestEffortStream(sys.stderr))  # type: ignore[arg-type]
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def start(self) -> None:
        """Open the display."""
        self._live.start()

    def update(self, status: Status, *, is_milestone: bool = False) -> None:
        """Show the status at the next refresh."""
        self._status = status

    def stop(self) -> None:
        """Leave the last status standing."""
        self._live.stop()

    def _render(self) -> RenderableType:
        if (status := self._status) is None:
            return Text("starting …", style="dim")
        head = Table.grid(padding=(0, 2), expand=True)
        for ratio in (None, 1, None):
            head.add_column(ratio=ratio, no_wrap=True)
        bar = ProgressBar(total=status.total, completed=status.steps)
        head.add_row(Text(status.title, style="bold"), bar, f"{status.steps:,} / {status.total:,} steps")
        return Group(head, Text("   ".join(_describe(status)), style="cyan"))


MODES: dict[str, type[Progress]] = {"rich": RichProgress, "plain": PlainProgress, "quiet": QuietProgress}


def make_progress(mode: ProgressMode) -> Progress:
    """Return a way to show a training; "auto" is "rich" on a terminal and "plain" elsewhere."""
    chosen = ("rich" if Console(stderr=True).is_terminal else "plain") if mode == "auto" else mode
    return MODES[chosen]()


def format_status(status: Status) -> str:
    """Return a status as one line of a log."""
    share = f"{status.steps / status.total:4.0%} of {status.total:,} steps"
    elapsed = datetime.timedelta(seconds=round(status.wall_s))
    return "  ".join((status.title, share, str(elapsed), *_describe(status)))


class Meter:
    """Measures the speed of a training over the last seconds."""

    def __init__(self) -> None:
        """Start without a reading."""
        self._readings: deque[tuple[float, int]] = deque()

    def measure(self, wall_s: float, steps: int) -> float | None:
        """Note a reading and return the steps a second since the oldest one kept; None at the first."""
        readings = self._readings
        readings.append((wall_s, steps))
        while len(readings) > 2 and readings[1][0] < wall_s - WINDOW_S:
            readings.popleft()
        first_s, first = readings[0]
        return (steps - first) / (wall_s - first_s) if wall_s > first_s else None


def _describe(status: Status) -> list[str]:
    """Return the figures that are known, each with its name or unit."""
    left = None if status.left_s is None else datetime.timedelta(seconds=round(status.left_s))
    parts = (
        ("{} left", left),
        ("reward {:.3f}", status.reward),
        *(("{}", result) for result in status.results),
        ("success {:.0%}", status.success_rate),
        ("{:,.0f} steps/s", status.speed),
        *(("{}", text) for text in status.workers),
    )
    return [form.format(value) for form, value in parts if value is not None]
