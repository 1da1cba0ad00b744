"""Train many combinations of ids, algorithms, seeds and hyperparameters, in parallel and resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.config import TrainConfig, resolve
from gym_gazebo2.algos.env_id import drop_module
from gym_gazebo2.algos.evaluate import EvaluateConfig, Evaluation, evaluate
from gym_gazebo2.algos.measures import get_measures, read_measured
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.writing import add_advice
from gym_gazebo2.algos.settings.options import EnvKwargs
from gym_gazebo2.algos.settings.values import nest
from gym_gazebo2.algos.sweep.results import check_stored, read_evaluation
from gym_gazebo2.algos.sweep.search import Search, make_grid, parse_grid, parse_range
from gym_gazebo2.algos.sweep.workers import WorkerKilledError, call_each
from gym_gazebo2.algos.table import check_hyperparameters
from gym_gazebo2.algos.train import resume, train
from gym_gazebo2.checks import read_whole
from gym_gazebo2.errors import BackendError, GymGazebo2Error, InvalidArgumentError, MissingDependencyError, RunError
from gym_gazebo2.output import BestEffortStream
from gym_gazebo2.signals import raise_on_signals
from gym_gazebo2.tasks import Measure

__all__ = ["Point", "SweepConfig", "sweep"]

REWARD = Measure("mean reward", better="more")
"""The figure that a search maximises if the environment measures nothing."""

EXTERNAL_ERRORS = (RunError, BackendError, MissingDependencyError, OSError, MemoryError)
"""Errors that are no fault of the hyperparameters. A trial that ends with one stays open; the same command tries it again."""


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """Train every combination of ids, algorithms, hyperparameters and seeds; run the same command again to continue.

    Attributes:
        env: Environment ids.
        algo: Algorithms.
        seeds: Seeds.
        hyper: Grid of hyperparameters, each NAME=VALUE,VALUE, such as policy_kwargs.net_arch=[64,64],[128]; or
            written as --hyper.NAME VALUE,VALUE.
        search: Ranges that Optuna searches, each NAME=KIND:LOW..HIGH (float, log, int) or NAME=choice:A,B.
        trials: Points that Optuna tries for every id and algorithm.
        steps: Environment steps of a training; None: the preset's.
        env_kwargs: Any keyword of the environments: its name follows the point, as in --env.backend gazebo.
        runs: Episodes per evaluation.
        jobs: Trainings side by side; None: one per processor.
        out: Folder of the sweep.
    """

    env: tuple[str, ...] = ("MARA-v0",)
    algo: tuple[str, ...] = ("ppo",)
    seeds: tuple[int, ...] = (0, 1, 2)
    hyper: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    trials: int = 20
    steps: int | None = None
    env_kwargs: EnvKwargs = dataclasses.field(default_factory=dict)
    runs: int = 30
    jobs: int | None = None
    out: str = "runs/sweep"

    def __post_init__(self) -> None:
        """Check the values, before anything is trained."""
        for name in ("env", "algo", "seeds"):
            if not getattr(self, name):
                raise InvalidArgumentError(name, getattr(self, name), "at least one")
        if twice := {parse_range(text)[0] for text in self.search} & set(parse_grid(self.hyper)):
            raise InvalidArgumentError("search", sorted(twice), "hyperparameters that are not in the grid as well")
        if self.search and any(len(values) > 1 for values in parse_grid(self.hyper).values()):
            raise InvalidArgumentError("hyper", self.hyper, "one value each beside a search: NAME=VALUE")
        read_whole("trials", self.trials)
        if self.jobs is not None:
            read_whole("jobs", self.jobs)
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
    """

    env: str
    algo: str
    seed: int
    hyperparameters: dict[str, Any]
    folder: Path


@add_advice("Then run the command again, or choose another folder with --out.")
def sweep(config: SweepConfig) -> list[RunFolder]:
    """Train and evaluate the points that have no result yet.

    Returns:
        All runs of the sweep, also those that were finished before.

    Raises:
        RunError: The folder holds results of another command; or some trainings failed, which the message names, and the
            others are done. In a search, a training that fails because of its hyperparameters is a result, unless every trial
            fails.
        MissingDependencyError: The sweep is a search, and Optuna is not installed.
    """
    with raise_on_signals():
        if config.search:
            points = [point for env in config.env for algo in config.algo for point in _search(config, env, algo)]
        else:
            points = list(list_points(config))
            _, failed = _run_all(config, points)
            _check_none(failed, len(points))
    return [RunFolder.open(point.folder) for point in points]


def list_points(config: SweepConfig) -> Iterator[Point]:
    """Return the trainings of a grid."""
    for env in config.env:
        for algo in config.algo:
            for values in make_grid(parse_grid(config.hyper)):
                yield from _seed(config, env, algo, values, name_point(values))


def name_point(values: dict[str, Any]) -> str:
    """Return the name of the folder for hyperparameters."""
    return ",".join(f"{name}={value}" for name, value in values.items()).replace(os.sep, "_") or "preset"


def _seed(config: SweepConfig, env: str, algo: str, values: dict[str, Any], name: str) -> Iterator[Point]:
    for seed in config.seeds:
        yield Point(env, algo, seed, nest(values), _get_folder(config, env, algo) / name / f"seed{seed}")


def _get_folder(config: SweepConfig, env: str, algo: str) -> Path:
    return Path(config.out) / drop_module(env) / algo


def _check_points(config: SweepConfig) -> None:
    """Check that every training can start; the first value of a range stands for the whole range."""
    firsts = {name: found.values[:1] for name, found in map(parse_range, config.search)}
    grid = list(make_grid({**parse_grid(config.hyper), **firsts}))
    for env, algo, values in itertools.product(config.env, config.algo, grid):
        trainings = [make_training(point, config) for point in _seed(config, env, algo, values, "")]
        check_hyperparameters(algo, resolve(trainings[0]).hyperparameters)  # the others differ by the seed alone


