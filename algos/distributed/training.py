"""The environments of a training that workers step: Ray, the workers and the proxy, opened and closed together."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator

from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.choices import MissingWorkers
from gym_gazebo2.algos.config import ResolvedConfig, check_needs_workers, get_max_envs
from gym_gazebo2.algos.distributed.env import ShardedVecEnv, find_spaces
from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.session import RaySession, check_capacity
from gym_gazebo2.algos.environments import make_training_env, wrap_training_env
from gym_gazebo2.algos.worker_plan import check_can_distribute, choose_shards
from gym_gazebo2.checks import read_whole
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.scheduling import count_processors

__all__ = ["call_on_hold", "change_workers", "open_training_env"]

WAIT = "Or wait for further machines, as those of an autoscaler, with --missing-workers wait."


@contextlib.contextmanager
def open_training_env(config: ResolvedConfig) -> Iterator[VecEnv]:
    """Yield the environments that the algorithm learns in, or their proxy if workers step them."""
    if config.workers is None:
        with contextlib.closing(make_training_env(config)) as env:
            yield env
        return
    with _open_workers(config) as env:
        yield env


@contextlib.contextmanager
def _open_workers(config: ResolvedConfig) -> Iterator[VecEnv]:
    """Start or find Ray, start workers without waiting for them, and yield the proxy of the environments.

    Args:
        config: The configuration, with ``workers`` and ``shards``.

    Raises:
        MissingDependencyError: Ray is not installed.
        InvalidArgumentError: There are fewer CPUs than the workers need.
        WorkerError: Ray does not start, or does not answer at the address.
    """
    workers, shards = config.workers or 1, config.shards or 1
    if config.address is None:
        check_capacity(workers, config.worker_cpus, count_processors(), "this machine")
    with contextlib.ExitStack() as stack:
        num_cpus = max(float(count_processors()), workers * config.worker_cpus)
        session = RaySession(config.address, num_cpus, config.invite, config.insecure)
        stack.callback(session.close)
        if config.missing_workers in (None, "give-up"):
            check_capacity(workers, config.worker_cpus, session.cpus, "the cluster", WAIT)
        fleet = Fleet(config, config.num_envs // shards, workers, config.worker_cpus)
        env = ShardedVecEnv(fleet, config.num_envs, shards, find_spaces(config))
        env.seed(config.seed)
        stack.callback(env.close)
        yield wrap_training_env(config, env)


def call_on_hold(env: VecEnv, function: Callable[[], None]) -> None:
    """Call a function while the workers of a training wait for machines. Without workers, do nothing.

    Args:
        env: What ``open_training_env`` yielded.
        function: May raise, to end the training.
    """
    collector = env.unwrapped.collector if isinstance(env.unwrapped, ShardedVecEnv) else None
    if isinstance(collector, Fleet):
        collector.on_hold = function


def change_workers(
    config: ResolvedConfig,
    workers: int | None,
    address: str | None,
    invite: str | os.PathLike[str] | None = None,
    insecure: bool = False,
    missing_workers: MissingWorkers | None = None,
    worker_cpus: float | None = None,
) -> ResolvedConfig:
    """Return the configuration of a run to resume, with other workers. The result stays the same, to the bit.

    Args:
        config: The run's.
        workers: Workers; None: as before.
        address: "HOST:PORT" of a cluster, "local" for this machine; None: as before.
        invite: File of ``cluster invite``; None: as before.
        insecure: Whether to accept a cluster without TLS from now on.
        missing_workers: Policy for missing workers; None: as before.
        worker_cpus: CPUs that Ray reserves for a worker; None: as before.

    Raises:
        InvalidArgumentError: There are more workers than shards, and the result depends on the number of shards; or a cluster
            is given for a run that has no workers.
    """
    if workers is not None:
        read_whole("workers", workers)
    changed = dataclasses.replace(
        config,
        workers=workers or config.workers,
        address=address or config.address,
        invite=config.invite if invite is None else os.fspath(invite),
        insecure=insecure or config.insecure,
        missing_workers=missing_workers or config.missing_workers,
        worker_cpus=config.worker_cpus if worker_cpus is None else worker_cpus,
    )
    check_needs_workers(changed)
    if workers is None or changed.workers is None:
        return changed
    check_can_distribute(config.algo, config.vec)
    max_envs = get_max_envs(config)
    if not config.is_normalized or max_envs is not None:  # the number of shards does not matter, or nothing is promised
        return dataclasses.replace(changed, shards=choose_shards(config.num_envs, max_envs, changed.workers, None, False))
    shards = config.shards or 1
    if changed.workers > shards:
        sentence = (
            f"Cannot resume with {changed.workers} workers: this run has {shards} shard{'s' * (shards > 1)}, on which its "
            f"result depends. Use --workers {shards} or fewer."
        )
        raise InvalidArgumentError("workers", changed.workers, sentence=sentence)
    return dataclasses.replace(changed, shards=shards)
