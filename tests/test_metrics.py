import numpy as np
import pytest

from gym_gazebo2.algos.evaluation.metrics import compute_accuracy, compute_rms


def test_hand_computed_accuracy():
    error = 1e-3 * np.array([[3.0, 0, 0], [5.0, 0, 0]])
    accuracy = compute_accuracy(error)
    assert accuracy.accuracy_rms_mm == pytest.approx(np.sqrt((9 + 25) / 2))
    assert accuracy.repeatability_rms_mm == pytest.approx(1.0)
    assert accuracy.iso9283_ap_mm == pytest.approx(4.0)
    assert accuracy.iso9283_rp_mm == pytest.approx(1.0)


def test_iso_repeatability_uses_n_minus_one():
    error = 1e-3 * np.array([[0.0, 0, 0], [0, 0, 0], [6.0, 0, 0]])
    spread = np.array([2.0, 2.0, 4.0])
    assert compute_accuracy(error).iso9283_rp_mm == pytest.approx(spread.mean() + 3 * spread.std(ddof=1))


def test_accuracy_splits_into_bias_and_spread():
    error = np.random.default_rng(0).normal(0.002, 0.001, (500, 3))
    a = compute_accuracy(error)
    assert a.accuracy_rms_mm**2 == pytest.approx(a.iso9283_ap_mm**2 + a.repeatability_rms_mm**2)
    assert compute_rms(error) * 1e3 == pytest.approx(a.accuracy_rms_mm)
