"""The parts of a scene: kinds of movable objects, fixed boxes, and zones. Lengths are in metres, in the robot's base frame."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import numpy as np

from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["SHAPES", "FixedBox", "ObjectKind", "Shape", "Vec3", "Zone"]

Vec3 = tuple[float, float, float]
Shape = Literal["box", "cylinder", "sphere"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
"""Shapes of movable objects. A cylinder stands along its z axis."""


@dataclasses.dataclass(frozen=True)
class ObjectKind:
    """Movable objects of one shape, with sizes from a range.

    Attributes:
        name: Name of the kind; its members are called name0, name1, …
        shape: "box", "cylinder" or "sphere".
        smallest: Smallest half sizes along x, y, z [m]. A cylinder takes its radius from x and its half height from z, a sphere
            its radius from x.
        largest: Largest half sizes [m]; equal to ``smallest`` for one fixed size.
        count: Number of members of the pool.
        mass: Mass [kg]; None: volume times ``density``.
        density: Density [kg/m³].
        friction: Coefficient of sliding friction. A contact takes the smaller one of its two bodies; links of the arm have 1.
        color: Red, green, blue, 0 to 1.
        is_cube: Whether a box has the same size along all three axes.
    """

    name: str
    shape: Shape
    smallest: Vec3
    largest: Vec3
    count: int = 1
    mass: float | None = None
    density: float = 1000.0
    friction: float = 1.0
    color: Vec3 = (0.8, 0.3, 0.2)
    is_cube: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UnknownNameError: There is no such shape.
            InvalidArgumentError: A size, mass, density, friction or count is invalid.
        """
        if self.shape not in SHAPES:
            raise UnknownNameError("shape", self.shape, SHAPES)
        low, high = np.array(self.smallest, dtype=float), np.array(self.largest, dtype=float)
        if low.shape != (3,) or high.shape != (3,) or not (np.isfinite(high) & (low > 0.0) & (low <= high)).all():
            raise InvalidArgumentError(
                "sizes", (self.smallest, self.largest), "half sizes (x, y, z) [m], 0 < smallest ≤ largest"
            )
        for name in ("density", "friction", *(["mass"] if self.mass is not None else [])):
            _check_positive(name, getattr(self, name))
        if self.count < 1:
            raise InvalidArgumentError("count", self.count, "a whole number of at least 1")


@dataclasses.dataclass(frozen=True)
class FixedBox:
    """A box that does not move, such as a table, a bar or a wall. Arm and objects collide with it.

    Attributes:
        name: Name, different from those of the robot's links.
        center: Centre [m].
        half_size: Half sizes along x, y, z [m].
        friction: Coefficient of sliding friction.
        color: Red, green, blue, 0 to 1.
    """

    name: str
    center: Vec3
    half_size: Vec3
    friction: float = 0.5
    color: Vec3 = (0.75, 0.72, 0.68)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidArgumentError: A size or the friction is invalid.
        """
        _check_box(self.name, self.center, self.half_size)
        _check_positive("friction", self.friction)


@dataclasses.dataclass(frozen=True)
class Zone:
    """A box that is only drawn, such as a bin. Nothing collides with it.

    Attributes:
        name: Name.
        center: Centre [m].
        half_size: Half sizes along x, y, z [m].
        color: Red, green, blue and opacity, 0 to 1.
    """

    name: str
    center: Vec3
    half_size: Vec3
    color: tuple[float, float, float, float] = (0.2, 0.5, 0.8, 0.35)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidArgumentError: A size is invalid.
        """
        _check_box(self.name, self.center, self.half_size)


def _check_box(name: str, center: Vec3, half_size: Vec3) -> None:
    c, h = np.array(center, dtype=float), np.array(half_size, dtype=float)
    if c.shape != (3,) or h.shape != (3,) or not (np.isfinite(c) & np.isfinite(h) & (h > 0.0)).all():
        raise InvalidArgumentError(
            f"box {name!r}", (center, half_size), "a finite centre and positive half sizes (x, y, z) [m]"
        )


def _check_positive(name: str, value: float) -> None:
    if not 0.0 < value < np.inf:
        raise InvalidArgumentError(name, value, "a positive number")
