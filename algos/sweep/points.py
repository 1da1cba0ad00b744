"""The points of a sweep: what each trains, where, and how it is trained and evaluated."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gym_gazebo2.algos.config import TrainConfig
from gym_gazebo2.algos.env_id import drop_module
from gym_gazebo2.algos.evaluate import EvaluateConfig, Evaluation, evaluate
from gym_gazebo2.algos.settings.values import nest
from gym_gazebo2.algos.sweep.results import read_evaluation
from gym_gazebo2.algos.sweep.search import make_grid, parse_grid, parse_options
from gym_gazebo2.algos.train import resume, train

if TYPE_CHECKING:
    from gym_gazebo2.algos.sweep.config import SweepConfig

__all__ = ["Point", "get_folder", "list_points", "list_seeds", "make_training", "run_point", "run_point_on_node"]


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


def make_training(point: Point, config: SweepConfig, address: str | None = None) -> TrainConfig:
    """Return what a point trains.

    Args:
        point: The point.
        config: The sweep.
        address: The cluster on which its workers run, if it has any; None: this machine.
    """
    cluster: dict[str, Any] = {} if point.workers is None else {"worker_cpus": config.worker_cpus, "address": address}
    return TrainConfig(
        env=point.env,
        algo=point.algo,
        steps=config.steps,
        env_kwargs=config.env_kwargs,
        seed=point.seed,
        hyperparameters=point.hyperparameters,
        out=str(point.folder),
        progress="quiet",
        **cluster,
        **point.options,
    )


def run_point(point: Point, config: SweepConfig, address: str | None = None) -> Evaluation:
    """Train or continue one point, and evaluate it, unless that was done."""
    if not (point.folder / "config.json").is_file():
        train(make_training(point, config, address))
    # A run that was begun on a cluster may go on here, and the other way round.
    run = resume(point.folder, address=None if point.workers is None else address or "local")
    return read_evaluation(run, config.runs) or evaluate(run.path, EvaluateConfig(runs=config.runs))


def run_point_on_node(folder: Path, address: str, *, point: Point, config: SweepConfig) -> Evaluation:
    """Do the same on a machine of a cluster.

    Args:
        folder: Run folder there.
        address: Address of the cluster.
        point: The point.
        config: The sweep.
    """
    return run_point(dataclasses.replace(point, folder=folder), config, address)


def _name_point(values: dict[str, Any]) -> str:
    """Return the name of the folder for options and hyperparameters."""
    return ",".join(f"{name}={value}" for name, value in values.items()).replace(os.sep, "_") or "preset"
