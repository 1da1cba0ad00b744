"""How the arms of a training are split into shards, and how many workers they can keep busy. Does not need Ray."""

from __future__ import annotations

from gym_gazebo2.algos.table import ALGORITHMS, get_algorithm
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["DEFAULT_SHARDS", "check_can_distribute", "choose_shards", "list_shards"]

ARMS_PER_UNIT = 4
"""A shard holds a multiple of this many arms: numerical kernels work on 4 rows at a time or more, and can round the remaining
rows in another way."""
DEFAULT_SHARDS = 4
"""Shards of a training with normalisation, whose result depends on their number: a training with 1, 2 or 4 workers then has the
same result. Each additional shard costs a little: two iterations of 16 arms take 114 % of the time of one of 32 arms."""


def check_can_distribute(algo: str, vec: str) -> None:
    """Check that a training can be split over workers.

    Raises:
        InvalidArgumentError: It cannot.
    """
    if (learns := get_algorithm(algo).learns) != "on_policy":
        fitting = ", ".join(name for name, row in ALGORITHMS.items() if row.learns == "on_policy")
        why = {
            "off_policy": "it learns from a replay buffer after every few steps, and workers collect whole rollouts",
            "imitation": "its teacher acts in the process that learns",
        }
        sentence = f"Cannot train {algo} with workers: {why[learns]}. Train it without workers, or choose one of: {fitting}."
        raise InvalidArgumentError("workers", algo, sentence=sentence)
    if vec == "subproc":
        sentence = "vec='subproc' does not go with workers: each worker is a process already. Use batched, dummy or pinned."
        raise InvalidArgumentError("vec", vec, sentence=sentence)


def list_shards(num_envs: int, max_envs: int | None) -> list[int]:
    """Return the numbers of shards into which arms can be split, in ascending order.

    Args:
        num_envs: All arms.
        max_envs: Most arms of a backend; None: no limit.
    """
    if max_envs is None:
        splits = [n for n in range(2, num_envs // ARMS_PER_UNIT + 1) if num_envs % (ARMS_PER_UNIT * n) == 0]
        return [1, *splits]
    return [n for n in range(1, num_envs + 1) if num_envs % n == 0 and num_envs // n <= max_envs]


def choose_shards(num_envs: int, max_envs: int | None, workers: int, shards: int | None, is_normalized: bool) -> int:
    """Return the number of shards of a training.

    Args:
        num_envs: All arms.
        max_envs: Most arms of a backend, such as 1 for Gazebo; None: no limit.
        workers: Workers.
        shards: The number that is asked for; None: the least that keeps all workers busy, at least ``DEFAULT_SHARDS`` where
            the result depends on it.
        is_normalized: Whether observations are normalised by running statistics.

    Raises:
        InvalidArgumentError: The arms cannot be split so, or there are more workers than shards.
    """
    possible = list_shards(num_envs, max_envs)
    if shards is not None and shards not in possible:
        sentence = f"Cannot split {num_envs} environments into {shards} shards. Use one of: {', '.join(map(str, possible))}."
        raise InvalidArgumentError("shards", shards, sentence=sentence)
    most = possible[-1] if shards is None else shards
    if workers > most:
        arms = "one environment" if max_envs is not None else f"{ARMS_PER_UNIT} environments"
        least = f"--num-envs {workers * (max_envs or ARMS_PER_UNIT)}"
        more = f"or {least}: each needs {arms} at least" if shards is None else "or more --shards: each needs one"
        sentence = f"{num_envs} environments in {most} shards cannot keep {workers} workers busy. Use --workers {most}, {more}."
        raise InvalidArgumentError("workers", workers, sentence=sentence)
    if shards is not None:
        return shards
    least_wanted = max(workers, DEFAULT_SHARDS) if is_normalized and max_envs is None else workers
    return next((n for n in possible if n >= least_wanted), possible[-1])
