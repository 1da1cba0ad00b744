"""Train many combinations of ids, algorithms, seeds and hyperparameters, in parallel and resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.evaluate import Evaluation
from gym_gazebo2.algos.measures import get_measures, read_measured
from gym_gazebo2.algos.processes import ChildKilledError
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.machines import FILE_NAME
from gym_gazebo2.algos.runs.writing import add_advice, check_writable
from gym_gazebo2.algos.sweep.config import Point, SweepConfig, get_folder, list_points, list_seeds, make_training
from gym_gazebo2.algos.sweep.execution import Executor, open_executor
from gym_gazebo2.algos.sweep.results import check_stored, read_evaluation
from gym_gazebo2.algos.sweep.search import Search, parse_grid, parse_options, parse_range
from gym_gazebo2.errors import BackendError, GymGazebo2Error, MissingDependencyError, RunError, WorkerError
from gym_gazebo2.output import BestEffortStream
from gym_gazebo2.signals import raise_on_signals
from gym_gazebo2.tasks import Measure

__all__ = ["Point", "SweepConfig", "list_points", "sweep"]

REWARD = Measure("mean reward", better="more")
"""The figure that a search maximises if the environment measures nothing."""

EXTERNAL_ERRORS = (RunError, BackendError, WorkerError, MissingDependencyError, OSError, MemoryError)
"""Errors that are no fault of the hyperparameters. A trial that ends with one stays open; the same command tries it again."""


@add_advice("Then run the command again, or choose another folder with --out.")
def sweep(config: SweepConfig) -> list[RunFolder]:
    """Train and evaluate the points that have no result yet.

    Returns:
        All runs of the sweep, also those that were finished before.

    Raises:
        RunError: The folder holds results of another command; or some trainings failed, which the message names, and the
            others are done. In a search, a training that fails because of its hyperparameters is a result, unless every trial
            fails.
        MissingDependencyError: The sweep is a search, and Optuna is not installed; or it needs Ray.
        InvalidArgumentError: A training has more workers than there is room for.
        WorkerError: No cluster answers at the address, or its machines have other versions.
    """
    check_writable(Path(config.out) / FILE_NAME)
    with raise_on_signals(), open_executor(config) as executor:
        if config.search:
            points = [point for env in config.env for algo in config.algo for point in _search(executor, config, env, algo)]
        else:
            points = list(list_points(config))
            _, failed = _run_all(executor, config, points)
            _check_none(failed, len(points))
    return [RunFolder.open(point.folder) for point in points]


def _search(executor: Executor, config: SweepConfig, env: str, algo: str) -> list[Point]:
    """Run the trials of a search, each with every seed. The value of a trial is the median over its seeds."""
    ranges = dict(map(parse_range, config.search))
    search = Search(get_folder(config, env, algo) / "optuna.log", ranges, config.seeds[0])
    asked = {name: getattr(config, name) for name in ("seeds", "steps", "runs", "env_kwargs")}
    asked |= {"grid": sorted(config.grid)} if config.grid else {}
    search.check_asked({"search": sorted(config.search), "hyper": sorted(config.hyper), **asked})
    fixed = {name: values[0] for name, values in parse_grid(config.hyper).items()}
    options = {name: values[0] for name, values in parse_options(config.grid).items()}

    def list_trial(number: int, values: dict[str, Any]) -> list[Point]:
        return list(list_seeds(config, env, algo, options, {**fixed, **values}, f"trial{number}"))

    while (left := config.trials - len(search.get_tried())) > 0:
        # Trials run side by side if one does not fill the machines. Optuna gets their results in the order of the trials, so
        # a search with the same number of slots repeats itself.
        trials = search.take(min(left, max(1, executor.slots // len(config.seeds))))
        _run_trials(executor, config, search, {number: list_trial(number, values) for number, values in trials})
    tried = search.get_done()
    if not tried:
        folder = get_folder(config, env, algo)
        raise RunError(f"All of the {config.trials} trials in {folder} failed. Choose other ranges, and another --out.")
    number, values, score = search.get_best()
    _print(f"{env} {algo}: the best of {config.trials} trials is number {number}, {_show_score(env, score)}, with {values}")
    return [point for number, values in tried for point in list_trial(number, values)]


def _run_trials(executor: Executor, config: SweepConfig, search: Search, trials: Mapping[int, Sequence[Point]]) -> None:
    """Run some trials and store their scores. A trial whose hyperparameters make a seed fail is stored as failed.

    Raises:
        RunError: A training failed for another reason; its trial stays open.
    """
    points = [point for members in trials.values() for point in members]
    results, failed = _run_all(executor, config, points)
    for number, members in trials.items():
        errors = [failed[point.folder] for point in members if point.folder in failed]
        if any(isinstance(error, EXTERNAL_ERRORS) for error in errors):
            continue
        search.tell(number, None if errors else statistics.median(_score(results[point.folder]) for point in members))
    if any(isinstance(error, EXTERNAL_ERRORS) for error in failed.values()):
        _check_none(failed, len(points))


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


def _run_all(
    executor: Executor, config: SweepConfig, points: Sequence[Point]
) -> tuple[dict[Path, Evaluation], dict[Path, Exception]]:
    """Train and evaluate in parallel; return folder → result, and folder → error of each training that failed."""
    for point in points:
        check_stored(point.folder, make_training(point, config))
    stored = {point.folder: _read_result(point, config) for point in points}
    results = {folder: result for folder, result in stored.items() if result is not None}
    failed: dict[Path, Exception] = {}
    missing = [point for point in points if stored[point.folder] is None]
    try:
        with contextlib.closing(executor.perform(missing)) as outcomes:
            for point, outcome in outcomes:
                if isinstance(outcome, Exception):  # reported with its folder; the other trainings go on
                    failed[point.folder] = outcome
                    _print(_describe(point.folder, outcome))
                else:
                    results[point.folder] = outcome
                    done = len(results) + len(failed)
                    _print(f"{done}/{len(points)}  {point.folder}  {_show_score(point.env, _score(outcome))}")
    except ChildKilledError as error:
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


def _print(line: str) -> None:
    print(line, file=BestEffortStream(sys.stderr))
