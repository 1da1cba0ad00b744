"""What comes from outside: Python's and NumPy's numbers are taken, new rows of tables too, what cannot work is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["add_row", "read_factor", "read_number", "read_positive", "read_whole"]

Row = TypeVar("Row")


def add_row(table: dict[str, Row], name: str, row: Row) -> None:
    """Add a row to a table; adding an equal one again is fine, and so is what a notebook's cell that ran again defines anew.

    Raises:
        InvalidArgumentError: The name is taken by another row.
    """
    if name in table and _is_redefined(table[name], row):
        table[name] = row
    if table.setdefault(name, row) != row:
        raise InvalidArgumentError("name", name, f"a name not yet in use (taken: {', '.join(sorted(table))})")


def _is_redefined(old: object, new: object) -> bool:
    """Tell whether two things, or their classes, are the same definition of the user's program, before and after."""
    one, other = (thing if hasattr(thing, "__qualname__") else type(thing) for thing in (old, new))
    return one.__module__ == other.__module__ == "__main__" and one.__qualname__ == other.__qualname__


def read_whole(name: str, value: Any, least: int = 1, most: float = math.inf) -> int:
    """Return a whole number as an ``int``.

    Raises:
        InvalidArgumentError: It is none, or not between ``least`` and ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        expected = f"a whole number of at least {least}" if most == math.inf else f"a whole number from {least} to {most}"
        raise InvalidArgumentError(name, value, expected)
    return int(value)


def read_number(name: str, value: Any, expected: str, holds: Callable[[float], bool] = lambda _: True) -> float:
    """Return a finite number as a ``float``; a NumPy number of single precision means the decimal that it shows.

    Args:
        name: Name of the argument.
        value: What came.
        expected: What was expected, in words.
        holds: What must be true of it.

    Raises:
        InvalidArgumentError: It is no finite number, or ``holds`` is false.
    """
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not holds(float(value)):
        raise InvalidArgumentError(name, value, expected)
    return float(str(value)) if isinstance(value, np.floating) else float(value)


def read_positive(name: str, value: Any) -> float:
    """Return a finite number above 0 as a ``float``.

    Raises:
        InvalidArgumentError: It is something else.
    """
    return read_number(name, value, "a positive number", lambda x: x > 0)


def read_factor(name: str, factor: Any) -> float:
    """Return how fast simulated time runs, as a multiple of time; 0 is as fast as it can.

    Raises:
        InvalidArgumentError: It is no finite number, or negative.
    """
    return read_number(name, factor, "how fast time runs: 1 for real time, 0 for as fast as it can", lambda value: value >= 0)
