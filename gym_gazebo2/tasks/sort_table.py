"""The table of the sorting tasks as data: where objects, bins and bar are, and how all of it fits other robots."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.checks import read_number, read_positive
from gym_gazebo2.scene import SHAPES, FixedBox, ObjectKind, Scene, Shape, Zone

__all__ = ["AREA", "BIN_HALF_SIZE", "LANES", "POOL_SIZE", "Table", "make_bins", "make_sort_scene"]

Array = NDArray[np.float64]
Vec3 = tuple[float, float, float]

# Lengths of the scene [m] in the table's frame: its origin is the robot's base, and z = 0 is the table's top.
AREA = ((0.47, -0.2), (0.68, 0.2))
"""Lower and upper corner (x, y) of the area in which objects start."""
BIN_HALF_SIZE: Vec3 = (0.05, 0.1, 0.01)
LANES: dict[Shape, float] = {"box": 0.2, "cylinder": -0.2, "sphere": 0.0}
"""Shape → y of the centre of its bin."""
BAR_HALF_WIDTH = 0.01
BAR_OFFSET = 0.075
"""From the centre of a bin to the centre of the bar [m]; the bin ends 0.05 m and the bar begins 0.065 m from there."""
TABLE_X, TABLE_Y, TABLE_THICKNESS = (-0.25, 0.85), 0.4, 0.04
POOL_SIZE = 24
"""Smallest number of members of the pool. Each shape has the same number of members."""
COLORS: dict[Shape, Vec3] = {"box": (0.85, 0.25, 0.2), "cylinder": (0.2, 0.65, 0.3), "sphere": (0.2, 0.4, 0.85)}
NAMES: dict[Shape, str] = {"box": "cube", "cylinder": "cylinder", "sphere": "sphere"}


@dataclasses.dataclass(frozen=True)
class Table:
    """Where the table stands, and how large everything on it is. A point p of the table's frame is (x, y, z) + scale · p.

    Attributes:
        scale: Size of table, bins, bar and objects; 1 fits a Panda.
        x: Shift along the base's x axis [m].
        y: Shift along y [m].
        z: Height of the table's top above the base [m].
    """

    scale: float = 1.0
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidArgumentError: The scale is not positive, or a shift is not finite.
        """
        object.__setattr__(self, "scale", read_positive("table.scale", self.scale))
        for name in ("x", "y", "z"):
            object.__setattr__(self, name, read_number(f"table.{name}", getattr(self, name), "a finite number [m]"))

    @functools.cached_property
    def origin(self) -> Array:
        """(3,) origin of the table's frame in the base frame [m]."""
        return np.array([self.x, self.y, self.z])

    def to_base(self, point: Vec3) -> Vec3:
        """Return a point of the table's frame in the base frame [m]."""
        x, y, z = (self.origin + self.scale * np.array(point)).tolist()
        return x, y, z

    def resize(self, size: Vec3) -> Vec3:
        """Return a size of the table's frame in metres of the base frame."""
        x, y, z = (self.scale * value for value in size)
        return x, y, z

    def from_base(self, points: Array) -> Array:
        """Return points (..., 3) of the base frame in the table's frame, where lengths are divided by the scale."""
        table: Array = (points - self.origin) / self.scale
        return table


def make_bins(bin_x: float) -> Array:
    """Return the centres (3, 3) of the bins in the table's frame [m], in the order of ``SHAPES``."""
    return np.array([(bin_x, LANES[shape], BIN_HALF_SIZE[2]) for shape in SHAPES])


def find_bar_x(bin_x: float) -> float:
    """Return the x of the bar's centre: between bins and objects, on the table [m, table's frame]."""
    return bin_x + BAR_OFFSET if bin_x < AREA[0][0] else min(bin_x - BAR_OFFSET, TABLE_X[1] - BAR_HALF_WIDTH)


def make_sort_scene(
    table: Table, shapes: tuple[Shape, ...], half_size: tuple[float, float], num_objects: int, bin_x: float, blocker: float
) -> Scene:
    """Return the scene: objects, the table, three bins, and a bar in front of them where ``blocker`` is above 0.

    Args:
        table: The table.
        shapes: Shapes of the objects.
        half_size: Smallest and largest half size [m, table's frame].
        num_objects: Number of objects k.
        bin_x: x of the centres of the bins [m, table's frame].
        blocker: Height of the bar [m, table's frame].

    Raises:
        UnknownNameError: There is no such shape.
        InvalidArgumentError: A size is invalid, or there are more objects than members of the pool.
    """
    small, large = (table.resize((size,) * 3) for size in half_size)
    count = -(-POOL_SIZE // len(shapes))
    kinds = tuple(
        ObjectKind(
            NAMES.get(shape, str(shape)), shape, small, large, count, color=COLORS.get(shape, (0.5, 0.5, 0.5)), is_cube=True
        )
        for shape in shapes
    )
    center = ((TABLE_X[0] + TABLE_X[1]) / 2.0, 0.0, -TABLE_THICKNESS / 2.0)
    half_table = ((TABLE_X[1] - TABLE_X[0]) / 2.0, TABLE_Y, TABLE_THICKNESS / 2.0)
    boxes = [FixedBox("table", table.to_base(center), table.resize(half_table))]
    if blocker > 0.0:
        place, size = (find_bar_x(bin_x), 0.0, blocker / 2.0), (BAR_HALF_WIDTH, TABLE_Y, blocker / 2.0)
        boxes.append(FixedBox("bar", table.to_base(place), table.resize(size), color=(0.35, 0.35, 0.4)))
    zones = [
        Zone(
            f"bin_{NAMES[shape]}",
            table.to_base((bin_x, y, BIN_HALF_SIZE[2])),
            table.resize(BIN_HALF_SIZE),
            (*COLORS[shape], 0.4),
        )
        for shape, y in LANES.items()
    ]
    return Scene(kinds, num_objects, tuple(boxes), tuple(zones))
