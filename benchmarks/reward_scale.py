"""Measure how the scale of rewards affects ACKTR: its critic on Pendulum, and shared layers on CartPole.

``python -m benchmarks.reward_scale`` prints two tables with medians and ranges over the seeds.

- Pendulum, with rewards multiplied by a constant: the share of the returns' variance that the K-FAC critic explains in the
  last three of ten updates.
- CartPole, where returns reach hundreds: the return after 60 000 steps, and the median divergence divided by ``target_kl``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import TransformReward
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from benchmarks.update_cost import Trunk
from gym_gazebo2.algos.acktr import ACKTR

NUM_ENVS, NUM_STEPS = 8, 256
UPDATES, LAST = 10, 3
CARTPOLE_STEPS = 60_000
SCALES = (0.01, 0.1, 1.0, 10.0, 100.0)
SHARED: dict[str, Any] = {
    "policy_kwargs": {"features_extractor_class": Trunk, "features_extractor_kwargs": {"width": 64}, "net_arch": []}
}
CARTPOLE: dict[str, tuple[dict[str, Any], bool]] = {
    "shared layers": (SHARED, False),
    "shared layers, vf_coef=0.5": ({**SHARED, "vf_coef": 0.5}, False),
    "shared layers, rewards normalised": (SHARED, True),
    "separate networks": ({}, False),
}
"""Name → keywords of ACKTR, and whether rewards are normalised."""


class Recorder(Logger):
    """A logger that keeps every value."""

    def __init__(self) -> None:
        """Start without values."""
        super().__init__(None, [])
        self.values: dict[str, list[float]] = {}

    def record(self, key: str, value: Any, exclude: Any = None) -> None:
        """Keep a value."""
        self.values.setdefault(key, []).append(value)


def main() -> None:
    """Train, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    print("Pendulum-v1: rewards times, explained variance")
    for scale in SCALES:
        print(f"  {scale:<36g}{summarize([explain(scale, seed) for seed in seeds])}", flush=True)
    print("CartPole-v1: return, divergence / δ")
    for name in CARTPOLE:
        returns, divergences = zip(*(balance(name, seed) for seed in seeds), strict=True)
        print(f"  {name:<36}{summarize(returns)}  {summarize(divergences)}", flush=True)


def summarize(values: Sequence[float]) -> str:
    """Return median and range."""
    return f"{np.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def explain(scale: float, seed: int) -> float:
    """Return the share of the returns' variance that the critic explains at the end of a short training."""
    env = make_envs("Pendulum-v1", seed, lambda env: TransformReward(env, lambda reward: scale * reward))
    values = learn(env, seed, UPDATES * NUM_ENVS * NUM_STEPS, gamma=0.9)[1]
    return float(np.mean(values["train/explained_variance"][-LAST:]))


def balance(name: str, seed: int) -> tuple[float, float]:
    """Return the mean return at the end of a training on CartPole, and the median divergence divided by δ."""
    keywords, normalize = CARTPOLE[name]
    env = make_envs("CartPole-v1", seed)
    model, values = learn(VecNormalize(env, norm_obs=False) if normalize else env, seed, CARTPOLE_STEPS, **keywords)
    returned, _ = evaluate_policy(model, make_envs("CartPole-v1", seed + 1000), n_eval_episodes=20, warn=False)
    return float(returned), float(np.median(np.divide(values["train/kl"], values["train/target_kl"])))


def make_envs(env_id: str, seed: int, wrap: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] | None = None) -> VecEnv:
    """Return a vector environment."""
    return make_vec_env(env_id, NUM_ENVS, seed=seed, wrapper_class=wrap)


def learn(env: VecEnv, seed: int, steps: int, **keywords: Any) -> tuple[ACKTR, dict[str, list[float]]]:
    """Train, and return the model and what it logged."""
    model, recorder = ACKTR("MlpPolicy", env, n_steps=NUM_STEPS, seed=seed, device="cpu", **keywords), Recorder()
    model.set_logger(recorder)
    model.learn(steps)
    return model, recorder.values


if __name__ == "__main__":
    main()
