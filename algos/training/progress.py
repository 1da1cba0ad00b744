"""The display of a training's progress: live on a terminal, lines in a log, or nothing."""

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

__all__ = ["SpeedMeter", "Progress", "Status", "format_status", "make_progress"]

SPEED_WINDOW_S = 15.0
"""The displayed speed is averaged over this time [s]."""
LINE_INTERVAL_S = 30.0
"""Longest time between two lines of a log [s]."""


@dataclasses.dataclass(frozen=True)
class Status:
    """The state of a training, as the display needs it.

    Attributes:
        title: Environment id, algorithm and seed.
        steps: Environment steps so far.
        total: Environment steps of the whole training.
        wall_s: Wall time so far [s].
        speed: Environment steps per second; None at the first reading.
        reward: Mean reward of the last 100 episodes; None before the first.
        results: Measures of the last evaluation, each as a text such as "tool error 0.42 mm"; empty before the first.
        success_rate: Success rate of the last evaluation; None before the first, or if the environment does not report success.
        workers: State of the workers, such as their speed or a loss; empty without workers.
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
        """Remaining time at the current speed [s]; None without a speed."""
        return (self.total - self.steps) / self.speed if self.speed else None


class Progress(Protocol):
    """A display of a training."""

    def start(self) -> None:
        """Open the display."""

    def update(self, status: Status, *, is_milestone: bool = False) -> None:
        """Display a status. A milestone, such as an evaluation, always gets a line in a log."""

    def stop(self) -> None:
        """Close the display, and leave the terminal as it was. Stopping twice is fine."""


class QuietProgress:
    """Displays nothing."""

    def start(self) -> None:
        """Do nothing."""

    def update(self, status: Status, *, is_milestone: bool = False) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


class PlainProgress(QuietProgress):
    """Prints lines to standard error: one per evaluation, and at least one every 30 seconds."""

    _due = 0.0

    def start(self) -> None:
        """Note the time; the first line comes an interval later."""
        self._due = time.monotonic() + LINE_INTERVAL_S

    def update(self, status: Status, *, is_milestone: bool = False) -> None:
        """Print the status if it is a milestone, or if the interval has passed."""
        if is_milestone or time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_INTERVAL_S
            print(format_status(status), file=BestEffortStream(sys.stderr))


class RichProgress:
    """Displays a bar and the current figures at the bottom of the terminal."""

    def __init__(self) -> None:
        """Prepare the display; ``start`` opens it."""
        self._status: Status | None = None
        # Standard error, so that standard output stays free for results; a terminal that goes away must not end a training.
        console = Console(file=BestEffortStream(sys.stderr))  # type: ignore[arg-type]
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def start(self) -> None:
        """Open the display."""
        self._live.start()

    def update(self, status: Status, *, is_milestone: bool = False) -> None:
        """Display the status at the next refresh, of which there are four per second."""
        self._status = status

    def stop(self) -> None:
        """Close the display; the last status stays on the terminal."""
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
    """Return a display. "auto" is "rich" on a terminal and "plain" elsewhere, as in a log file."""
    chosen = ("rich" if Console(stderr=True).is_terminal else "plain") if mode == "auto" else mode
    return MODES[chosen]()


def format_status(status: Status) -> str:
    """Return a status as one line of a log."""
    share = f"{status.steps / status.total:4.0%} of {status.total:,} steps"
    elapsed = datetime.timedelta(seconds=round(status.wall_s))
    return "  ".join((status.title, share, str(elapsed), *_describe(status)))


class SpeedMeter:
    """Measures the speed of a training, averaged over the last 15 s.

    The average over the whole training would hide that the machine has become busy, and make "time left" wrong.
    """

    def __init__(self) -> None:
        """Start without a reading."""
        self._readings: deque[tuple[float, int]] = deque()

    def measure(self, wall_s: float, steps: int) -> float | None:
        """Add a reading, and return the steps per second since the oldest one kept; None at the first reading.

        Args:
            wall_s: Wall time so far [s].
            steps: Environment steps so far.
        """
        readings = self._readings
        readings.append((wall_s, steps))
        # Keep one reading older than the window: evaluations can take longer than it.
        while len(readings) > 2 and readings[1][0] < wall_s - SPEED_WINDOW_S:
            readings.popleft()
        first_s, first = readings[0]
        return (steps - first) / (wall_s - first_s) if wall_s > first_s else None


def _describe(status: Status) -> list[str]:
    """Return the figures that are known, each with its name or unit."""
    # Values that are None, as before the first evaluation, are left out.
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
