"""The measures of a task: label, unit and threshold of each quantity, used by every table, plot and stopping rule."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Measure"]


@dataclasses.dataclass(frozen=True)
class Measure:
    """Name, display and threshold of one measured quantity.

    Values are in SI units everywhere in the code, in ``info`` and in files; ``unit`` and ``scale`` are for tables and plots.

    Attributes:
        label: Name in tables and plots, such as "tool error".
        unit: Unit in tables and plots, such as "mm"; empty for counts and shares.
        scale: Displayed value per value in SI units, such as 1000 from metres to millimetres.
        better: Whether a smaller or a larger value is better.
        threshold: Value [SI] that counts as success, drawn as a line in plots; None: no threshold.
        target: Value [SI] for the training's "time to target"; None: the threshold.
        summary: Summary of many episodes: "mean", or "rms" for the root mean square.
    """

    label: str
    unit: str = ""
    scale: float = 1.0
    better: Literal["less", "more"] = "less"
    threshold: float | None = None
    target: float | None = None
    summary: Literal["mean", "rms"] = "mean"

    def summarize(self, values: ArrayLike) -> float:
        """Return the mean or root mean square of the values of many episodes [SI]."""
        array = np.asarray(values, dtype=float)
        return float(np.sqrt(np.mean(np.square(array))) if self.summary == "rms" else np.mean(array))

    def is_better(self, value: float, other: float) -> bool:
        """Return whether a value is strictly better than another."""
        return value < other if self.better == "less" else value > other

    def is_met(self, values: ArrayLike, limit: float) -> np.ndarray:
        """Return where values are at least as good as a limit."""
        array = np.asarray(values, dtype=float)
        return array <= limit if self.better == "less" else array >= limit

    @property
    def title(self) -> str:
        """Label and unit, as a heading or an axis shows them."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label
