"""Plots of the final tool positions around the goal, in three views."""

from __future__ import annotations

from typing import Any

import numpy as np

from gym_gazebo2.algos.report.figure import Circle, Plot, Series

__all__ = ["plot_views"]

VIEWS = (("from above", 0, 1), ("from the side", 0, 2), ("from the front", 1, 2))
"""Name of each view, and the indices of the two coordinates that it shows."""
MARGIN = 1.18
"""Half-width of the frame, in multiples of the largest error."""
SMALLEST_FRAME_MM = 1e-6
"""Smallest half-width of the frame before the margin [mm], for runs that all end exactly at the goal."""
LARGEST_CIRCLE = 1.3
"""A success circle with a larger radius, in multiples of the frame's half-width, is not drawn: it lies outside."""


def plot_views(evaluation: dict[str, Any], threshold_mm: float | None) -> list[Plot]:
    """Return the final positions of an evaluation's runs around the goal, in the planes xy, xz and yz.

    Args:
        evaluation: Content of ``evaluation.json``. Without ``errors_mm``, as of tasks that do not place the tool, the result is
            empty.
        threshold_mm: Distance that counts as success [mm]; None: no circle is drawn.
    """
    errors = np.array(evaluation.get("errors_mm", []), dtype=float)
    if not len(errors):
        return []
    reach = MARGIN * max(float(np.abs(errors).max()), SMALLEST_FRAME_MM)
    spread = float(evaluation["repeatability_rms_mm"])
    names = tuple(
        f"run {i + 1}: {np.linalg.norm(error):.3f} mm from the goal, x {error[0]:+.3f}, y {error[1]:+.3f}, z {error[2]:+.3f}"
        for i, error in enumerate(errors)
    )
    return [_plot_view(*view, errors, names, reach, spread, threshold_mm) for view in VIEWS]


def _plot_view(
    view: str, i: int, j: int, errors: Any, names: tuple[str, ...], reach: float, spread: float, threshold_mm: float | None
) -> Plot:
    x, y = errors[:, i], errors[:, j]
    mean = (float(x.mean()), float(y.mean()))
    circles = [Circle("repeatability, RMS", mean, spread, 1)]
    if threshold_mm is not None and LARGEST_CIRCLE * reach >= threshold_mm:
        circles.append(Circle(f"success, {threshold_mm:g} mm", (0.0, 0.0), threshold_mm))
    return Plot(
        title=f"{'xyz'[i]}{'xyz'[j]}, {view} [mm]",
        x_label=f"{'xyz'[i]} − goal [mm]",
        series=(
            Series("run", x, y, "points", 0, names=names),
            Series("goal", np.zeros(1), np.zeros(1), "cross", None),
            Series("mean", np.array([mean[0]]), np.array([mean[1]]), "cross", 1, names=("mean of the runs",)),
        ),
        circles=tuple(circles),
        reach=reach,
        size=(380, 366),
    )
