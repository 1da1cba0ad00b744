"""Compute curves from episodes and runs: running means, trends, and the spread over runs. Pure functions of arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Band", "compute_band", "compute_running_mean", "compute_trend", "keep_last", "thin"]

Array = NDArray[np.float64]

BANDWIDTH = 0.08
"""Standard deviation of the weights of a trend, as a share of the range of x."""
BINS = 400
"""Number of bins of a trend. The bins are much narrower than the bandwidth, so they do not change the trend visibly."""


@dataclasses.dataclass(frozen=True)
class Band:
    """The curves of several runs, combined.

    Attributes:
        x: (m,) places, from the first to the last one where all runs have values.
        median: (m,) median over the runs.
        low: (m,) smallest value of the runs.
        high: (m,) largest value of the runs.
    """

    x: Array
    median: Array
    low: Array
    high: Array


def compute_running_mean(values: Array, window: int = 100) -> Array:
    """Return, at each of n values, the mean of the last ``window`` values up to there, or of all if there are fewer."""
    sums = np.cumsum(np.insert(np.asarray(values, dtype=float), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def compute_trend(x: Array, y: Array, num_points: int = 120) -> tuple[Array, Array]:
    """Return a smooth trend by local linear regression with Gaussian weights.

    See Fan and Gijbels, "Local Polynomial Modelling and Its Applications", 1996. Unlike a moving average it has no bias at
    the ends of a sloped curve.

    Args:
        x: (n,) places, ascending.
        y: (n,) values.
        num_points: Number m of points of the trend.

    Returns:
        (m,) places and (m,) values; both empty if there are fewer than three values, or if all have the same place.
    """
    if len(x) < 3 or x[-1] <= x[0]:
        return np.empty(0), np.empty(0)
    # The mean of each bin replaces its values: the cost of the regression then does not grow with the number of episodes.
    index = np.minimum(((x - x[0]) / (x[-1] - x[0]) * BINS).astype(int), BINS - 1)
    count = np.bincount(index, minlength=BINS)
    filled = count > 0
    weight = count[filled]
    bin_x, bin_y = (np.bincount(index, weights=v, minlength=BINS)[filled] / weight for v in (x, y))
    at = np.linspace(bin_x[0], bin_x[-1], num_points)
    offset = (bin_x - at[:, None]) / (BANDWIDTH * (x[-1] - x[0]))
    kernel = weight * np.exp(-0.5 * np.square(offset))
    # Weighted moments of the places (s) and of the values (t); the intercept of the fitted line is the trend's value.
    s0, s1, s2 = (np.sum(kernel * offset**k, axis=1) for k in range(3))
    t0, t1 = (np.sum(kernel * offset**k * bin_y, axis=1) for k in range(2))
    determinant = s0 * s2 - s1 * s1
    is_flat = determinant <= 1e-12 * s0 * s0  # a single bin near this point determines no slope
    return at, np.where(is_flat, t0 / s0, (s2 * t0 - s1 * t1) / np.where(is_flat, 1.0, determinant))


def compute_band(curves: Sequence[tuple[Array, Array]], num_points: int = 160, log: bool = False) -> Band:
    """Return median and range of several curves, over the places where all of them have values.

    Args:
        curves: Places (ascending) and values of each run; at least one curve, and none of them empty.
        num_points: Number m of points of the band.
        log: Interpolate the logarithms. All values must be positive.
    """
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    grid = np.linspace(start, max(start, end), num_points)
    rows = np.array([_interpolate(grid, x, y, log) for x, y in curves])
    return Band(grid, np.median(rows, axis=0), rows.min(axis=0), rows.max(axis=0))


def keep_last(x: Array, y: Array) -> tuple[Array, Array]:
    """Return a curve with one value per place, the last one. Arms whose episodes end together give several."""
    last = np.flatnonzero(np.append(x[1:] != x[:-1], True)) if len(x) else np.empty(0, dtype=np.int64)
    return x[last], y[last]


def thin(count: int, most: int) -> NDArray[np.int64]:
    """Return the indices of at most ``most`` of ``count`` values, evenly spread, with the first and the last one."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _interpolate(grid: Array, x: Array, y: Array, log: bool) -> Array:
    return np.exp(np.interp(grid, x, np.log(y))) if log else np.interp(grid, x, y)
