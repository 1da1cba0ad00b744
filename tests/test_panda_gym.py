"""panda-gym's tasks: its numbers, stored in data/panda_gym.json by ``python -m benchmarks.panda_gym --write``; and learning."""

import json

import gymnasium as gym
import numpy as np
import pytest
import transforms3d
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.panda_cases import measure_success
from benchmarks.panda_gym import compare_case, set_goal
from gym_gazebo2 import make_robot
from gym_gazebo2.algos.config import TrainConfig
from gym_gazebo2.algos.evaluate import EvaluateConfig, evaluate
from gym_gazebo2.algos.train import train
from gym_gazebo2.algos.vec_env import make_vec_env
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.registration import ENVIRONMENTS
from gym_gazebo2.scene import FixedBox, Scene
from gym_gazebo2.state import Placement
from gym_gazebo2.tasks.panda_gym import FlipTask, PandaGymTask
from gym_gazebo2.tasks.rotations import compute_roll_pitch_yaw

from .conftest import ROOT

PEER = json.loads((ROOT / "tests" / "data" / "panda_gym.json").read_text())["cases"]
IDS = [env_id for env_id in ENVIRONMENTS if env_id.startswith("PandaGym")]
BASE = {"Reach": 1.0, "Push": 0.9, "Slide": 0.7, "PickAndPlace": 0.9, "Stack": 0.7, "Flip": 0.9}
"""Task → least success rate of its scripted policy."""


@pytest.fixture
def make():
    """Make environments that are closed after the test."""
    made = []

    def make(env_id, **kwargs):
        made.append(gym.make(env_id, **kwargs))
        return made[-1]

    yield make
    for env in made:
        env.close()


def test_there_are_24_ids():
    assert len(IDS) == 24 and {f"PandaGym{name}-v0" for name in PEER} == set(IDS)


@pytest.mark.parametrize("name", PEER)
def test_spaces_rewards_and_start_states_equal_panda_gym_s(name, make):
    assert compare_case(make(f"PandaGym{name}-v0"), PEER[name]) == []


def test_the_comparison_finds_differences(make):
    assert compare_case(make("PandaGymPushDense-v0"), PEER["Push"]) == ["rewards"]
    assert compare_case(make("PandaGymPush-v0", max_episode_steps=60), PEER["Push"]) == ["max_episode_steps"]
    other = {**PEER["Push"], "starts": PEER["Push"]["starts"][1:]}
    assert compare_case(make("PandaGymPush-v0"), other) == ["first observation", "first desired_goal"]


@pytest.mark.parametrize(("task", "least"), BASE.items())
def test_a_scripted_policy_succeeds_here_as_in_panda_gym(task, least, make):
    assert PEER[task]["success_rate"] >= 0.6
    assert measure_success(task, make(f"PandaGym{task}-v0"), 10, set_goal)["success_rate"] >= least


@pytest.mark.parametrize("env_id", IDS)
def test_rewards_of_goals_equal_those_of_steps_and_success_ends_an_episode(env_id, make):
    env = make(env_id)
    observation, _ = env.reset(seed=1)
    seen, rewards, ends = [], [], []
    for k in range(60):
        if k % 20 == 10:  # a goal where the object, or the tool, is now
            observation, _ = env.reset(options={"goal": observation["achieved_goal"]})
        observation, reward, terminated, _, info = env.step(env.action_space.sample())
        seen.append((observation["achieved_goal"], observation["desired_goal"]))
        rewards.append(reward)
        ends.append(terminated)
        assert terminated == info["is_success"]
    achieved, desired = map(np.array, zip(*seen, strict=True))
    batch = env.unwrapped.compute_reward(achieved, desired, [{}] * len(seen))
    assert np.array_equal(batch, rewards)
    if "Dense" not in env_id:
        assert np.array_equal(batch, np.where(ends, 0.0, -1.0))


def test_a_batch_restarts_where_episodes_end_at_success():
    env = make_vec_env("PandaGymReach-v0", 4)
    env.seed(0)
    observation, ends = env.reset(), []
    for _ in range(60):
        action = np.clip(10.0 * (observation["desired_goal"] - observation["achieved_goal"]), -1.0, 1.0)
        observation, rewards, dones, infos = env.step(action)
        ends += [(info, reward) for info, reward, done in zip(infos, rewards, dones, strict=True) if done]
    env.close()
    assert len(ends) > 8
    for info, reward in ends:
        last = info["terminal_observation"]
        assert reward == 0.0 and not info["TimeLimit.truncated"] and info["episode"]["l"] < 50
        assert np.linalg.norm(last["achieved_goal"] - last["desired_goal"]) < 0.05


def test_a_closed_gripper_stays_closed_and_a_free_one_follows_its_action(make):
    env = make("PandaGymPickAndPlace-v0")
    observation, _ = env.reset(seed=0)
    assert observation["observation"][6] == 0.0
    for _ in range(10):
        observation, *_ = env.step(np.array([0.0, 0.0, 0.0, 1.0]))
    assert observation["observation"][6] == pytest.approx(0.08, abs=2e-3)
    held, *_ = env.step(np.zeros(4))
    assert held["observation"][6] == pytest.approx(0.08, abs=2e-3)
    robot = make("PandaGymPush-v0").unwrapped.core.robot
    assert robot.dof == 7 and any("panda_finger_joint1 at 0 m" in sentence for sentence in robot.assumptions)


