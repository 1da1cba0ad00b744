"""The figures of many episodes: accuracy, repeatability, success and measures. Pure functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.evaluation.rollout import Episodes
from gym_gazebo2.tasks import Measure

__all__ = ["Accuracy", "compute_accuracy", "compute_interval", "compute_results", "compute_rms", "summarize"]

Array = NDArray[np.float64]

Z_95 = 1.959963984540054
"""Quantile of the normal distribution for a two-sided interval of 95 %."""


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Position accuracy over n runs, in millimetres.

    Attributes:
        accuracy_rms_mm: √mean‖eᵢ‖².
        repeatability_rms_mm: √mean‖eᵢ − ē‖².
        iso9283_ap_mm: AP = ‖ē‖, as ISO 9283 defines pose accuracy.
        iso9283_rp_mm: RP = l̄ + 3S with lᵢ = ‖eᵢ − ē‖ and S over n − 1, as ISO 9283 defines pose repeatability.
    """

    accuracy_rms_mm: float
    repeatability_rms_mm: float
    iso9283_ap_mm: float
    iso9283_rp_mm: float


def compute_rms(error: Array) -> float:
    """Return √mean‖eᵢ‖² of (n, 3) errors, in their unit."""
    return float(np.sqrt(np.mean(np.sum(np.square(error), axis=1))))


def compute_accuracy(error: Array) -> Accuracy:
    """Return accuracy and repeatability.

    Args:
        error: (n, 3) tool minus goal at the last state of each run [m], n at least 2.
    """
    error = 1e3 * np.asarray(error, dtype=float)
    mean = error.mean(axis=0)
    spread = np.linalg.norm(error - mean, axis=1)
    return Accuracy(
        accuracy_rms_mm=compute_rms(error),
        repeatability_rms_mm=float(np.sqrt(np.mean(np.square(spread)))),
        iso9283_ap_mm=float(np.linalg.norm(mean)),
        iso9283_rp_mm=float(spread.mean() + 3.0 * spread.std(ddof=1)),
    )


def compute_interval(successes: int, runs: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a success rate: the score interval of Wilson (1927).

    Unlike the interval mean ± 1.96·√(p(1 − p)/n), it stays within 0 and 1, and has a width where all runs succeed.
    """
    share, z2 = successes / runs, Z_95**2
    middle = (share + z2 / (2 * runs)) / (1 + z2 / runs)
    half = Z_95 / (1 + z2 / runs) * math.sqrt(share * (1 - share) / runs + z2 / (4 * runs**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def compute_results(episodes: Episodes, measures: Mapping[str, Measure]) -> dict[str, float]:
    """Return what stopping rules and logs know of an evaluation: the task's measures [SI units], and success_rate if known."""
    results = {name: measure.summarize(episodes.measures[name]) for name, measure in measures.items()}
    if not np.isnan(episodes.is_success).any():
        results["success_rate"] = float(episodes.is_success.mean())
    return results


def summarize(episodes: Episodes, measures: Mapping[str, Measure]) -> dict[str, Any]:
    """Return the fields of an ``Evaluation`` that come from its episodes.

    Args:
        episodes: The episodes.
        measures: The task's measures.
    """
    runs, arrived = len(episodes.reward), episodes.steps_to_goal[~np.isnan(episodes.steps_to_goal)]
    results = compute_results(episodes, measures)
    rate = results.pop("success_rate", None)
    accuracy = dict.fromkeys(ACCURACY) if episodes.offset is None else dataclasses.asdict(compute_accuracy(episodes.offset))
    angle = episodes.measures.get("orientation_error")
    return {
        "success_rate": rate,
        "success_interval": None if rate is None else list(compute_interval(round(rate * runs), runs)),
        **accuracy,
        "orientation_error_rms_deg": None if angle is None else float(np.rad2deg(np.sqrt(np.mean(np.square(angle))))),
        "collision_rate": None if episodes.has_collided is None else float(episodes.has_collided.mean()),
        "mean_reward": float(episodes.reward.mean()),
        "mean_length": float(episodes.length.mean()),
        "median_steps_to_goal": float(np.median(arrived)) if len(arrived) else None,
        "errors_mm": [] if episodes.offset is None else (1e3 * episodes.offset).tolist(),
        "measures": results,
    }


ACCURACY = tuple(field.name for field in dataclasses.fields(Accuracy))
