"""Move an arm from the keyboard: a digit chooses a joint, and the arrow keys move it."""

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

__all__ = ["HELP", "Sliders", "open_keyboard", "split_keys"]

HELP = "1…9 joint   ← → move   ↑ ↓ faster, slower   space stop   r new episode   q quit"
SPEED, SPEED_STEP, MAX_SPEED = 0.3, 0.1, 1.0
"""First value of a slider that is moved, its change per key, and its largest value, as shares of the largest action."""
KEYS = {b"\x1b[D": "left", b"\x1b[C": "right", b"\x1b[A": "up", b"\x1b[B": "down", b" ": "stop", b"r": "reset", b"q": "quit"}
"""A dictionary from the bytes that a terminal sends for a key to the key's meaning."""


class Sliders:
    """One slider per joint; each is an action between −1 and 1. The sliders are a policy that ignores its observation.

    Attributes:
        joint_names: Names of the joints.
        values: (dof,) positions of the sliders.
        chosen: Index of the joint that the arrow keys move.
        speed: Value that the next arrow key gives to a slider.
        command: "reset" or "quit" after such a key was pressed, else "".
    """

    def __init__(self, joint_names: tuple[str, ...]) -> None:
        """Start with every slider in the middle."""
        self.joint_names, self.chosen, self.command, self.speed = joint_names, 0, "", SPEED
        self.values: NDArray[np.float32] = np.zeros(len(joint_names), dtype=np.float32)

    def press(self, key: bytes) -> None:
        """Apply one key; keys without a meaning are ignored."""
        if key.isdigit():
            self.chosen = min(max(int(key) - 1, 0), len(self.values) - 1)
        name = KEYS.get(key, "")
        if name in ("left", "right"):
            self.values[self.chosen] = self.speed if name == "right" else -self.speed
        elif name in ("up", "down"):
            change = SPEED_STEP if name == "up" else -SPEED_STEP
            self.speed = float(np.clip(self.speed + change, SPEED_STEP, MAX_SPEED))
            self.values[self.chosen] = np.sign(self.values[self.chosen]) * self.speed
        elif name == "stop":
            self.values[:] = 0.0
        elif name:
            self.command = name

    def __call__(self, observation: Any) -> NDArray[np.float32]:
        """Return the action (1, dof)."""
        return self.values[None].copy()

    def describe(self) -> str:
        """Return one line with the value of every slider, the chosen one in brackets."""
        marked = (f"[{value:+.1f}]" if i == self.chosen else f" {value:+.1f} " for i, value in enumerate(self.values))
        return f"{self.joint_names[self.chosen]}: {' '.join(marked)}"


@contextlib.contextmanager
def open_keyboard(period: float) -> Iterator[Callable[[], list[bytes]]]:
    """Yield a function that returns the keys pressed since its last call, and that waits until the next period is due.

    Args:
        period: Least time between the ends of two calls, so that the arm moves in real time [s].

    Raises:
        UsageError: Standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            "Sliders need a keyboard, but standard input is not a terminal. Use --policy random, or play a run folder."
        )
    handle, due = sys.stdin.fileno(), time.monotonic()

    def read_keys() -> list[bytes]:
        nonlocal due
        typed = b""
        while select.select([handle], [], [], max(0.0, due - time.monotonic()))[0]:
            part = os.read(handle, 1024)
            if not part:  # end of file: the terminal was closed
                return [b"q"]
            typed += part
        due = max(due, time.monotonic()) + period  # a slow step delays the next one, instead of a burst that catches up
        return split_keys(typed)

    # cbreak mode delivers each key at once and without an echo, and leaves Ctrl-C working.
    before = termios.tcgetattr(handle)
    tty.setcbreak(handle)
    try:
        yield read_keys
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def split_keys(typed: bytes) -> list[bytes]:
    """Return the single keys in a sequence of bytes; an arrow key is three bytes: escape, "[", and a letter."""
    keys = []
    while typed:
        length = 3 if typed.startswith(b"\x1b[") else 1
        keys.append(typed[:length])
        typed = typed[length:]
    return keys
