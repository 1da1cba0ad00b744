"""Whether convex shapes touch: cases with a known answer. tests/test_arms.py compares whole arms with MuJoCo."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_gazebo2.robots.convex import find_touching

CUBE = np.array(list(itertools.product([-0.5, 0.5], repeat=3)))


def rotate(rng: np.random.Generator) -> np.ndarray:
    Q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return Q * np.sign(np.linalg.det(Q))


def touches(a: np.ndarray, b: np.ndarray, T: np.ndarray, distance: float = 0.0) -> bool:
    return bool(find_touching(a[None], b[None], T[None], np.array([distance]))[0])


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gap=st.floats(-0.9, 1.0).filter(lambda gap: abs(gap) > 1e-5))
def test_cubes_in_any_pose_touch_when_their_gap_is_negative(seed, gap):
    """Two cubes face each other at a gap, shifted sideways by less than their size. The frame of the first is arbitrary."""
    rng = np.random.default_rng(seed)
    shift = np.array([1.0 + gap, *rng.uniform(-0.9, 0.9, 2)])
    R, T = rotate(rng), np.eye(4)
    T[:3, :3], T[:3, 3] = R, R @ shift
    a = CUBE @ R.T
    assert touches(a, CUBE, T) == (gap < 0)
    assert touches(a, CUBE, T, gap + 1e-4) or gap < 0
    assert not touches(a, CUBE, T, gap - 1e-4) or gap < 1e-4


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), distance=st.floats(0.01, 2.0))
def test_points_with_a_radius_are_spheres(seed, distance):
    T, point = np.eye(4), np.zeros((1, 3))
    T[:3, 3] = distance * rotate(np.random.default_rng(seed))[0]
    assert touches(point, point, T, distance + 1e-5) and not touches(point, point, T, distance - 1e-5)


@pytest.mark.parametrize("points", [CUBE * 0.1, np.zeros((1, 3)), np.array([[0, 0, 0], [0.1, 0, 0]]), CUBE * [0.1, 0.1, 0]])
def test_a_shape_inside_another_touches_it(points):
    assert touches(points, CUBE, np.eye(4)) and touches(CUBE, points, np.eye(4))


def test_pairs_of_a_batch_do_not_influence_each_other():
    rng = np.random.default_rng(0)
    T = np.tile(np.eye(4), (300, 1, 1))
    T[:, :3, :3] = [rotate(rng) for _ in T]
    T[:, :3, 3] = rng.uniform(-1.5, 1.5, (300, 3))
    many = find_touching(np.tile(CUBE, (300, 1, 1)), np.tile(CUBE, (300, 1, 1)), T, np.zeros(300))
    assert 0 < many.sum() < 300
    np.testing.assert_array_equal(many, [touches(CUBE, CUBE, row) for row in T])
