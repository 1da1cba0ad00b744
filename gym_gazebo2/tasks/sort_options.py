"""Read and check the options of the sorting tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from gym_gazebo2.checks import read_number, read_positive, read_whole
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.scene import SHAPES
from gym_gazebo2.tasks.placement import count_places
from gym_gazebo2.tasks.sort_table import AREA, BIN_HALF_SIZE, POOL_SIZE, Table

__all__ = ["check_layout", "read_options"]


def check_layout(num_objects: int, largest: float, bin_x: float) -> None:
    """Check that objects and bins have room on the table.

    Args:
        num_objects: Number of objects.
        largest: Their largest half size [m].
        bin_x: x of the centres of the bins [m].

    Raises:
        InvalidArgumentError: There are more objects than places, or a bin is where objects start.
    """
    low, high = AREA[0][0] - largest, AREA[1][0] + largest
    if low < bin_x + BIN_HALF_SIZE[0] and bin_x - BIN_HALF_SIZE[0] < high:
        sentence = f"bin_x is {bin_x:g} m, where the bins (0.1 m deep) overlap the objects' area, from {low:g} to {high:g} m."
        raise InvalidArgumentError("bin_x", bin_x, sentence=f"{sentence} Use a smaller or a larger bin_x.")
    places = min(count_places(2.0**0.5 * largest, *AREA), POOL_SIZE)
    if num_objects > places:
        sentence = f"num_objects is {num_objects}, but the table has {places} places for objects of this size."
        raise InvalidArgumentError("num_objects", num_objects, sentence=f"{sentence} Use fewer or smaller objects.")


def read_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a ``SortTask`` as plain values.

    Args:
        given: Its fields by name.

    Raises:
        UnknownNameError: There is no such shape, or field of ``table``.
        InvalidArgumentError: A value is invalid.
    """
    height = "a height of at least 0 m"
    shapes = (given["shapes"],) if isinstance(given["shapes"], str) else tuple(given["shapes"])
    for shape in shapes:
        if shape not in SHAPES:
            raise UnknownNameError("shape", shape, SHAPES)
    if not shapes or len(set(shapes)) < len(shapes):
        raise InvalidArgumentError("shapes", list(shapes), f"different shapes of {', '.join(SHAPES)}")
    sizes = tuple(given["half_size"]) if np.ndim(given["half_size"]) == 1 else ()
    if len(sizes) != 2 or not sizes[0] <= sizes[1]:
        raise InvalidArgumentError("half_size", given["half_size"], "a smallest and a largest half size [m]")
    small, large = (read_positive("half_size", size) for size in sizes)
    return {
        "num_objects": read_whole("num_objects", given["num_objects"]),
        "shapes": shapes,
        "half_size": (small, large),
        "yaw": read_number("yaw", given["yaw"], "an angle from 0 to π rad", lambda x: 0.0 <= x <= np.pi),
        "blocker": read_number("blocker", given["blocker"], height, lambda x: x >= 0.0),
        "bin_x": read_number("bin_x", given["bin_x"], "a finite number [m]"),
        "slots": None if given["slots"] is None else read_whole("slots", given["slots"]),
        "table": _read_table(given["table"]),
        **{name: _read_flag(name, given[name]) for name in ("shaping", "joints", "image")},
    }


def _read_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise InvalidArgumentError(name, value, "true or false")
    return bool(value)


def _read_table(table: Table | Mapping[str, Any]) -> Table:
    if isinstance(table, Table):
        return table
    names = [field.name for field in dataclasses.fields(Table)]
    if not isinstance(table, Mapping):
        raise InvalidArgumentError("table", table, f"a dictionary of {', '.join(names)}")
    for name in table:
        if name not in names:
            raise UnknownNameError("field of table", name, names)
    return Table(**table)
