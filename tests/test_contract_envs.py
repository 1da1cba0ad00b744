"""Properties of every id, single and batched."""

import copy
import json
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium
from stable_baselines3.common.env_checker import check_env as check_sb3

from gym_gazebo2.registration import ENVIRONMENTS
from gym_gazebo2.tasks import make_task

IDS = sorted(ENVIRONMENTS)
FAST = [env_id for env_id in IDS if "Camera" not in env_id]
WITH_OBJECTS = [env_id for env_id in IDS if make_task(ENVIRONMENTS[env_id].task).scene is not None]
REACHING = [env_id for env_id in IDS if env_id not in WITH_OBJECTS]
PANDA_GYM = [env_id for env_id in IDS if env_id.startswith("PandaGym")]
"""Ids with objects, which random actions rarely move; and episodes there end at success. test_panda_gym.py has their sizes."""
RANDOM = [env_id for env_id in IDS if "Random" in env_id or "Reach" in env_id]
SIZES = {
    "MARA-v0": 24,
    "MARAOrient-v0": 16,
    "MARACollision-v0": 12,
    "MARACollisionOrient-v0": 16,
    "MARAReal-v0": 12,
    "MARARandomTarget-v0": 12,
    "SCARA-v0": 9,
    "SCARARandomTarget-v0": 9,
    "SCARA4-v0": 10,
    "Reach-v0": 18,
    "PandaReach-v0": 20,
    "PandaSort-v0": 38,
    "PandaToss-v0": 38,
}
LIMITS = {"PandaToss-v0": 60, **{env_id: 50 for env_id in PANDA_GYM if "Stack" not in env_id}}
"""Steps of an episode, where they are not 100."""
CONSTANT = {
    "SCARA-v0": [5, 8],  # the arm is planar: height and vertical speed of the tool
    "SCARARandomTarget-v0": [5, 8],
    "SCARA4-v0": [6, 9],
    "MARAReachGoal-v0": [3, 4, 5],  # desired_goal, which holds for an episode
    "ReachGoal-v0": [3, 4, 5],
    "Reach-v0": [11],  # the step of the last joint, whose axis goes through the tool
    "PandaReach-v0": [13],
}
"""Elements of an observation that do not change within an episode; all others must."""


def find_constant(env_id, observations):
    """Return the elements of observations (steps, size) that do not change; of the ids with objects, only among the tool's."""
    constant = np.flatnonzero(np.ptp(observations, axis=0) < 1e-3)
    if env_id in PANDA_GYM:
        goals = observations.shape[1] - gym.spec(env_id).make(backend="fake").observation_space["observation"].shape[0]
        constant = constant[(constant >= goals) & (constant < goals + 6)]
    return constant.tolist()


def embed(env_id, kwargs):
    """Return keywords that let the ids of robots move embedded; on the robot's side they are tested in test_robot.py."""
    return {"backend": "mujoco"} | kwargs if "backend" in ENVIRONMENTS[env_id].kwargs else kwargs


@pytest.fixture
def make():
    """Make environments that are closed after the test."""
    made = []

    def make(env_id, **kwargs):
        made.append(gym.make(env_id, **embed(env_id, kwargs)))
        return made[-1]

    yield make
    for env in made:
        env.close()


def flatten(observation):
    if isinstance(observation, dict):
        return np.concatenate([np.ravel(observation[key]).astype(float) for key in sorted(observation)])
    return np.asarray(observation, dtype=float)


def run(env, seed, steps=30):
    """Return observations and rewards under random actions."""
    observation, _ = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    observations, rewards = [flatten(observation)], []
    for _ in range(steps):
        observation, reward, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape))
        observations.append(flatten(observation))
        rewards.append(reward)
    return np.array(observations), np.array(rewards)


