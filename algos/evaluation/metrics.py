"""Results of many episodes: accuracy, repeatability, success rate and measures. Pure functions."""

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
    """Position accuracy over n runs, in millimetres, with eᵢ = tool − goal at the end of run i and ē their mean.

    Attributes:
        accuracy_rms_mm: √mean‖eᵢ‖².
        repeatability_rms_mm: √mean‖eᵢ − ē‖².
        iso9283_ap_mm: Pose accuracy of ISO 9283:1998, AP = ‖ē‖.
        iso9283_rp_mm: Pose repeatability of ISO 9283:1998, RP = l̄ + 3S, where lᵢ = ‖eᵢ − ē‖, l̄ is their mean and S their
            standard deviation over n − 1.
    """

    accuracy_rms_mm: float
    repeatability_rms_mm: float
    iso9283_ap_mm: float
    iso9283_rp_mm: float


def compute_rms(error: Array) -> float:
    """Return √mean‖eᵢ‖² of errors (n, 3), in their unit."""
    return float(np.sqrt(np.mean(np.sum(np.square(error), axis=1))))


def compute_accuracy(error: Array) -> Accuracy:
    """Return accuracy and repeatability.

    Args:
        error: (n, 3) tool minus goal at the last state of each run [m], n at least 2.
    """
    # By Pythagoras accuracy² = AP² + repeatability²: bias and spread add up, which a test checks.
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
    """Return the 95 % confidence interval of a success rate: the score interval.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927. Unlike the textbook interval
    p ± 1.96·√(p(1 − p)/n), it stays between 0 and 1, and its width is not zero when all runs succeed.

    Args:
        successes: Number of successful runs.
        runs: Number of runs, at least 1.
    """
    share, z2 = successes / runs, Z_95**2
    middle = (share + z2 / (2 * runs)) / (1 + z2 / runs)
    half = Z_95 / (1 + z2 / runs) * math.sqrt(share * (1 - share) / runs + z2 / (4 * runs**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def compute_results(episodes: Episodes, measures: Mapping[str, Measure]) -> dict[str, float]:
    """Return the results of an evaluation for stopping rules and logs, by name.

    These are the task's measures [SI units], and success_rate if the environment reports success.

    Args:
        episodes: The episodes.
        measures: The task's measures.
    """
    # NaN in is_success means that the environment does not report success; a rate of 0 would be a false statement.
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
    # NaN marks episodes without success. Their median time would need a guess, so only the successful ones count.
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
"""Names of the fields of ``Accuracy``, which an ``Evaluation`` repeats."""
