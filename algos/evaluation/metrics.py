"""How good an arm is at its goal: pure functions of the tool errors of many runs."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

__all__ = ["Accuracy", "compute_accuracy", "compute_rms"]

Array = NDArray[np.float64]


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
