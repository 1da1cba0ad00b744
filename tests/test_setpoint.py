import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_gazebo2.robots import make_robot
from gym_gazebo2.setpoint import compute_setpoint

MARA = make_robot("mara")
DT = 0.05
TRAVEL = MARA.control_speed * DT


def in_limits(seed, n=8):
    return np.random.default_rng(seed).uniform(MARA.lower, MARA.upper, (n, MARA.dof))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0, 100))
def test_whatever_is_asked_the_setpoint_is_inside_the_limits_and_no_faster_than_v_max(seed, scale):
    s, q = in_limits(seed), in_limits(seed + 1)
    after = compute_setpoint(s, s + scale * in_limits(seed + 2), q, MARA, TRAVEL)
    assert np.all(np.abs(after - s) <= TRAVEL + 1e-12)
    assert np.all((after >= MARA.lower) & (after <= MARA.upper))


def test_a_target_within_one_period_is_reached():
    s = np.zeros((1, 6))
    np.testing.assert_allclose(compute_setpoint(s, 0.5 * TRAVEL[None], s, MARA, TRAVEL), 0.5 * TRAVEL[None])


def test_an_arm_that_is_held_does_not_wind_up():
    s = q = np.zeros((1, 6))
    for _ in range(20):
        s = compute_setpoint(s, s + TRAVEL, q, MARA, TRAVEL)
    np.testing.assert_allclose(s, 3 * TRAVEL[None])
