"""The cost model of workers: T(n) = a + b / n, fitted to measured times, and extrapolated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

__all__ = ["Scaling", "fit_scaling"]


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Time as a function of the number of workers n.

    Attributes:
        fixed_s: a: what the learner does alone, and the work that every worker repeats [s].
        shared_s: b: what workers share [s].
    """

    fixed_s: float
    shared_s: float

    def predict(self, workers: int) -> float:
        """Return the time with this number of workers [s]."""
        return self.fixed_s + self.shared_s / workers

    def __str__(self) -> str:
        """Return the formula."""
        return f"{self.fixed_s:.3g} + {self.shared_s:.3g} / n s"


def fit_scaling(times: Mapping[int, float]) -> Scaling:
    """Fit the model by least squares of relative errors; neither part can be negative.

    Args:
        times: Number of workers → time [s]. With one number alone, all is taken to be shared: a lower bound for more workers.
    """
    counts, values = np.array(list(times), dtype=float), np.array(list(times.values()))
    if len(times) == 1:
        return Scaling(0.0, float(values[0] * counts[0]))
    # Divided by the times, so that the short ones of many workers count as much as the long ones of few.
    rows = np.column_stack([np.ones_like(counts), 1.0 / counts]) / values[:, None]
    fixed, shared = np.linalg.lstsq(rows, np.ones_like(values), rcond=None)[0]
    if fixed < 0.0:
        return Scaling(0.0, float(1.0 / np.mean(1.0 / (counts * values))))
    if shared < 0.0:
        return Scaling(float(np.mean(values)), 0.0)
    return Scaling(float(fixed), float(shared))
