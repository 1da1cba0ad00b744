"""Move an arm from the keyboard: a joint is chosen with a digit, and pushed with the arrow keys."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import UsageError

__all__ = ["HELP", "Sliders", "open_keyboard"]

HELP = "1…9 joint   ← → push   ↑ ↓ faster, slower   space stop   r new episode   q end"
STEP, MOST = 0.1, 1.0
KEYS = {b"\x1b[D": "left", b"\x1b[C": "right", b"\x1b[A": "up", b"\x1b[B": "down", b" ": "stop", b"r": "reset", b"q": "quit"}


class Sliders:
    """A slider a joint, each an action between −1 and 1.

    Attributes:
        values: (dof,) the sliders.
        chosen: The joint that the arrow keys move.
        wants: "reset" or "quit" once such a key was pressed, else "".
    """

    def __init__(self, joint_names: tuple[str, ...]) -> None:
        """Start with every slider in the middle."""
        self.joint_names, self.chosen, self.wants = joint_names, 0, ""
        self.values: NDArray[np.float32] = np.zeros(len(joint_names), dtype=np.float32)
        self.speed = 0.3

    def press(self, key: bytes) -> None:
        """Take one key; keys without a meaning are ignored."""
        if key.isdigit():
            self.chosen = min(max(int(key) - 1, 0), len(self.values) - 1)
        name = KEYS.get(key, "")
        if name in ("left", "right"):
            self.values[self.chosen] = self.speed if name == "right" else -self.speed
        elif name in ("up", "down"):
            self.speed = float(np.clip(self.speed + (STEP if name == "up" else -STEP), STEP, MOST))
            self.values[self.chosen] = np.sign(self.values[self.chosen]) * self.speed
        elif name == "stop":
            self.values[:] = 0.0
        elif name:
            self.wants = name

    def __call__(self, observation: Any) -> NDArray[np.float32]:
        """Return the action (1, dof)."""
        return self.values[None].copy()

    def describe(self) -> str:
        """Return one line with every slider, the chosen one marked."""
        marked = (f"[{value:+.1f}]" if i == self.chosen else f" {value:+.1f} " for i, value in enumerate(self.values))
        return f"{self.joint_names[self.chosen]}: {' '.join(marked)}"


@contextlib.contextmanager
def open_keyboard(period: float) -> Iterator[Callable[[], list[bytes]]]:
    """Yield a function that returns the keys pressed since the last call, and returns a period after that call.

    Args:
        period: Least time between two calls, so that the arm moves no faster than in reality [s].

    Raises:
        UsageError: Standard input is no terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError("Sliders need a keyboard, and standard input is no terminal. Use --policy random, or a run folder.")
    handle, due = sys.stdin.fileno(), time.monotonic()

    def read_keys() -> list[bytes]:
        nonlocal due
        typed = b""
        while select.select([handle], [], [], max(0.0, due - time.monotonic()))[0]:
            part = os.read(handle, 1024)
            if not part:  # the terminal is gone
                return [b"q"]
            typed += part
        due = max(due, time.monotonic()) + period
        return split_keys(typed)

    before = termios.tcgetattr(handle)
    tty.setcbreak(handle)
    try:
        yield read_keys
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def split_keys(typed: bytes) -> list[bytes]:
    """Return single keys; an arrow is three bytes."""
    keys = []
    while typed:
        length = 3 if typed.startswith(b"\x1b[") else 1
        keys.append(typed[:length])
        typed = typed[length:]
    return keys
