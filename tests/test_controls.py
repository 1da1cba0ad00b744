import gymnasium as gym
import numpy as np
import pytest

from gym_gazebo2 import CONTROLS, Control, register_control
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import make_robot
from gym_gazebo2.state import ArmState

MARA = make_robot("mara")
KINEMATICS = Kinematics(MARA)
TRAVEL = MARA.control_speed * 0.05


def compute_target(name, action, q_setpoint):
    n = len(q_setpoint)
    arm = ArmState(np.zeros(n, dtype=np.int64), q_setpoint, np.zeros_like(q_setpoint), q_setpoint, np.zeros(n, dtype=bool))
    tcp = KINEMATICS.compute_tcp_state(arm.q, arm.dq)
    return CONTROLS[name].compute_target(action, arm, tcp, KINEMATICS, TRAVEL)


def test_delta_moves_the_setpoint_by_a_share_of_the_travel():
    setpoint = 0.1 * np.ones((1, 6))
    np.testing.assert_allclose(compute_target("delta", np.full((1, 6), -0.5), setpoint), setpoint - 0.5 * TRAVEL)


@pytest.mark.parametrize(("action", "target"), [(-1, MARA.lower), (1, MARA.upper), (0, 0.5 * (MARA.lower + MARA.upper))])
def test_position_spans_the_joint_limits(action, target):
    setpoint = 0.1 * np.ones((1, 6))
    np.testing.assert_allclose(compute_target("position", np.full((1, 6), float(action)), setpoint), target[None], atol=1e-12)


@pytest.mark.parametrize("make", [gym.make, lambda *args, **kwargs: gym.make_vec(*args, num_envs=2, **kwargs)])
def test_an_unknown_control_is_refused_with_the_names_that_exist(make):
    with pytest.raises(UnknownNameError, match="control 'telepathy'.*Available: delta, "):
        make("MARA-v0", backend="fake", control="telepathy")


def test_a_new_meaning_of_actions_is_one_row():
    """One number moves all joints: the action space follows the row, and the set-point limits hold."""

    def compute_common_target(action, arm, tcp, kinematics, travel):
        return arm.q_setpoint + 100.0 * action * travel

    register_control("test_common", Control("Moves all joints alike.", compute_common_target, lambda robot: 1))
    try:
        env = gym.make("MARA-v0", backend="fake", control="test_common")
        assert env.action_space.shape == (1,)
        env.reset(seed=0)
        observation = env.step(np.ones(1))[0]
        np.testing.assert_allclose(observation[:6], TRAVEL, rtol=0.5)
        assert np.all(env.unwrapped.core.arm.q_setpoint <= TRAVEL + 1e-12)
    finally:
        del CONTROLS["test_common"]


def test_a_taken_name_is_refused():
    with pytest.raises(InvalidArgumentError, match="not yet in use"):
        register_control("delta", Control("Something else.", CONTROLS["position"].compute_target))


def test_an_unknown_keyword_names_the_keywords_that_exist():
    with pytest.raises(UnknownNameError, match="keyword of the environment 'contrl'.*Did you mean 'control'"):
        gym.make("MARA-v0", contrl="delta")
