"""Models that are timed in turns, so that a machine whose speed changes slows all of them."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

from stable_baselines3.common.logger import Logger

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.distributed.env import ShardedVecEnv, find_spaces
from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.places import DEFAULT_LIMITS, Limits
from gym_gazebo2.algos.distributed.rollouts import distribute
from gym_gazebo2.algos.distributed.shards import LocalShards
from gym_gazebo2.algos.environments import make_training_env, wrap_training_env
from gym_gazebo2.algos.table import make_model

__all__ = ["TURN", "Times", "describe_ratios", "open_model", "time_in_turns", "time_iteration"]

TURN = 3
"""Iterations of a model that count, before it is another one's turn: about a second. The speed of a virtual machine changes by
half within some seconds, so that longer turns compare different machines."""

Times = dict[str, list[float]]
"""Variant → median time of an iteration in each turn [s]."""


@contextlib.contextmanager
def open_model(
    config: ResolvedConfig, where: str, shards: int = 1, workers: int = 1, cpus: float = 1.0, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Any]:
    """Yield a model whose arms are stepped "plain", in shards in this process ("local"), or by workers ("ray")."""
    size = config.num_envs // shards
    if where == "plain":
        env = make_training_env(config)
    else:
        fleet = Fleet(config, size, workers, cpus, limits) if where == "ray" else LocalShards(config, size)
        if isinstance(fleet, Fleet):
            fleet.wait_ready()
        env = wrap_training_env(config, ShardedVecEnv(fleet, config.num_envs, shards, find_spaces(config)))
    with contextlib.closing(env):
        adapt = (lambda cls: cls) if where == "plain" else distribute
        model = make_model(config.algo, env, config.hyperparameters, config.seed, adapt)
        model.set_logger(Logger(None, []))
        yield model


def time_iteration(model: Any) -> float:
    """Return the time of the next iteration, a rollout and an update [s]."""
    started = time.perf_counter()
    model.learn(model.n_steps * model.n_envs, reset_num_timesteps=model.num_timesteps == 0)
    return time.perf_counter() - started


def time_in_turns(models: Mapping[str, Any], iterations: int) -> Times:
    """Return the times of models that take turns, in changing order.

    The first iteration of each turn does not count: the caches belonged to another model, as never in a training.

    Args:
        models: Variant → model.
        iterations: Iterations of each that count.
    """
    times: Times = {name: [] for name in models}
    for turn in range(max(1, iterations // TURN)):
        for name in list(models)[:: -1 if turn % 2 else 1]:
            time_iteration(models[name])
            times[name].append(statistics.median(time_iteration(models[name]) for _ in range(TURN)))
    return times


def describe_ratios(first: list[float], other: list[float]) -> tuple[float, float, float]:
    """Return how many times as fast another variant is as the first one: median and quartiles over the turns."""
    ratios = [a / b for a, b in zip(first, other, strict=True)]
    if len(ratios) < 2:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high