def test_the_tool_moves_by_its_action_and_not_below_the_table(make):
    env = make("PandaGymReach-v0")
    env.reset(seed=0)
    points = [env.step(np.array([0.0, 0.2, 0.0]))[0]["achieved_goal"] for _ in range(12)]
    np.testing.assert_allclose(points[-1] - points[-2], [0.0, 0.01, 0.0], atol=5e-4)  # the arm has picked up its speed
    for _ in range(30):
        lowest = env.step(np.array([0.0, 0.0, -1.0]))[0]["achieved_goal"][2]
    assert -0.001 <= lowest < 0.012  # the fingertips are 9.5 mm below the tool point


def test_a_cube_beside_the_table_falls_and_stays_in_the_observation_space(make):
    env = make("PandaGymPush-v0")
    env.reset(seed=0)
    core = env.unwrapped.core
    beside = Placement(np.zeros((1, 1), dtype=np.int64), np.array([[[1.0, 0.0, 0.05, 1.0, 0.0, 0.0, 0.0]]]))
    core.backend.reset(np.ones(1, dtype=bool), core.arm.q, beside)
    for _ in range(30):
        observation, *_, info = env.step(np.zeros(3))
        assert env.observation_space.contains(observation) and not info["is_success"]
    assert observation["observation"][8] == pytest.approx(0.02 - 0.4, abs=2e-3)  # on the floor, 0.4 m below the table's surface


def test_flip_draws_all_rotations_alike():
    rng, task = np.random.default_rng(0), gym.make("PandaGymFlip-v0", backend="fake").unwrapped.core.task
    goals = np.array([task.sample_goal(rng) for _ in range(4000)])
    assert (goals[:, 3] >= 0).all() and np.allclose(np.linalg.norm(goals, axis=1), 1.0)
    # The angle of a uniform rotation is π/2 + 2/π on average (Miles 1965).
    assert 2.0 * np.arccos(goals[:, 3]).mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.03)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_roll_pitch_yaw_equal_transforms3d(seed):
    quat = np.random.default_rng(seed).normal(size=(3, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    expected = [transforms3d.euler.quat2euler(row, "sxyz") for row in quat]
    np.testing.assert_allclose(compute_roll_pitch_yaw(quat), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("env_id", "goal", "message"),
    [
        ("PandaGymPush-v0", [0.1, 0.1], r"finite numbers of shape \(3,\)"),
        ("PandaGymStack-v0", [0.1, 0.1, 0.02], r"finite numbers of shape \(6,\)"),
        ("PandaGymReach-v0", [0.1, np.nan, 0.02], r"finite numbers of shape \(3,\)"),
        ("PandaGymFlip-v0", [0.0, 0.0, 0.0, 0.0], "quaternion xyzw"),
    ],
)
def test_invalid_goals_are_refused(env_id, goal, message, make):
    env = make(env_id, backend="fake")
    with pytest.raises(InvalidArgumentError, match=message):
        env.reset(options={"goal": goal})


def test_invalid_tasks_and_grippers_are_refused():
    table = Scene((), 0, boxes=(FixedBox("table", (0.0, 0.0, -0.1), (1.0, 1.0, 0.1)),))
    with pytest.raises(InvalidArgumentError, match="0 heights, one per object"):
        PandaGymTask(scene=table, start_heights=(0.02,))
    with pytest.raises(UnknownNameError, match="sparse, dense|dense, sparse"):
        FlipTask(reward="shaped")
    options = {"robot_options": {"gripper": {"home": 1.0}}, "backend": "fake"}
    with pytest.raises(InvalidArgumentError, match=r"gripper\.home"):
        gym.make("PandaGymPickAndPlace-v0", **options)
    with pytest.raises(UnknownNameError, match="force"):
        gym.make("PandaGymPickAndPlace-v0", robot_options={"gripper": {"forec": 1.0}}, backend="fake")


def test_a_gripper_s_row_keeps_the_fields_that_are_not_given():
    given = gym.make("PandaGymPickAndPlace-v0", backend="fake").unwrapped.core.robot
    own = make_robot("panda", gripper=True)
    assert np.array_equal(given.control_speed, own.control_speed) and np.array_equal(given.effort_limit, own.effort_limit)
    assert given.home[7:].tolist() == [0.0, 0.0] and own.home[7:].tolist() == [0.04, 0.04]


def test_hindsight_learns_to_reach(tmp_path):
    run = train(TrainConfig(env="PandaGymReach-v0", algo="sac", steps=4_000, out=str(tmp_path / "run"), progress=False))
    result = evaluate(run.path, EvaluateConfig(runs=100))
    assert result.success_rate >= 0.9
