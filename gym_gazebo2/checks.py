"""Check values that come from the user, and add rows to the tables that users may extend.

Numbers may be Python's or NumPy's. Each function returns a plain Python number, so that it can be written to JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["add_row", "read_factor", "read_number", "read_positive", "read_whole"]

Row = TypeVar("Row")


def add_row(table: dict[str, Row], name: str, row: Row) -> None:
    """Add a row to a table. Adding an equal row again changes nothing.

    Args:
        table: The table, changed in place.
        name: Name of the row.
        row: The row.

    Raises:
        InvalidArgumentError: Another row has this name.
    """
    # A cell of a notebook that runs twice defines its class or function twice. The two are not equal, but the user means
    # the newer one, so it replaces the older one.
    if name in table and _is_redefined(table[name], row):
        table[name] = row
    if table.setdefault(name, row) != row:
        raise InvalidArgumentError("name", name, f"a name not yet in use (taken: {', '.join(sorted(table))})")


def _is_redefined(old: object, new: object) -> bool:
    """Return whether both objects, or their classes, have the same qualified name in ``__main__``.

    Only ``__main__`` runs its definitions twice in one process; elsewhere an equal name is a clash of two packages.
    """
    before, after = (value if hasattr(value, "__qualname__") else type(value) for value in (old, new))
    return before.__module__ == after.__module__ == "__main__" and before.__qualname__ == after.__qualname__


def read_whole(name: str, value: Any, least: int = 1, most: float = math.inf) -> int:
    """Return a whole number as an ``int``.

    Args:
        name: Name of the argument, for the error.
        value: The value given.
        least: Smallest valid value.
        most: Largest valid value.

    Raises:
        InvalidArgumentError: The value is not a whole number, or not between ``least`` and ``most``.
    """
    # bool is a subclass of int in Python: without this test, True would pass as 1.
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        expected = f"a whole number of at least {least}" if most == math.inf else f"a whole number from {least} to {most}"
        raise InvalidArgumentError(name, value, expected)
    return int(value)


def read_number(name: str, value: Any, expected: str, holds: Callable[[float], bool] = lambda _: True) -> float:
    """Return a finite number as a ``float``.

    Args:
        name: Name of the argument, for the error.
        value: The value given.
        expected: Description of the valid values, for the error.
        holds: Condition that the number must meet.

    Raises:
        InvalidArgumentError: The value is not a finite number, or ``holds`` is false.
    """
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not holds(float(value)):
        raise InvalidArgumentError(name, value, expected)
    # float(np.float32(0.05)) is 0.05000000074505806, which is no whole number of physics steps. The user who wrote 0.05
    # means 0.05, and that is how NumPy prints the number.
    return float(str(value)) if isinstance(value, np.floating) else float(value)


def read_positive(name: str, value: Any) -> float:
    """Return a finite number above 0 as a ``float``.

    Raises:
        InvalidArgumentError: The value is not a finite number, or not above 0.
    """
    return read_number(name, value, "a positive number", lambda x: x > 0)


def read_factor(name: str, factor: Any) -> float:
    """Return a real-time factor: simulated seconds per second of wall time. 0 means as fast as possible.

    Raises:
        InvalidArgumentError: The value is not a finite number, or negative.
    """
    expected = "a real-time factor of at least 0 (1: real time, 0: as fast as possible)"
    return read_number(name, factor, expected, lambda value: value >= 0)
