"""Training in shards, in one process: the same bits as plain training."""

import contextlib

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.running_mean_std import RunningMeanStd

import gym_gazebo2  # noqa: F401
from gym_gazebo2.algos.distributed.env import ShardedVecEnv, find_spaces
from gym_gazebo2.algos.distributed.moments import get_moments, get_own_moments, merge_moments, track_moments
from gym_gazebo2.algos.distributed.shards import LocalShards
from gym_gazebo2.algos.environments import make_training_env, wrap_training_env
from gym_gazebo2.errors import NonFiniteError, UnsupportedError

from .shards import HYPERPARAMETERS, ON_POLICY, assert_equal, configure, describe, learn


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("algo", ON_POLICY)
def test_one_shard_is_plain_training(algo, normalize):
    config = configure(algo, normalize=normalize)
    plain, sharded = describe(learn(config)), describe(learn(config, 1))
    assert len(plain["episodes"]) > 0
    assert_equal(plain, sharded)


@pytest.mark.parametrize("algo", ON_POLICY)
def test_without_normalisation_the_number_of_shards_changes_nothing(algo):
    config = configure(algo)
    plain = describe(learn(config))
    for num_shards in (2, 4):
        assert_equal(plain, describe(learn(config, num_shards)))


def test_merged_moments_are_those_of_all_samples():
    rng = np.random.default_rng(0)
    config = configure(normalize=True)
    before, *parts = (rng.normal(3.0, 2.0, (rows, 6)) for rows in (10_000, 7, 50, 120))
    normalizers = []
    for part in parts:
        env = wrap_training_env(config, ShardedVecEnv(None, 4, 1, (spaces.Box(-9, 9, (6,)), spaces.Box(-1, 1, (2,)))))
        env.obs_rms.update(before)
        track_moments(env)
        for rows in np.array_split(part, 3):
            env.obs_rms.update(rows)
        normalizers.append(env)
    merge_moments(normalizers[0], get_moments(normalizers[0]), [get_own_moments(other) for other in normalizers[1:]])
    whole = RunningMeanStd(shape=(6,))
    whole.update(np.concatenate([before, *parts]))
    merged = normalizers[0].obs_rms
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(merged.var, whole.var, rtol=1e-13)
    assert merged.count == pytest.approx(whole.count, rel=1e-13)


def test_with_normalisation_a_run_repeats_itself_for_equal_shards_only():
    config = configure(normalize=True)
    first, second, other = (describe(learn(config, shards)) for shards in (2, 2, 4))
    assert_equal(first, second)
    with pytest.raises(AssertionError):
        assert_equal(first, other)


@pytest.mark.parametrize("algo", ["ppo", "recurrent_ppo", "acktr"])
def test_goal_ids_are_equal_to_the_bit(algo):
    config = configure(algo, "MARAReachGoal-v0", num_envs=8)
    assert_equal(describe(learn(config)), describe(learn(config, 2)))


def test_images_are_equal_to_the_bit():
    config = configure(env="MARACamera-v0", num_envs=8, hyperparameters={"n_steps": 4, "batch_size": 16})
    assert_equal(describe(learn(config, iterations=2)), describe(learn(config, 2, iterations=2)))


@pytest.mark.parametrize("algo", ["ppo", "recurrent_ppo", "a2c"])
def test_state_dependent_exploration_is_equal_to_the_bit(algo):
    config = configure(algo, hyperparameters={"use_sde": True, "sde_sample_freq": 5})
    plain = describe(learn(config))
    for num_shards in (1, 4):
        assert_equal(plain, describe(learn(config, num_shards)))


class Choices(gymnasium.Env):
    """A task whose actions are choices: reach zero."""

    observation_space = spaces.Box(-1, 1, (3,))

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return self.position, {}

    def step(self, action):
        self.position = np.clip(self.position + 0.1 * (np.mean(action) - 0.5), -1, 1).astype(np.float32)
        return self.position, -float(np.abs(self.position).sum()), bool(self.position[0] > 0.9), False, {}


ACTIONS = {"Discrete": spaces.Discrete(3), "MultiDiscrete": spaces.MultiDiscrete([3, 2]), "MultiBinary": spaces.MultiBinary(3)}
for name, space in ACTIONS.items():
    gymnasium.register(f"{name}Shards-v0", Choices, kwargs={"action_space": space}, max_episode_steps=9)


@pytest.mark.parametrize("algo", ["ppo", "trpo", "acktr"])
@pytest.mark.parametrize("actions", ACTIONS)
def test_discrete_actions_are_equal_to_the_bit(actions, algo):
    config = configure(algo, f"{actions}Shards-v0", num_envs=8, max_episode_steps=None, start_noise=None)
    assert config.vec == "dummy"
    assert_equal(describe(learn(config)), describe(learn(config, 2, collector=LocalShards(config, 4, 2))))


def test_environments_that_cannot_be_saved_start_anew_where_their_worker_changes():
    config = configure(env="DiscreteShards-v0", num_envs=8, max_episode_steps=None, start_noise=None)
    first, second = (describe(learn(config, 2, collector=LocalShards(config, 4, 1))) for _ in range(2))
    assert_equal(first, second)  # from seeds that the task determines
    with pytest.raises(AssertionError):
        assert_equal(first, describe(learn(config, 2, collector=LocalShards(config, 4, 2))))


def test_a_plain_state_continues_in_shards_and_back():
    """A checkpoint of plain training is resumed with any number of shards, and the other way round."""
    config = configure()
    env = ShardedVecEnv(None, 16, 4, find_spaces(config))
    plain = make_training_env(config)
    with contextlib.closing(plain):
        plain.reset()
        arrays, generators = plain.get_state()
    env.set_state({**arrays, "lstm.0": np.zeros((1, 16, 4)), "other": np.zeros(())}, generators)
    again, same = env.get_state()
    assert same == generators
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
    with pytest.raises(UnsupportedError, match="cannot be saved"):
        ShardedVecEnv(None, 16, 4, find_spaces(config)).get_state()


def test_a_callback_sees_every_step_and_can_stop():
    config = configure()
    seen = {}
    for shards in (None, 2):
        callback = Watch()
        learn(config, shards, iterations=2, callback=callback)
        seen[shards] = callback.seen
    assert len(seen[None]) == 2 * HYPERPARAMETERS["ppo"]["n_steps"]
    for (dones, observations, episodes), other in zip(seen[None], seen[2], strict=True):
        np.testing.assert_array_equal(dones, other[0])
        np.testing.assert_array_equal(observations, other[1])
        assert episodes == other[2]
    steps = [learn(config, shards, callback=Watch(most=5)).num_timesteps for shards in (None, 2)]
    assert steps == [5 * 16, 5 * 16]


class Watch(BaseCallback):
    def __init__(self, most=None):
        super().__init__()
        self.seen, self.most = [], most

    def _on_step(self):
        dones, infos = self.locals["dones"], self.locals["infos"]
        episodes = [(info["episode"]["r"], info["is_success"]) for info, done in zip(infos, dones, strict=True) if done]
        self.seen.append((dones.copy(), self.locals["new_obs"].copy(), episodes))
        return self.n_calls != self.most


@pytest.mark.filterwarnings("ignore:.*reward is a NaN")
def test_values_that_are_not_finite_are_named(monkeypatch):
    config = configure(env="DiscreteShards-v0", num_envs=8, max_episode_steps=None, start_noise=None)
    monkeypatch.setattr(Choices, "step", lambda self, action: (self.position, float("nan"), False, False, {}))
    with pytest.raises(NonFiniteError, match="rewards"):
        learn(config, 2)