def _search(config: SweepConfig, env: str, algo: str) -> list[Point]:
    """Run the trials of a search, each with every seed. The value of a trial is the median over its seeds."""
    ranges = dict(map(parse_range, config.search))
    search = Search(_get_folder(config, env, algo) / "optuna.log", ranges, config.seeds[0])
    asked = {name: getattr(config, name) for name in ("seeds", "steps", "runs", "env_kwargs")}
    search.check_asked({"search": sorted(config.search), "hyper": sorted(config.hyper), **asked})
    fixed = {name: values[0] for name, values in parse_grid(config.hyper).items()}
    while len(search.get_tried()) < config.trials:
        number, values = next(iter(search.get_open()), None) or search.ask()
        points = list(_seed(config, env, algo, {**fixed, **values}, f"trial{number}"))
        search.tell(number, _measure(config, points))
    tried = search.get_done()
    if not tried:
        folder = _get_folder(config, env, algo)
        raise RunError(f"All of the {config.trials} trials in {folder} failed. Choose other ranges, and another --out.")
    number, values, score = search.get_best()
    _print(f"{env} {algo}: the best of {config.trials} trials is number {number}, {_show_score(env, score)}, with {values}")
    return [p for number, values in tried for p in _seed(config, env, algo, {**fixed, **values}, f"trial{number}")]


def _measure(config: SweepConfig, points: Sequence[Point]) -> float | None:
    """Return the median score of a trial's seeds, less is better; None if its hyperparameters make one fail."""
    results, failed = _run_all(config, points)
    if any(isinstance(error, EXTERNAL_ERRORS) for error in failed.values()):
        _check_none(failed, len(points))
    return None if failed else statistics.median(map(_score, results))


def _score(result: Evaluation) -> float:
    """Return the first measure in its shown unit, or the mean reward if nothing is measured; negated where more is better."""
    name, measure = next(iter(get_measures(result.env).items()), ("", REWARD))
    value = measure.scale * (read_measured(dataclasses.asdict(result))[name] if name else result.mean_reward)
    return value if measure.better == "less" else -value


def _show_score(env: str, score: float) -> str:
    """Return a score with its label and unit, such as "tool error 0.176 mm"."""
    measure = next(iter(get_measures(env).values()), REWARD)
    value = score if measure.better == "less" else -score
    return f"{measure.label} {value:.3f} {measure.unit}".rstrip()


def _run_all(config: SweepConfig, points: Sequence[Point]) -> tuple[list[Evaluation], dict[Path, Exception]]:
    """Train and evaluate in parallel; return the results, and folder → error of each training that failed."""
    for point in points:
        check_stored(point.folder, make_training(point, config))
    stored = {point.folder: _read_result(point, config) for point in points}
    results = [result for result in stored.values() if result is not None]
    failed: dict[Path, Exception] = {}
    missing = [point for point in points if stored[point.folder] is None]
    jobs = config.jobs or len(os.sched_getaffinity(0))
    try:
        with contextlib.closing(call_each(functools.partial(run_point, config=config), missing, jobs)) as outcomes:
            for point, outcome in outcomes:
                if isinstance(outcome, Exception):  # reported with its folder; the other trainings go on
                    failed[point.folder] = outcome
                    _print(_describe(point.folder, outcome))
                else:
                    results.append(outcome)
                    done = len(results) + len(failed)
                    _print(f"{done}/{len(points)}  {point.folder}  {_show_score(point.env, _score(outcome))}")
    except WorkerKilledError as error:
        raise RunError(
            f"The process of a training was killed, as happens when memory runs out; {len(results)} of {len(points)} are done. "
            "Run the same command again to continue, with fewer --jobs if memory is short."
        ) from error
    return results, failed


def _read_result(point: Point, config: SweepConfig) -> Evaluation | None:
    """Return the evaluation of a training that has ended, if it was evaluated."""
    if not (point.folder / "config.json").is_file():
        return None
    run = RunFolder.open(point.folder)
    return read_evaluation(run, config.runs) if run.model.is_file() else None


def _check_none(failed: Mapping[Path, Exception], total: int) -> None:
    if failed:
        failures = " ".join(_describe(folder, error) for folder, error in failed.items())
        may_pass = any(isinstance(error, EXTERNAL_ERRORS) for error in failed.values())
        advice = (
            "Run the same command again to continue." if may_pass else "What is done is kept; change or leave out what fails."
        )
        raise RunError(f"{len(failed)} of {total} trainings failed. {advice} {failures}") from next(iter(failed.values()))


def _describe(folder: Path, error: Exception) -> str:
    kind = "" if isinstance(error, GymGazebo2Error) else f"{type(error).__name__}: "
    return f"{folder}: {kind}{error}"


def run_point(point: Point, config: SweepConfig) -> Evaluation:
    """Train or continue one point, and evaluate it, unless that was done."""
    if not (point.folder / "config.json").is_file():
        train(make_training(point, config))
    run = resume(point.folder)
    return read_evaluation(run, config.runs) or evaluate(run.path, EvaluateConfig(runs=config.runs))


def make_training(point: Point, config: SweepConfig) -> TrainConfig:
    """Return what a point trains."""
    return TrainConfig(
        env=point.env,
        algo=point.algo,
        steps=config.steps,
        env_kwargs=config.env_kwargs,
        seed=point.seed,
        hyperparameters=point.hyperparameters,
        out=str(point.folder),
        progress="quiet",
    )


def _print(line: str) -> None:
    print(line, file=BestEffortStream(sys.stderr))
