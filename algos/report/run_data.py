"""The contents of a run's folder, each file read once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.choices import MODELS
from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.distributed.history import read_sessions
from gym_gazebo2.algos.measures import get_measures, to_si
from gym_gazebo2.algos.report.rows import CURVE, EVALUATION, TRAINING, Fields
from gym_gazebo2.algos.runs.episodes import EpisodeTable, read_episodes
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.machines import Holding, compute_cost, count_hours, read_holdings
from gym_gazebo2.tasks import Measure

__all__ = ["Columns", "RunData", "read_run"]

COLUMNS = ("steps", "wall_s", "reward")
"""Columns of ``RunData.curve`` that exist for every run, also before its first evaluation."""

Array = NDArray[np.float64]
Columns = dict[str, tuple[Array, Array]]
"""A dictionary from a column of the log to the steps at which it has a value, and the values."""


@dataclasses.dataclass(frozen=True)
class RunData:
    """A run, finished or not.

    Attributes:
        run: The folder.
        config: The configuration of the training.
        about: The whole ``config.json``, with versions, commit and machine.
        episodes: The episodes of the training.
        log: The columns of ``progress.csv``.
        curve: The evaluations during the training: steps, wall_s, reward, the task's measures [SI units] and success_rate,
            (n,) each; NaN where an evaluation has no such value.
        target: Wall time [s] and steps at which the training first met its target; None if it has not.
        training: ``training.json``; None while the training is not finished.
        evaluation: ``evaluation.json``; None before the first evaluation.
        held: Times for which machines were held, of ``machines.json``; empty for runs of older versions.
        sessions: The workers of each session, of ``workers.json``; empty where no worker took part.
    """

    run: RunFolder
    config: ResolvedConfig
    about: dict[str, Any]
    episodes: EpisodeTable
    log: Columns
    curve: dict[str, Array]
    target: tuple[float, int] | None
    training: dict[str, Any] | None
    evaluation: dict[str, Any] | None
    held: tuple[Holding, ...]
    sessions: list[dict[str, Any]]

    @property
    def measures(self) -> Mapping[str, Measure]:
        """The measures of the run's task."""
        return get_measures(self.config.env)

    @property
    def reports_success(self) -> bool:
        """Whether the environment reports success, as far as episodes and evaluations show; True before the first."""
        if not len(self.episodes) and not len(self.curve["steps"]):
            return True
        return "success_rate" in self.curve or bool(np.isfinite(self.episodes.success).any())

    @property
    def wall_s(self) -> float:
        """Wall time of the training so far [s]."""
        if self.training is not None:
            return float(self.training["train_wall_s"])
        return max((times[-1] for times in (self.episodes.wall_s, self.curve["wall_s"]) if len(times)), default=0.0)

    @property
    def steps(self) -> int:
        """Environment steps of the training so far."""
        if self.training is not None:
            return int(self.training["train_steps"])
        return int(max((steps[-1] for steps in (self.episodes.steps, self.curve["steps"]) if len(steps)), default=0))

    @property
    def model(self) -> Path | None:
        """The model to show: the evaluated one, else the last, else the best so far. None before the first."""
        names = ((self.evaluation or {}).get("model"), *MODELS)
        paths = (self.run.get_model(name) for name in names if name in MODELS)
        return next((path for path in paths if path.is_file()), None)

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """Times for which machines were held. A run without a record counts as one machine of its own for its wall time."""
        return self.held or (Holding(str(self.run.path), "", 0.0, self.wall_s),)

    @property
    def machine_hours(self) -> float:
        """Machine-hours of the training so far."""
        return count_hours(self.holdings)

    def compute_cost(self, prices: Mapping[str, float] | None) -> float | None:
        """Return the money for the training so far; None where a machine has no price.

        Args:
            prices: Prices by type of machine; None: those that the run stores.
        """
        return compute_cost(self.holdings, prices or self.config.price_per_hour)

    def get_wall(self, steps: Array) -> Array:
        """Return the wall times [s] at which the training had made these numbers of steps, by linear interpolation."""
        known = np.concatenate([[0.0], self.episodes.steps, self.curve["steps"], [self.steps]])
        times = np.concatenate([[0.0], self.episodes.wall_s, self.curve["wall_s"], [self.wall_s]])
        order = np.lexsort((times, known))
        return np.interp(steps, known[order], times[order])


def read_run(path: str | os.PathLike[str], results: Path | None = None) -> RunData:
    """Read a run.

    Args:
        path: The run's folder.
        results: A folder whose evaluation, if it has one, stands in place of the run's own.

    Raises:
        RunError: The folder holds no run, or a file of it is corrupt.
    """
    run = RunFolder.open(path)
    config, about = run.read_description()
    evaluated = run if results is None or not (results / "evaluation.json").is_file() else RunFolder(results)
    rows = (_read_optional(run, "curve.json", CURVE) or {"evaluations": []})["evaluations"]
    return RunData(
        run=run,
        config=config,
        about=about,
        episodes=read_episodes(run.path),
        log=_read_log(run),
        curve=_make_columns([to_si(row) for row in rows]),
        target=run.read_target(),
        training=_read_optional(run, "training.json", TRAINING),
        evaluation=_read_optional(evaluated, "evaluation.json", EVALUATION),
        held=tuple(read_holdings(run.path)),
        sessions=read_sessions(run),
    )


def _make_columns(rows: Sequence[Mapping[str, float]]) -> dict[str, Array]:
    names = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    return {name: np.array([row.get(name, np.nan) for row in rows], dtype=float) for name in names}


def _read_optional(run: RunFolder, name: str, fields: Fields) -> dict[str, Any] | None:
    return run.read_json(name, fields) if (run.path / name).is_file() else None


def _read_log(run: RunFolder) -> Columns:
    cells: dict[str, list[tuple[float, float]]] = {}
    for row in run.read_progress():
        for name, value in row.items():
            cells.setdefault(name, []).append((row["time/total_timesteps"], value))
    pairs = {name: np.array(values) for name, values in cells.items()}
    return {name: (values[:, 0], values[:, 1]) for name, values in pairs.items()}
