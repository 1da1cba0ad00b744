"""The scales of a plot's axes: their ends, their ticks, the labels of the ticks, and the pixel of a value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scale", "choose_factor", "format_tick", "span"]

Array = NDArray[np.float64]

STEPS = (1.0, 2.0, 2.5, 4.0, 5.0, 10.0)
"""Distances of linear ticks, times a power of ten: their multiples have short labels."""
WIDE_RATIO = 50.0
"""A logarithmic axis from here on has ticks at powers of ten only."""
FACTORS = ((0.02, 1.0, ""), (2e-5, 1e3, "×10⁻³"), (0.0, 1e6, "×10⁻⁶"))
"""For axes with small values: the least end of the axis, the factor of its labels, and the note that says so."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """Maps the values of an axis to pixels.

    Attributes:
        low: Value at the axis' first end.
        high: Value at its second end, greater than ``low``.
        start: Pixel of ``low``.
        end: Pixel of ``high``.
        log: Whether the axis is logarithmic. Both ends are then positive.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, values: Array) -> Array:
        """Return the pixels of values. On a logarithmic axis a value that is not positive has the pixel NaN or infinity."""
        low, high = self.low, self.high
        if self.log:
            low, high = math.log(low), math.log(high)
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log(values)
        return self.start + (values - low) / (high - low) * (self.end - self.start)

    def list_ticks(self, most: int) -> list[float]:
        """Return round values inside the axis. On a linear axis, they make at most ``most`` intervals."""
        ticks = self._list_log_ticks(most) if self.log else []
        # A logarithmic axis over less than a factor of two may hold no round value of its own kind.
        return ticks if len(ticks) > 1 else self._list_linear_ticks(most)

    def _list_linear_ticks(self, most: int) -> list[float]:
        least = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(least))
        step = power * next(step for step in STEPS if power * step >= least * (1.0 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [step * i for i in range(first, last + 1)]

    def _list_log_ticks(self, most: int) -> list[float]:
        multiples = (1.0,) if self.high > WIDE_RATIO * self.low else (1.0, 2.0, 5.0)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        stride = -(-(last - first) // (most + 2))  # every n-th power of ten, where there are too many
        ticks = (multiple * 10.0**power for power in range(first, last + 1, stride) for multiple in multiples)
        return [tick for tick in ticks if self.low * (1.0 - 1e-9) <= tick <= self.high * (1.0 + 1e-9)]


def span(parts: Sequence[Array], margin: float = 0.05, log: bool = False) -> tuple[float, float]:
    """Return the ends of an axis that shows all values, with a margin.

    Args:
        parts: Arrays of values. Values that the axis cannot show (NaN, infinity, on a logarithmic axis also zero and below)
            are ignored.
        margin: Free space at both ends, as a share of the range.
        log: Whether the axis is logarithmic.
    """
    values = np.concatenate([np.empty(0), *parts])
    values = values[np.isfinite(values) & ((values > 0.0) | (not log))]
    if not len(values):
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if log:
        factor = (high / low) ** margin if high > low else 2.0
        return low / factor, high * factor
    # A constant needs a range as well; one of its own magnitude keeps the tick labels distinct.
    free = margin * (high - low) or 0.5 * abs(high) or 0.5
    return low - free, high + free


def choose_factor(ends: Iterable[float]) -> tuple[float, str]:
    """Return the factor of an axis' labels, and the note that names it ("" for 1), so that small values have short labels."""
    largest = max(map(abs, ends))
    return next((factor, note) for least, factor, note in FACTORS if largest >= least)


def format_tick(value: float) -> str:
    """Return the label of a tick: a few characters, with a unit in place of many zeros."""
    size = abs(value)
    for limit, divisor, unit in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= limit * (1.0 - 1e-9):
            return f"{value / divisor:.6g}{unit}".replace("-", "−")
    # Rounding removes the error of a tick such as 3 · 0.1, and the sign of a negative zero.
    return (f"{value:.0e}" if 0.0 < size < 1e-4 else f"{round(value, 10) + 0.0:g}").replace("-", "−")
