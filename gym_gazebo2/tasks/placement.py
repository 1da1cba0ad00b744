"""Random places for objects on a plane, in which no two overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["count_places", "place_apart"]

Array = NDArray[np.float64]
Point = tuple[float, float]

GAP = 0.02
"""Smallest distance between two objects [m]: a finger of the Panda fits in between."""
TRIES = 50
"""Draws of an arrangement before the objects are put on a grid."""


def place_apart(rng: np.random.Generator, radius: Array, low: Point, high: Point, gap: float = GAP) -> Array:
    """Return random positions of upright objects that do not touch each other.

    Positions are drawn uniformly and independently, and drawn again where two are too near. Where that fails, as with many
    objects, they are points of a grid in random order.

    Args:
        rng: Random generator.
        radius: (k,) radii of the circles around the objects, seen from above [m].
        low: (2,) lower corner of the area for their centres [m].
        high: (2,) upper corner [m].
        gap: Smallest distance between two circles [m].

    Returns:
        (k, 2) positions [m].

    Raises:
        InvalidArgumentError: The area has not enough places.
    """
    k = len(radius)
    apart = radius[:, None] + radius + gap
    np.fill_diagonal(apart, 0.0)
    for _ in range(TRIES):
        places = rng.uniform(low, high, (k, 2))
        if (np.linalg.norm(places[:, None] - places, axis=-1) >= apart).all():
            return places
    grid = _make_grid(2.0 * float(radius.max()) + gap, low, high)
    if len(grid) < k:
        raise InvalidArgumentError("number of objects", k, f"at most {len(grid)}, for which the area has places")
    return rng.permutation(grid)[:k]


def count_places(radius: float, low: Point, high: Point, gap: float = GAP) -> int:
    """Return how many objects of a radius [m] always find a place in an area."""
    return len(_make_grid(2.0 * radius + gap, low, high))


def _make_grid(pitch: float, low: Point, high: Point) -> Array:
    """Return points (m, 2) of an area that are at least ``pitch`` apart."""
    x, y = (np.linspace(start, end, int((end - start) // pitch) + 1) for start, end in zip(low, high, strict=True))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
