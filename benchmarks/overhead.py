"""Measure what the runner costs compared with stable-baselines3 alone, and the time of a long report and of ``--help``.

``python -m benchmarks.overhead`` trains the same PPO on the same arms twice: with ``model.learn`` and no callbacks, and through
the runner (logs, TensorBoard, episodes, checkpoints, progress). Both are measured from making the environment to the trained
model, and take turns. Evaluations are not overhead and are subtracted. The machine may be shared, so the best round counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import tyro

from gym_gazebo2.algos import RunFolder, TrainConfig, evaluate, train
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.report import ReportConfig, write_report
from gym_gazebo2.algos.runs.episodes import FILE_NAME, HEADER
from gym_gazebo2.algos.table import make_model
from gym_gazebo2.algos.training.callbacks import RunCallback
from gym_gazebo2.algos.training.progress import ProgressMode
from gym_gazebo2.algos.vec_env import make_vec_env

GOAL, REPORT_S, PAGE_MB, HELP_S = 0.03, 10.0, 5.0, 0.4
LONG_STEPS, EPISODE = 1_000_000, 100


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure what the runner costs.

    Attributes:
        env: Environment id.
        steps: Environment steps of each training.
        rounds: Trainings of each kind.
        progress: How the runner shows how far it is.
    """

    env: str = "MARA-v0"
    steps: int = 100_000
    rounds: int = 6
    progress: ProgressMode = "plain"


@dataclasses.dataclass(frozen=True)
class Cost:
    """Time of one training.

    Attributes:
        cpu_s: Processor time, of all threads [s].
        wall_s: Wall time [s].
    """

    cpu_s: float
    wall_s: float


@contextlib.contextmanager
def measuring(costs: list[Cost]) -> Iterator[None]:
    """Append the time of a block."""
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    costs.append(Cost(time.process_time() - cpu, time.perf_counter() - wall))


def train_bare(config: TrainConfig) -> Cost:
    """Train without the runner."""
    given, costs = resolve(config), list[Cost]()
    with measuring(costs), contextlib.closing(make_vec_env(given.env, given.num_envs, seed=0, **given.make_kwargs)) as env:
        make_model(given.algo, env, given.hyperparameters, given.seed).learn(given.steps)
    return costs[0]


def train_followed(config: TrainConfig) -> Cost:
    """Train through the runner, and subtract the evaluations."""
    costs, evaluations, original = list[Cost](), list[Cost](), RunCallback.evaluate

    def evaluate(self: RunCallback) -> None:
        with measuring(evaluations):
            original(self)

    RunCallback.evaluate = evaluate  # type: ignore[method-assign]
    try:
        with measuring(costs):
            train(config)
    finally:
        RunCallback.evaluate = original  # type: ignore[method-assign]
    out = {name: sum(getattr(one, name) for one in evaluations) for name in ("cpu_s", "wall_s")}
    return Cost(costs[0].cpu_s - out["cpu_s"], costs[0].wall_s - out["wall_s"])


def compare(arguments: Arguments, folder: Path) -> tuple[list[Cost], list[Cost]]:
    """Return the times of the trainings of each round, without and with the runner."""
    few = {"env": arguments.env, "steps": arguments.steps, "progress": arguments.progress, "eval_runs": 2}
    bare, followed = list[Cost](), list[Cost]()
    for i in range(-1, arguments.rounds):
        config = TrainConfig(**few, eval_every=10**9, out=str(folder / str(i)))
        if i < 0:  # imports and caches
            train_followed(dataclasses.replace(config, steps=1))
            continue
        bare.append(train_bare(config))
        followed.append(train_followed(config))
    return bare, followed


def time_report(run: RunFolder) -> tuple[float, float]:
    """Return seconds and megabytes of the report of a run of a million steps, without its film."""
    evaluate(run.path)
    rng, count = np.random.default_rng(0), LONG_STEPS // EPISODE
    columns = (np.arange(1, count + 1) * EPISODE, np.linspace(0, 60, count), rng.normal(-5, 1, count), np.full(count, EPISODE))
    rows = np.column_stack([*columns, rng.exponential(5, count), rng.integers(0, 2, count)])
    lines = (f"{','.join(f'{value:.6g}' if i else f'{value:.0f}' for i, value in enumerate(row))}\n" for row in rows)
    (run.path / FILE_NAME).write_text("".join((HEADER, *lines)))
    start = time.perf_counter()
    write_report(run.path, ReportConfig(video=False))
    return time.perf_counter() - start, (run.path / "report.html").stat().st_size / 1e6


def time_help() -> float:
    """Return the best time of some calls of the command line's help [s]."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "gym_gazebo2.cli", "--help"], capture_output=True, check=True, timeout=60)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure and print."""
    arguments = tyro.cli(Arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        bare, followed = compare(arguments, Path(name))
        for label, kind in (("processor", "cpu_s"), ("wall", "wall_s")):
            best = [min(getattr(cost, kind) for cost in costs) for costs in (bare, followed)]
            told = f"{best[0]:.2f} s without it, {best[1]:.2f} s with it, best of {arguments.rounds}; goal: at most {GOAL:.0%}"
            print(f"overhead of the runner, {label} time: {best[1] / best[0] - 1:+.1%} ({told})")
        seconds, size = time_report(RunFolder(Path(name) / "0"))
    print(
        f"report of {LONG_STEPS:,} steps, without film: {seconds:.1f} s, {size:.2f} MB (goal: {REPORT_S:g} s, {PAGE_MB:g} MB)"
    )
    print(f"gym-gazebo2 --help: {time_help():.2f} s (goal: {HELP_S:g} s)")


if __name__ == "__main__":
    main()
