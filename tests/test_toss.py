"""PandaToss-v0: the bins are out of reach, and a throw that swings the hand reaches them."""

import gymnasium as gym
import numpy as np
import pytest

import gym_gazebo2  # noqa: F401
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import make_robot
from gym_gazebo2.tasks.sort import LEFT


def throw(env, pitch=0.9):
    """Grasp the object, draw back, swing out and up, and let go; returns what the episodes measured at their end."""
    core, n = env.core, env.num_envs
    phase, count, results = np.zeros(n, int), np.zeros(n, int), [None] * n
    for _ in range(60):
        view = core.task.make_view(core.state, core.state.memory["status"] == LEFT)
        place, goal = view.position[:, 0], core.task.bins[view.shape[:, 0]]
        side = 0.47 * goal[:, 1] / goal[:, 0]
        goals = [place + [0.0, 0.0, 0.06], place, place, np.column_stack([np.full(n, 0.47), side, np.full(n, 0.22)]), place]
        way = np.stack(goals)[phase, np.arange(n)] - view.tcp
        action = np.zeros((n, 5))
        action[:, :3] = np.clip(way / 0.04, -1.0, 1.0)
        action[:, 4] = np.where(phase >= 2, -1.0, 1.0)
        swings = phase == 4
        out = np.column_stack([np.full(n, 0.95), goal[:, 1], np.zeros(n)])
        swing = 0.95 * out / np.linalg.norm(out, axis=1, keepdims=True) + [0.0, 0.0, 0.6]
        action[swings, :3] = swing[swings]
        action[swings, 3] = pitch
        action[swings & (count >= 7), 4] = 1.0
        *_, terminated, truncated, info = env.step(action)
        for i in np.flatnonzero(terminated | truncated):
            results[i] = results[i] or {name: info["final_info"][name][i] for name in core.task.MEASURES}
        count += 1
        near = np.linalg.norm(way, axis=1) < 0.02
        go_on = np.where(phase == 2, count > 4, near & ~swings)
        count[go_on] = 0
        phase = np.where(terminated | truncated, 0, np.minimum(phase + go_on, 4))
    return results


@pytest.fixture
def env():
    env = gym.make_vec("PandaToss-v0", num_envs=32, max_episode_steps=60)
    env.reset(seed=0)
    yield env
    env.close()


def test_a_swing_of_the_hand_throws_all_shapes_into_their_bins(env):
    assert env.single_action_space.shape == (5,)
    results = throw(env)
    assert np.mean([result["sorted_right"] for result in results]) > 0.8


def test_with_the_hand_upright_the_same_throw_falls_short(env):
    assert np.mean([result["sorted_right"] for result in throw(env, pitch=0.0)]) < 0.1


def test_the_bins_are_out_of_reach(env):
    kinematics = Kinematics(make_robot("panda"))
    for x, y, z in env.core.task.bins:
        assert kinematics.compute_distance_to_reach((x, y, z)) > 0.05


def test_bins_can_be_moved_farther_but_not_among_the_objects():
    env = gym.make("PandaToss-v0", bin_x=1.1, backend="fake")
    np.testing.assert_allclose([zone.center[0] for zone in env.unwrapped.core.task.scene.zones], 1.1)
    env.close()
    with pytest.raises(InvalidArgumentError, match="overlap the objects' area"):
        gym.make("PandaToss-v0", bin_x=0.7, backend="fake")


def test_a_blocker_of_the_toss_stands_at_the_end_of_the_table():
    env = gym.make("PandaToss-v0", blocker=0.1, backend="fake")
    [table, bar] = env.unwrapped.core.task.scene.boxes
    assert bar.center[0] + bar.half_size[0] <= table.center[0] + table.half_size[0] + 1e-12
    assert bar.center[0] > 0.75
    env.close()
