"""What a task measures: a label, a unit and a threshold for each quantity, used by every table, plot and stopping rule."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Measure"]


@dataclasses.dataclass(frozen=True)
class Measure:
    """How one measured quantity is named, shown and judged.

    Values are in SI units everywhere in the code and in ``info``; ``unit`` and ``scale`` are for people.

    Attributes:
        label: Name in tables and plots, such as "tool error".
        unit: Unit that people read, such as "mm"; empty for counts and shares.
        scale: Shown value = ``scale`` · value, such as 1000 from metres to millimetres.
        better: Whether a smaller or a larger value is better.
        threshold: Value [SI] that counts as success, drawn as a line in plots; None: there is none.
        target: Value [SI] to which the training's time is reported; None: the threshold.
        summary: How the values of many episodes become one: their mean, or their root mean square.
    """

    label: str
    unit: str = ""
    scale: float = 1.0
    better: Literal["less", "more"] = "less"
    threshold: float | None = None
    target: float | None = None
    summary: Literal["mean", "rms"] = "mean"

    def summarize(self, values: ArrayLike) -> float:
        """Return one value [SI] for the values of many episodes."""
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
