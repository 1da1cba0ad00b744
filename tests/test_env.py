import gc

import gymnasium as gym
import numpy as np
import psutil
import pytest

from gym_gazebo2.env import ArmEnv
from gym_gazebo2.errors import RenderError, UnknownNameError, UsageError
from gym_gazebo2.robots import make_robot
from gym_gazebo2.tasks import ReachTask

ZERO = np.zeros(6)


@pytest.fixture
def env():
    env = ArmEnv("mara", "mara_reach")
    yield env
    env.close()


def test_time_advances_by_exactly_one_control_period(env):
    _, info = env.reset(seed=0)
    assert info["time"] == 0.0
    for k in range(1, 101):
        _, _, _, truncated, info = env.step(ZERO)
        assert info["time"] == pytest.approx(0.05 * k, abs=1e-12) and not truncated


@pytest.mark.parametrize("control_dt", [0.02, 0.1])
def test_control_period_can_be_chosen(control_dt):
    env = gym.make("MARA-v0", control_dt=control_dt)
    env.reset(seed=0)
    assert env.step(ZERO)[4]["time"] == pytest.approx(control_dt)
    assert env.metadata["render_fps"] == round(1 / control_dt)


def test_delta_action_moves_the_setpoint_by_one_period_of_full_speed(env):
    env.reset(seed=0)
    env.step(np.ones(6))
    np.testing.assert_allclose(env.core.arm.q_setpoint[0], 1.57 * 0.05, atol=1e-12)


def test_position_action_moves_towards_the_joint_position_it_means():
    env = ArmEnv("mara", "mara_reach", control="position")
    env.reset(seed=0)
    goal = np.array([0.1, -0.2, 0.15, 0.0, 0.1, -0.1])
    for _ in range(60):
        env.step(goal)
    robot = env.core.robot
    np.testing.assert_allclose(env.core.arm.q[0], 0.5 * (goal + 1) * (robot.upper - robot.lower) + robot.lower, atol=1e-3)


