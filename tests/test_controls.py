import gymnasium as gym
import numpy as np
import pytest

from gym_gazebo2 import CONTROLS, Control, register_control
from gym_gazebo2.controls import TOOL_TURN_SPEED
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.kinematics import Kinematics, compute_rotation_vector
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


@pytest.mark.parametrize(("name", "axis"), [("tool_pitch", (0, 1, 0)), ("tool_yaw", (0, 0, 1))])
def test_the_fourth_component_turns_the_tool_about_its_axis(name, axis):
    """The tool of a Panda at home is on the x axis: it pitches about y and turns about z, and stays where it is."""
    kinematics = Kinematics(make_robot("panda"))
    robot = kinematics.robot
    q, travel = robot.home[None].copy(), robot.control_speed * 0.05
    before = kinematics.compute_tcp_pose(q)[0]
    for _ in range(4):
        arm = ArmState(np.zeros(1, dtype=np.int64), q, np.zeros_like(q), q, np.zeros(1, dtype=bool))
        tcp = kinematics.compute_tcp_state(arm.q, arm.dq)
        q = CONTROLS[name].compute_target(np.array([[0.0, 0.0, 0.0, 0.4]]), arm, tcp, kinematics, travel)
    after = kinematics.compute_tcp_pose(q)[0]
    turn = compute_rotation_vector((after[:3, :3] @ before[:3, :3].T)[None])[0]
    np.testing.assert_allclose(turn, 4 * 0.4 * TOOL_TURN_SPEED * 0.05 * np.array(axis), atol=1e-4)
    np.testing.assert_allclose(after[:3, 3], before[:3, 3], atol=1e-4)


@pytest.mark.parametrize("name", ["tool_pitch", "tool_yaw"])
def test_without_a_turn_the_tool_moves_as_with_its_orientation_held(name):
    rng = np.random.default_rng(0)
    q = MARA.home + rng.uniform(0.2, 0.5, (5, 6))
    action = rng.uniform(-1, 1, (5, 3))
    turned = compute_target(name, np.column_stack([action, np.zeros(5)]), q)
    np.testing.assert_allclose(turned, compute_target("tool", action, q), atol=1e-9)
    # With all of it, no joint moves farther than its travel.
    moved = compute_target(name, np.column_stack([action, np.ones(5)]), q)
    assert (np.abs(moved - q) <= TRAVEL + 1e-12).all()
    assert np.abs(moved - turned).max() > 1e-3
