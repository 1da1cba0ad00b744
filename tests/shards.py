"""Short trainings, plain and in shards, and what they have led to."""

import contextlib

import numpy as np
import torch

import gym_gazebo2  # noqa: F401
from gym_gazebo2.algos import TrainConfig
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.distributed.env import ShardedVecEnv, find_spaces
from gym_gazebo2.algos.distributed.moments import get_moments
from gym_gazebo2.algos.distributed.rollouts import distribute
from gym_gazebo2.algos.distributed.shards import LocalShards
from gym_gazebo2.algos.environments import make_training_env, wrap_training_env
from gym_gazebo2.algos.runs.model_state import get_arrays
from gym_gazebo2.algos.table import make_model

ON_POLICY = ("ppo", "ppo_kl", "recurrent_ppo", "trpo", "acktr", "a2c")
SMALL = {"policy_kwargs": {"net_arch": [16, 16]}, "n_steps": 12}
FEW = {"n_epochs": 2, "batch_size": 48}
HYPERPARAMETERS = {
    "ppo": {**SMALL, **FEW},
    "ppo_kl": {**SMALL, **FEW},
    "recurrent_ppo": {**SMALL, **FEW, "policy_kwargs": {"net_arch": [16, 16], "lstm_hidden_size": 8}},
    "trpo": {**SMALL, "batch_size": 48},
    "acktr": {**SMALL, "batch_size": 48},
    "a2c": SMALL,
}


def configure(algo="ppo", env="SCARARandomTarget-v0", **values):
    given = {"num_envs": 16, "max_episode_steps": 9, "preset": "default", "normalize": False, "start_noise": 0.3}
    hyperparameters = {**HYPERPARAMETERS[algo], **values.pop("hyperparameters", {})}
    return resolve(TrainConfig(env=env, algo=algo, hyperparameters=hyperparameters, **{**given, **values}))


def learn(config, num_shards=None, iterations=3, collector=None, **extra):
    """Train for a few iterations, plain or in shards; every episode ends within them. Returns the model, closed."""
    if num_shards is None:
        env, adapt = make_training_env(config), lambda cls: cls
    else:
        shards = collector or LocalShards(config, config.num_envs // num_shards)
        env = wrap_training_env(config, ShardedVecEnv(shards, config.num_envs, num_shards, find_spaces(config)))
        adapt = distribute
    with contextlib.closing(env):
        model = make_model(config.algo, env, config.hyperparameters, config.seed, adapt)
        model.learn(iterations * model.n_steps * config.num_envs, **extra)
    return model


def describe(model):
    """Everything that training has led to, as a dictionary of arrays and numbers."""
    parts = {name: value.numpy() for name, value in model.policy.state_dict().items()}
    parts |= {name: value for name, value in get_arrays(model).items() if not name.startswith("_last_original")}
    for name, moments in get_moments(model.get_vec_normalize_env()).items():
        parts |= {f"{name}.{i}": np.asarray(value) for i, value in enumerate(moments)}
    episodes = [(info["r"], info["l"]) for info in model.ep_info_buffer]
    return parts | {
        "torch": torch.get_rng_state().numpy(),
        "numpy": np.random.get_state()[1],
        "episodes": np.array(episodes),
        "successes": np.array(model.ep_success_buffer, dtype=float),
        "steps": np.array(model.num_timesteps),
    }


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], name)
