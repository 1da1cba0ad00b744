"""The configuration of a sweep, and the points that it describes."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.config import TrainConfig, resolve
from gym_gazebo2.algos.env_id import drop_module
from gym_gazebo2.algos.evaluate import EvaluateConfig
from gym_gazebo2.algos.settings.options import EnvKwargs
from gym_gazebo2.algos.settings.prices import PricePerHour, read_prices
from gym_gazebo2.algos.settings.values import nest
from gym_gazebo2.algos.sweep.search import make_grid, parse_grid, parse_options, parse_range
from gym_gazebo2.algos.table import check_hyperparameters
from gym_gazebo2.checks import read_positive, read_whole
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["Point", "SweepConfig", "get_folder", "list_points", "list_seeds", "make_training"]


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """Train every combination of ids, algorithms, hyperparameters and seeds; run the same command again to continue.

    Attributes:
        env: Environment ids.
        algo: Algorithms.
        seeds: Seeds.
        hyper: Grid of hyperparameters, each NAME=VALUE,VALUE, such as policy_kwargs.net_arch=[64,64],[128]; or
            written as --hyper.NAME VALUE,VALUE.
        grid: Grid of options of a training, each NAME=VALUE,VALUE, such as workers=1,2,4,8 or num_envs=16,64.
        search: Ranges that Optuna searches, each NAME=KIND:LOW..HIGH (float, log, int) or NAME=choice:A,B.
        trials: Points that Optuna tries for every id and algorithm.
        steps: Environment steps of a training; None: the preset's.
        env_kwargs: Any keyword of the environments: written --env.NAME VALUE, as in --env.backend gazebo.
        runs: Episodes per evaluation.
        jobs: Trainings side by side; None: as many as there are processors for.
        address: HOST:PORT of a running Ray cluster, on whose machines the trainings run; None: this machine.
        invite: File of `gym-gazebo2 cluster invite`, with which this machine reaches the cluster; not needed on its head.
        insecure: Accept a cluster without TLS, because a VPN encrypts its traffic.
        worker_cpus: CPUs that Ray reserves for a worker of a training; a fraction lets several share a processor.
        price_per_hour: Price of a machine per hour, in any currency, or TYPE=PRICE,TYPE=PRICE by type of node.
        out: Folder of the sweep.
    """

    env: tuple[str, ...] = ("MARA-v0",)
    algo: tuple[str, ...] = ("ppo",)
    seeds: tuple[int, ...] = (0, 1, 2)
    hyper: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    trials: int = 20
    steps: int | None = None
    env_kwargs: EnvKwargs = dataclasses.field(default_factory=dict)
    runs: int = 30
    jobs: int | None = None
    address: str | None = None
    invite: str | Path | None = None
    insecure: bool = False
    worker_cpus: float = 1.0
    price_per_hour: PricePerHour = None
    out: str = "runs/sweep"

    def __post_init__(self) -> None:
        """Check the values, before anything is trained."""
        for name in ("env", "algo", "seeds"):
            if not getattr(self, name):
                raise InvalidArgumentError(name, getattr(self, name), "at least one")
        if twice := {parse_range(text)[0] for text in self.search} & set(parse_grid(self.hyper)):
            raise InvalidArgumentError("search", sorted(twice), "hyperparameters that are not in the grid as well")
        for name, values in (("hyper", parse_grid(self.hyper)), ("grid", parse_options(self.grid))):
            if self.search and any(len(choices) > 1 for choices in values.values()):
                expected = "one value for each name, NAME=VALUE, because --search is given"
                raise InvalidArgumentError(name, getattr(self, name), expected)
        read_whole("trials", self.trials)
        if self.jobs is not None:
            read_whole("jobs", self.jobs)
        if self.address == "local":
            object.__setattr__(self, "address", None)
        read_positive("worker_cpus", self.worker_cpus)
        object.__setattr__(self, "price_per_hour", read_prices("price_per_hour", self.price_per_hour))
        EvaluateConfig(runs=self.runs)
        _check_points(self)


@dataclasses.dataclass(frozen=True)
class Point:
    """One training of a sweep.

    Attributes:
        env: Environment id.
        algo: Algorithm.
        seed: Seed.
        hyperparameters: Hyperparameters on top of the preset's.
        folder: Run folder.
        options: Further options of the training, by field of ``TrainConfig``.
    """

    env: str
    algo: str
    seed: int
    hyperparameters: dict[str, Any]
    folder: Path
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def workers(self) -> int | None:
        """Workers of the training; None where it has none."""
        return self.options.get("workers")

    def count_cpus(self, worker_cpus: float) -> float:
        """Return the CPUs that the training needs. Learner and workers take turns, so the learner needs none of its own."""
        return 1.0 if self.workers is None else max(1.0, self.workers * worker_cpus)


def list_points(config: SweepConfig) -> Iterator[Point]:
    """Return the trainings of a grid."""
    for env in config.env:
        for algo in config.algo:
            for options in make_grid(parse_options(config.grid)):
                for values in make_grid(parse_grid(config.hyper)):
                    yield from list_seeds(config, env, algo, options, values, _name_point({**options, **values}))


def list_seeds(
    config: SweepConfig, env: str, algo: str, options: dict[str, Any], values: dict[str, Any], name: str
) -> Iterator[Point]:
    """Return the trainings that differ in their seeds only.

    Args:
        config: The sweep.
        env: Environment id.
        algo: Algorithm.
        options: Options of the training.
        values: Hyperparameters by dotted name.
        name: Name of their folder.
    """
    for seed in config.seeds:
        folder = get_folder(config, env, algo) / name / f"seed{seed}"
        yield Point(env, algo, seed, nest(values), folder, options)


def get_folder(config: SweepConfig, env: str, algo: str) -> Path:
    """Return the folder of an id and an algorithm."""
    return Path(config.out) / drop_module(env) / algo


def make_training(point: Point, config: SweepConfig) -> TrainConfig:
    """Return what a point trains, on this machine."""
    cluster: dict[str, Any] = {}
    if point.workers is not None:
        cluster = {"worker_cpus": config.worker_cpus, "insecure": config.insecure}
    return TrainConfig(
        env=point.env,
        algo=point.algo,
        steps=config.steps,
        env_kwargs=config.env_kwargs,
        seed=point.seed,
        hyperparameters=point.hyperparameters,
        out=str(point.folder),
        price_per_hour=config.price_per_hour,
        progress="quiet",
        **cluster,
        **point.options,
    )


def _name_point(values: dict[str, Any]) -> str:
    """Return the name of the folder for options and hyperparameters."""
    return ",".join(f"{name}={value}" for name, value in values.items()).replace(os.sep, "_") or "preset"


def _check_points(config: SweepConfig) -> None:
    """Check that every training can start; the first value of a range stands for the whole range."""
    firsts = {name: found.values[:1] for name, found in map(parse_range, config.search)}
    hyper = list(make_grid({**parse_grid(config.hyper), **firsts}))
    grid = make_grid(parse_options(config.grid))
    for env, algo, options, values in itertools.product(config.env, config.algo, grid, hyper):
        trainings = [make_training(point, config) for point in list_seeds(config, env, algo, options, values, "")]
        check_hyperparameters(algo, resolve(trainings[0]).hyperparameters)  # the others differ by the seed alone
