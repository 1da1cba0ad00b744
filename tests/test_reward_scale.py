"""The algorithm gets scaled rewards; logs, evaluations and the environment's own rewards are not scaled."""

import contextlib

import numpy as np
import pytest

from gym_gazebo2.algos import TrainConfig, evaluate, train
from gym_gazebo2.algos.config import from_json, resolve
from gym_gazebo2.algos.environments import make_evaluation_env, make_training_env
from gym_gazebo2.algos.evaluate import EvaluateConfig
from gym_gazebo2.algos.runs.episodes import read_episodes
from gym_gazebo2.errors import InvalidArgumentError

TINY = {"env": "SCARA-v0", "backend": "fake", "steps": 80, "num_envs": 4, "max_episode_steps": 10, "eval_runs": 2,
        "hyperparameters": {"n_steps": 10, "batch_size": 40}, "progress": "quiet"}  # fmt: skip


def step(env, num_envs):
    with contextlib.closing(env):
        env.seed(0)
        env.reset()
        return env.step(np.full((num_envs, 3), 0.5))[1]


def test_only_the_training_s_rewards_are_scaled():
    plain, scaled = (resolve(TrainConfig(**TINY, reward_scale=scale, normalize=False)) for scale in (1.0, 0.25))
    rewards = step(make_training_env(plain), 4)
    np.testing.assert_allclose(step(make_training_env(scaled), 4), 0.25 * rewards, rtol=1e-6)
    np.testing.assert_array_equal(step(make_evaluation_env(scaled), 2), step(make_evaluation_env(plain), 2))


def test_the_run_keeps_it_and_shows_the_environment_s_rewards(tmp_path):
    runs = [train(TrainConfig(**TINY, reward_scale=scale, out=str(tmp_path / str(scale)))) for scale in (1.0, 1e-6)]
    assert [run.read_config().reward_scale for run in runs] == [1.0, 1e-6]
    first, other = (read_episodes(run.path).reward[:4] for run in runs)
    np.testing.assert_allclose(first, other, rtol=1e-6)  # of the first iteration, in which both act alike
    assert evaluate(runs[1].path, EvaluateConfig(runs=2)).mean_reward < -1.0


def test_it_comes_from_the_preset_and_older_runs_had_none():
    assert resolve(TrainConfig(env="PandaSort-v0")).reward_scale == 0.05
    assert resolve(TrainConfig(env="PandaSort-v0", reward_scale=1.0)).reward_scale == 1.0
    fields = resolve(TrainConfig(**TINY)).to_fields()
    del fields["reward_scale"]
    assert from_json(fields).reward_scale == 1.0
    with pytest.raises(InvalidArgumentError, match="reward_scale"):
        TrainConfig(reward_scale=0.0)
