"""Geometry of a scene's objects, batched: bounding boxes, angles, contact with zones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.scene import SHAPES, Pool

__all__ = ["compute_extent", "compute_rpy", "overlaps_box"]

Array = NDArray[np.float64]

ROUNDING_MARGIN = 1e-9
"""Margin of the coarse test of boxes, larger than its rounding [m]."""


def compute_extent(pool: Pool, index: NDArray[np.int64], R: Array) -> Array:
    """Return the half sizes of the objects' bounding boxes along the base's axes.

    Args:
        pool: The pool.
        index: (n, k) members.
        R: (n, k, 3, 3) rotations.

    Returns:
        (n, k, 3) half sizes [m].
    """
    half = pool.half_size[index]
    box = (np.abs(R) @ half[..., None])[..., 0]
    # A disc of radius r whose normal is a has the half size r √(1 − aᵢ²) along axis i.
    axis = R[..., :, 2]
    cylinder = half[..., :1] * np.sqrt(np.maximum(1.0 - axis**2, 0.0)) + half[..., 2:] * np.abs(axis)
    shape = pool.shape[index][..., None]
    return np.where(shape == SHAPES.index("box"), box, np.where(shape == SHAPES.index("cylinder"), cylinder, half))


def compute_rpy(R: Array) -> Array:
    """Return roll, pitch and yaw (..., 3) [rad] of rotations (..., 3, 3): R = Rz(yaw) Ry(pitch) Rx(roll)."""
    roll = np.arctan2(R[..., 2, 1], R[..., 2, 2])
    pitch = np.arctan2(-R[..., 2, 0], np.hypot(R[..., 2, 1], R[..., 2, 2]))
    return np.stack([roll, pitch, np.arctan2(R[..., 1, 0], R[..., 0, 0])], axis=-1)


def overlaps_box(start: Array, end: Array, extent: Array, center: ArrayLike, half_size: ArrayLike) -> NDArray[np.bool_]:
    """Return whether bounding boxes overlap a fixed box, at the end of a period or on the straight way to there.

    The way counts because a thrown object can be past a flat zone at the end of a period.

    Args:
        start: (..., 3) positions at the start of the period [m].
        end: (..., 3) positions at its end [m].
        extent: (..., 3) half sizes of the bounding boxes [m].
        center: (..., 3) centre of the fixed box [m]. All of these are broadcast against each other.
        half_size: (3,) its half sizes [m].

    Returns:
        (...) bool.
    """
    start, end, reach, center = np.broadcast_arrays(start, end, extent + np.asarray(half_size), center)
    # Most objects are nowhere near. Where they might be, the exact test decides.
    low, high = np.minimum(start, end) - reach - ROUNDING_MARGIN, np.maximum(start, end) + reach + ROUNDING_MARGIN
    hit = np.asarray(((low <= center) & (center <= high)).all(axis=-1))
    if hit.any():
        hit[hit] = _passes(start[hit] - center[hit], end[hit] - start[hit], reach[hit])
    return hit


def _passes(away: Array, way: Array, reach: Array) -> NDArray[np.bool_]:
    """Return (m,) whether points at ``away`` that go ``way`` (m, 3) pass boxes of half size ``reach`` around zero."""
    # The slab method: the share of the way during which the boxes overlap along each axis, and along all of them.
    with np.errstate(divide="ignore", invalid="ignore"):
        first, last = (-np.sign(way) * reach - away) / way, (np.sign(way) * reach - away) / way
    inside = np.abs(away) <= reach
    first = np.where(way == 0.0, np.where(inside, -np.inf, np.inf), first).max(axis=-1)
    last = np.where(way == 0.0, np.where(inside, np.inf, -np.inf), last).min(axis=-1)
    hit: NDArray[np.bool_] = np.maximum(first, 0.0) <= np.minimum(last, 1.0)
    return hit