@pytest.mark.parametrize("env_id", IDS)
def test_checkers_pass_without_a_warning(env_id, make, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_gymnasium(make(env_id).unwrapped)
        check_sb3(make(env_id).unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_observations_are_finite_inside_their_space_and_every_element_changes(env_id, make):
    env = make(env_id)
    observation, _ = env.reset(seed=0)
    env.action_space.seed(0)
    seen = [flatten(observation)]
    for _ in range(10 if "Camera" in env_id else 100):
        observation, reward, terminated, _, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation) and np.isfinite(reward)
        assert set(info) >= {"time", "is_success", "in_collision", *env.unwrapped.core.task.MEASURES}
        seen.append(flatten(observation))
        if env_id in PANDA_GYM:
            assert terminated == info["is_success"]
            continue
        assert env_id in WITH_OBJECTS or not terminated
        if terminated:  # an arm at random may push all objects from the table
            break
    if env_id in WITH_OBJECTS and env_id not in PANDA_GYM:  # objects may lie still, and have one shape and size for an episode
        assert np.sum(np.ptp(np.array(seen), axis=0) >= 1e-3) > 10
        return
    if "Camera" in env_id:  # within 10 steps the camera sees little more than floor: some pixels change by a few levels
        pixels = observation["image"].size
        assert np.sum(np.ptp(np.array(seen)[:, :pixels], axis=0) >= 3) > 1_000
        seen = np.array(seen)[:, pixels:]
    assert find_constant(env_id, np.array(seen)) == CONSTANT.get(env_id, [])


@pytest.mark.parametrize(("env_id", "size"), SIZES.items())
def test_sizes(env_id, size, make):
    assert make(env_id).observation_space.shape == (size,)


@pytest.mark.parametrize("env_id", REACHING)
def test_actions_have_one_component_per_joint(env_id, make):
    env = make(env_id)
    space = env.action_space
    assert space.shape == (env.unwrapped.core.robot.dof,) and np.all(space.low == -1) and np.all(space.high == 1)


@pytest.mark.parametrize("env_id", FAST)
def test_same_seed_same_bits_other_seed_other_episode(env_id, make):
    envs = [make(env_id, start_noise=0.1) for _ in range(2)]
    first, again = (run(env, seed=3) for env in envs)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(run(envs[0], seed=4)[0][0], first[0][0])
    assert np.array_equal(run(envs[0], seed=3)[0], first[0]), "an episode depends on the one before"


@pytest.mark.parametrize("env_id", FAST)
def test_an_arm_of_a_batch_moves_as_the_single_environment(env_id, make):
    n, steps = 3, 120
    env = gym.make_vec(env_id, num_envs=n, **embed(env_id, {"start_noise": 0.1}))
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, *env.action_space.shape))
    observation, _ = env.reset(seed=7)
    batch = [observation]
    for action in actions:
        batch.append(env.step(action)[0])
    env.close()
    for i in range(n):
        single = make(env_id, start_noise=0.1)
        expected, _ = single.reset(seed=7 + i)
        for k in range(steps + 1):
            row = {key: value[i] for key, value in batch[k].items()} if isinstance(batch[k], dict) else batch[k][i]
            np.testing.assert_allclose(flatten(row), flatten(expected), atol=1e-6)
            if k < steps:
                expected, _, terminated, truncated, _ = single.step(actions[k, i])
                if terminated or truncated:
                    expected, _ = single.reset()


@pytest.mark.parametrize("env_id", FAST)
def test_observations_share_no_memory(env_id, make):
    env = make(env_id)
    first, _ = env.reset(seed=0)
    kept = copy.deepcopy(first)
    for _ in range(3):
        env.step(env.action_space.sample())
    assert np.array_equal(flatten(first), flatten(kept))


@pytest.mark.parametrize("env_id", RANDOM)
def test_goals_are_drawn_anew(env_id, make):
    env = make(env_id)
    env.reset(seed=0)
    goals = []
    for _ in range(20):
        env.reset()
        goals.append(env.unwrapped.core.goal[0, :3].copy())
    assert np.all(np.ptp(goals, axis=0)[:2] > 0.03)


@pytest.mark.parametrize("env_id", IDS)
def test_spec_survives_pickle_and_json(env_id, make):
    spec = make(env_id, start_noise=0.1).spec
    for copied in (pickle.loads(pickle.dumps(spec)), gym.envs.registration.EnvSpec.from_json(spec.to_json())):
        again = copied.make()
        assert again.spec.kwargs["start_noise"] == 0.1
        again.close()
    json.loads(spec.to_json())


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_have_a_limit_by_the_registry_alone(env_id, make):
    assert make(env_id).spec.max_episode_steps == LIMITS.get(env_id, 100)
    if env_id in FAST:
        env = make(env_id, max_episode_steps=7)
        env.reset(seed=0)
        assert [env.step(env.action_space.sample())[3] for _ in range(7)] == [False] * 6 + [True]


@pytest.mark.parametrize("env_id", FAST)
def test_every_id_runs_on_the_fake_backend_and_with_absolute_goals(env_id, make):
    observations, _ = run(make(env_id, backend="fake", control="position"), seed=0)
    assert np.all(np.isfinite(observations))
    if env_id in REACHING or env_id in PANDA_GYM:
        assert find_constant(env_id, observations) == CONSTANT.get(env_id, [])
