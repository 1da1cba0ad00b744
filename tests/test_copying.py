"""Copies of environments, by copy and by pickle: they continue as the original, and own an engine of their own."""

import copy
import pickle
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from gym_gazebo2.algos import make_vec_env
from gym_gazebo2.errors import UnsupportedError

MAKERS = {
    "single": lambda: gym.make("MARA-v0", start_noise=0.1),
    "goal": lambda: gym.make("MARAReachGoal-v0", backend="fake"),
    "vector": lambda: gym.make_vec("MARARandomTarget-v0", num_envs=3, max_episode_steps=7),
    "threads": lambda: gym.make_vec("SCARA-v0", num_envs=3, backend_options={"num_threads": 2}),
    "restarting": lambda: gym.make("SCARA4-v0", backend_options={"on_failure": "restart"}),
    "next step": lambda: gym.make_vec("MARA-v0", num_envs=2, max_episode_steps=4, autoreset_mode="NEXT_STEP"),
}
WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", MAKERS)
def test_a_copy_continues_as_the_original(kind, way):
    with closing(MAKERS[kind]()) as env:
        env.reset(seed=3)
        actions = [env.action_space.sample() for _ in range(9)]
        for action in actions[:4]:
            env.step(action)
        with closing(WAYS[way](env)) as other:
            for action in actions:
                # The original's step must not show in the copy, so the copy goes first.
                assert data_equivalence(other.step(action), env.step(action), exact=True)
            assert data_equivalence(other.reset(), env.reset(), exact=True)
            env.close()
            other.step(actions[0])


@pytest.mark.parametrize("way", WAYS)
def test_an_environment_that_was_never_reset_is_copied(way):
    with closing(gym.make("SCARA-v0")) as env, closing(WAYS[way](env)) as other:
        assert data_equivalence(other.reset(seed=1), env.reset(seed=1), exact=True)


def test_the_bridge_to_stable_baselines3_is_copied():
    env = make_vec_env("MARA-v0", 2, seed=0)
    env.reset()
    other = copy.deepcopy(env)
    actions = np.full((2, 6), 0.5)
    assert np.array_equal(env.step(actions)[0], other.step(actions)[0])


@pytest.mark.parametrize("way", WAYS)
def test_a_simulator_that_cannot_save_its_state_is_refused(way):
    with closing(gym.make("SCARA-v0", backend="gazebo")) as env:
        env.reset(seed=0)
        with pytest.raises(UnsupportedError, match=r"GazeboBackend cannot be copied or pickled.*gymnasium\.make"):
            WAYS[way](env)
        env.step(env.action_space.sample())
