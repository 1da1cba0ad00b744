import gymnasium as gym
import numpy as np
import pytest

from gym_gazebo2 import CONTROLS, Control, register_control
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.kinematics import Kinematics, compute_rotation, compute_rotation_vector
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


@pytest.mark.parametrize(("name", "axes"), [("tool_yaw", ["z"]), ("tool_pitch", ["y"]), ("tool_yaw_pitch", ["z", "y"])])
def test_a_tool_turns_about_the_axes_that_its_control_names(name, axes):
    panda = make_robot("panda")
    kinematics, travel = Kinematics(panda), 0.05 * panda.control_speed
    rng = np.random.default_rng(0)
    q = panda.home + rng.uniform(-0.1, 0.1, (16, 7))
    before = kinematics.compute_tcp_state(q, 0 * q)
    arm = ArmState(np.zeros(16, dtype=np.int64), q, 0 * q, q, np.zeros(16, dtype=bool))
    action = rng.uniform(-1, 1, (16, 3 + len(axes)))
    action[:, :3] *= 0.1  # short ways, which the joints can make whole
    action[:, 3:] *= 0.3
    after = kinematics.compute_tcp_state(CONTROLS[name].compute_target(action, arm, before, kinematics, travel), 0 * q)
    np.testing.assert_allclose(after.position - before.position, 0.03 * action[:, :3], atol=5e-5)
    turn = sum(
        0.1 * action[:, 3 + i, None] * (np.array([0.0, 0.0, 1.0]) if axis == "z" else before.rotation[:, :, 1])
        for i, axis in enumerate(axes)
    )
    found = compute_rotation_vector(after.rotation @ before.rotation.swapaxes(1, 2))
    np.testing.assert_allclose(found, turn, atol=5e-5)
    assert np.abs(turn).max() > 0.01


def test_a_turn_of_zero_holds_the_orientation():
    q = np.random.default_rng(1).uniform(-1, 1, (32, 6))
    action = np.random.default_rng(2).uniform(-1, 1, (32, 3))
    held = compute_target("tool", action, q)
    turned = compute_target("tool_yaw_pitch", np.concatenate([action, np.zeros((32, 2))], axis=1), q)
    np.testing.assert_allclose(turned, held, atol=1e-9)


def test_rotation_vectors_and_matrices_are_inverse():
    vectors = np.random.default_rng(0).uniform(-1.5, 1.5, (100, 3))
    vectors[0] = 0.0
    np.testing.assert_allclose(compute_rotation_vector(compute_rotation(vectors)), vectors, atol=1e-12)


def test_a_taken_name_is_refused():
    with pytest.raises(InvalidArgumentError, match="not yet in use"):
        register_control("delta", Control("Something else.", CONTROLS["position"].compute_target))


def test_an_unknown_keyword_names_the_keywords_that_exist():
    with pytest.raises(UnknownNameError, match="keyword of the environment 'contrl'.*Did you mean 'control'"):
        gym.make("MARA-v0", contrl="delta")
