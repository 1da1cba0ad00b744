"""The horizontal axis of a plot of a training: wall time or environment steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.report.run_data import RunData

__all__ = ["AXES", "Axis", "choose_limits", "make_axis", "spans_decades"]

Array = NDArray[np.float64]
AxisName = Literal["wall", "steps"]

AXES: tuple[AxisName, ...] = ("wall", "steps")
"""The axes that a page offers, the first one shown at first."""
DECADES = 30.0
"""An axis is logarithmic if its largest value is more than this many times its smallest."""
UNITS = ((7200.0, 3600.0, "h"), (300.0, 60.0, "min"), (0.0, 1.0, "s"))
"""Units of wall time: the shortest training that uses the unit [s], the length of the unit [s], and its name."""
OUTLIERS = 0.5
"""Share of the episodes at each end of the values that may lie outside of the frame [%]."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """A horizontal axis.

    Attributes:
        name: "wall" or "steps".
        label: Its label, with the unit.
        scale: Seconds or steps per unit.
    """

    name: AxisName
    label: str
    scale: float

    def choose(self, wall_s: Array, steps: Array) -> Array:
        """Return the places (n,) of points whose wall times [s] and steps are known."""
        return (wall_s if self.name == "wall" else steps) / self.scale

    def place(self, data: RunData, steps: Array) -> Array:
        """Return the places (n,) of points of which only the steps are known."""
        return self.choose(data.get_wall(steps), steps)

    def read(self, data: RunData, column: str) -> tuple[Array, Array]:
        """Return places and values (m,) of a column of the evaluations during a training; empty without such a column."""
        x, values = self.choose(data.curve["wall_s"], data.curve["steps"]), data.curve.get(column, np.empty(0))
        if not len(values):
            return np.empty(0), np.empty(0)
        known = np.isfinite(values)
        return x[known], values[known]


def make_axis(name: AxisName, runs: Iterable[RunData]) -> Axis:
    """Return an axis, in a unit that suits the longest run."""
    if name == "steps":
        return Axis(name, "environment steps", 1.0)
    longest = max(run.wall_s for run in runs)
    length, unit = next((length, unit) for least, length, unit in UNITS if longest >= least)
    return Axis(name, f"wall time [{unit}]", length)


def choose_limits(dots: Array, lines: Iterable[Array]) -> tuple[tuple[float, float] | None, int]:
    """Return the ends of an axis that shows all lines, and all dots except outliers; and the number of dots outside of it.

    A few bad episodes would otherwise squeeze all others into a thin stripe.
    """
    parts = [line for line in lines if len(line)]
    if len(dots):
        parts.append(np.percentile(dots, [OUTLIERS, 100.0 - OUTLIERS]))
    if not parts:
        return None, 0
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    margin = 0.05 * (high - low) or 0.5
    low, high = float(low - margin), float(high + margin)
    return (low, high), int(np.sum((dots < low) | (dots > high)))


def spans_decades(values: Array) -> bool:
    """Return whether values are all positive and so far apart that only a logarithmic axis shows the small ones."""
    return len(values) > 0 and bool(values.min() > 0.0 and values.max() > DECADES * values.min())