def test_actions_outside_are_clipped(env):
    env.reset(seed=0)
    env.step(np.full(6, 5.0))
    np.testing.assert_allclose(env.core.arm.q_setpoint[0], 1.57 * 0.05, atol=1e-12)
    env.step(np.full(6, -1e300))
    np.testing.assert_allclose(env.core.arm.q_setpoint[0], 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(5), r"shape of action is \(5,\), expected \(6,\)"),
        (np.zeros((1, 6)), r"shape of action is \(1, 6\)"),
        (0.0, "shape of action"),
        ([0, 0, np.nan, 0, 0, 0], "finite numbers"),
        ([0, 0, np.inf, 0, 0, 0], "finite numbers"),
        ([0, 0, 0, 0, 0, -np.inf], "finite numbers"),
    ],
)
def test_bad_actions(env, action, message):
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_step_before_reset_and_after_close(env):
    with pytest.raises(UsageError, match="Call reset"):
        env.step(ZERO)
    env.reset(seed=0)
    env.close()
    env.close()
    with pytest.raises(UsageError, match="closed"):
        env.step(ZERO)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"robot": "mra"}, "Did you mean 'mara'"),
        ({"task": "mara_rech"}, "Did you mean 'mara_reach'"),
        ({"backend": "bullet"}, "Available: .*mujoco"),
        ({"control": "thrust"}, "Available: delta, measured_joints, measured_tool, position, tool, .*torque"),
        ({"render_mode": "ansi"}, "Available: human, rgb_array"),
        ({"control_dt": 0.0123}, "whole number of physics steps"),
        ({"control_dt": 0.001}, r"control_dt is 0\.001, .* physics steps of 0\.005 s, such as 0\.005, or .*'physics_dt'"),
        ({"control_dt": None}, "control_dt is None"),
        ({"backend": None}, "backend is None, expected a factory, or one of the names fake, gazebo, gz_sim, mujoco, ros2"),
        (
            {"backend_options": {"phyics_dt": 0.001}},
            "only these keywords: physics_dt, num_threads",
        ),
        (
            {"backend_options": {"num_envs": 2}},
            "backend_options holds num_envs, which .* itself",
        ),
        ({"backend_options": "fast"}, "backend_options is 'fast', expected a dictionary"),
        ({"backend_options": {"physics_dt": 0.0}}, "physics_dt is 0.0, expected a positive physics step"),
        ({"start_noise": -0.1}, "start_noise"),
        ({"start_noise": True}, "start_noise"),
        ({"start_noise": float("nan")}, "start_noise"),
        ({"goal": (0.1, 0.2)}, "goal"),
        ({"goal": "here"}, "goal is 'here', expected an array of numbers"),
        ({"goal": (0.1, 0.2, float("nan"))}, "goal"),
    ],
)
def test_bad_arguments_name_the_valid_values(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ArmEnv(**{"robot": "mara", "task": "mara_reach", **kwargs})


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numbers_of_numpy_are_numbers(kind):
    env = ArmEnv("mara", "mara_reach", control_dt=kind(0.1), start_noise=kind(0.2))
    env.reset(seed=0)
    assert env.step(ZERO)[4]["time"] == 0.1 and env.core.control_dt == 0.1 and env.core.start_noise == 0.2


def test_goal_out_of_reach_warns_with_the_distance():
    with pytest.warns(UserWarning, match=r"\d+ mm out of reach of 'mara'"):
        ArmEnv("mara", "mara_reach", goal=(1.0, 0.0, 0.5))
    with pytest.warns(UserWarning, match="in that orientation"):
        ArmEnv("mara", "mara_reach_orient", goal=(-0.40028, 0.095615, 0.72466))


FAR = (3.0, 0.0, 0.5)


@pytest.mark.parametrize("env_id", ["MARA-v0", "MARAReachGoal-v0"])
def test_a_far_goal_stays_inside_the_space(env_id):
    with pytest.warns(UserWarning, match="out of reach"):
        own = gym.make(env_id, goal=FAR, backend="fake")
    assert own.reset(seed=0)[0] in own.observation_space
    if env_id == "MARAReachGoal-v0":
        np.testing.assert_allclose(own.reset()[0]["desired_goal"], FAR)
    chosen = gym.make(env_id, backend="fake")
    with pytest.warns(UserWarning, match=r"2\d\d\d mm out of reach of 'mara'"):
        observation, info = chosen.reset(seed=0, options={"goal": FAR})
    assert observation in chosen.observation_space and info["position_error"] > 2.0
    assert chosen.reset()[1]["position_error"] < 1.5


def test_only_goals_out_of_reach_of_arms_to_be_reset_warn(recwarn):
    env = gym.make_vec("MARA-v0", num_envs=3, backend="fake").unwrapped
    env.reset(options={"goal": [[-0.4, 0.1, 0.2], [-0.4, 0.0, 0.3], [-0.35, 0.1, 0.4]]})
    env.reset(options={"goal": [FAR, *2 * [[-0.4, 0.0, 0.3]]], "reset_mask": np.array([False, True, True])})
    assert not [each for each in recwarn if "reach" in str(each.message)]
    with pytest.warns(UserWarning, match="out of reach"):
        env.reset(options={"goal": [FAR, *2 * [[-0.4, 0.0, 0.3]]]})


def test_goal_can_be_chosen_for_the_environment_or_an_episode(env):
    goal = [-0.3, 0.2, 0.4]
    chosen = ArmEnv("mara", "mara_reach_random", goal=goal)
    chosen.reset(seed=0)
    np.testing.assert_array_equal(chosen.core.goal[0, :3], goal)
    env.reset(options={"goal": goal})
    np.testing.assert_array_equal(env.core.goal[0, :3], goal)
    env.reset()
    np.testing.assert_array_equal(env.core.goal[0, :3], (-0.40028, 0.095615, 0.25))


def test_start_pose_can_be_chosen_for_an_episode(env):
    q = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    observation, _ = env.reset(options={"q": q})
    np.testing.assert_allclose(observation[:6], q, atol=1e-6)
    with pytest.raises(ValueError, match="expected finite positions"):
        env.reset(options={"q": [9.0] * 6})
    with pytest.raises(ValueError, match=r"options\['q'\]"):
        env.reset(options={"q": [0.0]})
    with pytest.raises(UnknownNameError, match="Available: goal, q"):
        env.reset(options={"pose": q})


def test_a_reset_that_is_refused_changes_nothing(env):
    env.reset(seed=0)
    before, generator = env.core.goal.copy(), env.np_random.bit_generator.state
    with pytest.raises(ValueError, match="expected finite positions"):
        env.reset(seed=7, options={"goal": (-0.4, 0.2, 0.3), "q": [9.0] * 6})
    np.testing.assert_array_equal(env.core.goal, before)
    assert env.np_random.bit_generator.state == generator


def test_start_noise_is_uniform_and_bounded():
    env = ArmEnv("mara", "mara_reach", start_noise=0.1)
    env.reset(seed=0)
    starts = np.array([env.reset()[0][:6] for _ in range(300)])
    assert np.abs(starts).max() <= 0.1 + 1e-6 and np.all(starts.std(axis=0) > 0.05)


def test_info_reports_success_and_errors():
    env = ArmEnv("mara", "mara_reach_orient")
    _, info = env.reset(options={"q": [1.33376, -0.53310, 1.06319, 0.0, 1.54517, -0.23704]})
    assert info["position_error"] < 0.005 and info["orientation_error"] < np.deg2rad(1) and info["is_success"] is True
    _, info = env.reset()
    assert info["position_error"] > 0.3 and info["is_success"] is False


def test_collision_penalty_lasts_as_long_as_the_contact():
    floor = {"q": [0.0, 2.3, 0.0, 0.0, 0.0, 0.0]}
    free, paying = (ArmEnv("mara", ReachTask((-0.4, 0.1, 0.7), collision_penalty=pays)) for pays in (False, True))
    rewards = []
    for env in (free, paying):
        env.reset(options=floor)
        _, reward, _, _, info = env.step(ZERO)
        assert info["in_collision"] is True
        rewards.append(reward)
    assert rewards[0] - rewards[1] > 2.5
    paying.reset()
    assert paying.step(ZERO)[4]["in_collision"] is False


def test_tool_velocity_in_the_observation_is_the_true_one(env):
    env.reset(seed=0)
    positions, velocities = [], []
    for _ in range(60):
        observation, *_ = env.step(np.array([0.5, 0.3, -0.2, 0.1, 0.4, 0.0]) * 0.5)
        velocities.append(observation[9:12])
        positions.append(observation[12:15])
    measured = (np.array(positions)[20:] - np.array(positions)[18:-2]) / 0.1
    np.testing.assert_allclose(measured, np.array(velocities)[19:-1], atol=0.01)


def test_reward_of_the_goal_environment_can_be_recomputed():
    env = gym.make("MARAReachGoal-v0")
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        observation, reward, *_ = env.step(env.action_space.sample())
        again = env.unwrapped.compute_reward(observation["achieved_goal"], observation["desired_goal"], {})
        assert again == reward == -1.0
    goals = np.tile(observation["desired_goal"], (4, 1))
    np.testing.assert_array_equal(env.unwrapped.compute_reward(goals, goals, {}), np.zeros(4))
    assert not hasattr(ArmEnv("mara", "mara_reach"), "compute_reward")


def test_rendering_needs_a_mode_and_returns_a_picture(env):
    with pytest.warns(UserWarning, match="render_mode="):
        assert env.render() is None
    env = gym.make("SCARA-v0", render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (480, 640, 3)


def test_rendering_without_physics_names_a_backend_that_can():
    env = gym.make("MARA-v0", backend="fake", render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(NotImplementedError, match="'mujoco' backend can"):
        env.render()


def test_human_mode_without_a_display_is_an_error_with_a_remedy(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    env = ArmEnv("mara", "mara_reach", render_mode="human")
    with pytest.warns(Warning), pytest.raises(RenderError, match="rgb_array"):
        env.reset(seed=0)
    assert env.metadata["render_modes"] == ["rgb_array"]


def test_ten_thousand_resets_and_a_hundred_thousand_steps_leak_nothing():
    single, batch = gym.make("MARA-v0"), gym.make_vec("MARA-v0", num_envs=64)
    single.reset(seed=0)
    batch.reset(seed=0)
    actions = batch.action_space.sample()

    def exercise(share):
        for _ in range(int(10_000 * share)):
            single.reset()
        for _ in range(int(1_600 * share)):
            batch.step(actions)
        gc.collect()
        return psutil.Process().memory_info().rss

    before = exercise(0.2)
    assert exercise(1.0) - before < 2e6
    single.close()
    batch.close()


def test_composition_takes_objects_as_well_as_names():
    env = ArmEnv(make_robot("scara"), ReachTask((0.3, 0.0, 0.3746)), backend=lambda robot, **kw: _make_fake(robot, **kw))
    observation, _ = env.reset(seed=0)
    assert observation.shape == (9,)


def _make_fake(robot, **kwargs):
    from gym_gazebo2.backends.fake import FakeBackend

    return FakeBackend(robot, **kwargs)
