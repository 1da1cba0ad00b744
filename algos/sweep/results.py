"""Checks that results already in a sweep's folder belong to the same sweep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.config import TrainConfig, resolve
from gym_gazebo2.algos.evaluate import EvaluateConfig, Evaluation
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.errors import RunError

__all__ = ["OTHER_OUT", "check_same", "check_stored", "read_evaluation"]

OTHER_OUT = "Give the sweep another folder with --out."
NOT_COMPARED = (
    *("out", "progress", "checkpoint_seconds", "hyperparameters", "price_per_hour"),
    *("address", "invite", "insecure", "missing_workers", "worker_cpus", "stored_robot"),
)
"""Fields of a training that do not change its result; hyperparameters are compared one by one instead."""

NOT_OF_EVALUATION = ("runs", "out", "env", "algo")
"""Fields of an ``EvaluateConfig`` that may differ, or that a run's own configuration gives."""


def check_same(path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any], advice: str) -> None:
    """Check that a stored result has the values that are asked for. Names that it does not hold count as equal.

    Args:
        path: Where it is stored.
        stored: Name → value of the stored result.
        asked: Name → value asked for now.
        advice: What to do about a difference, for the error.

    Raises:
        RunError: They differ; the message lists the differences.
    """
    differing = [name for name in asked if name in stored and stored[name] != asked[name]]
    if differing:
        differences = "; ".join(f"{name} is {stored[name]!r}, asked for {asked[name]!r}" for name in differing)
        raise RunError(f"{path} is the result of another command: {differences}. {advice}")


def check_stored(path: Path, training: TrainConfig) -> None:
    """Check that a run, and its evaluation, are results of this sweep; only the number of episodes may differ.

    Raises:
        RunError: The run or its evaluation has other settings, or one of its files is corrupt.
    """
    if not (path / "config.json").is_file():
        return
    run, asked = RunFolder.open(path), resolve(training)
    theirs, ours = _flatten(run.read_config()), _flatten(asked)
    nothing = dict.fromkeys([*ours, *theirs])
    check_same(path, nothing | theirs, nothing | ours, OTHER_OUT)
    if (path / "evaluation.json").is_file():
        own = (vars(EvaluateConfig(start_noise=asked.start_noise)) | {"backend": asked.backend or ""}).items()
        advice = f"Evaluate it again with: gym-gazebo2 evaluate {path}, or give the sweep another --out."
        stored, kept = run.read_json("evaluation.json"), {name: value for name, value in own if name not in NOT_OF_EVALUATION}
        check_same(path / "evaluation.json", stored, kept, advice)


def read_evaluation(run: RunFolder, runs: int) -> Evaluation | None:
    """Return a run's evaluation, or None if it has none with this number of episodes."""
    if not (run.path / "evaluation.json").is_file():
        return None
    stored, fields = run.read_json("evaluation.json"), {field.name for field in dataclasses.fields(Evaluation)}
    return Evaluation(**{key: stored[key] for key in stored if key in fields}) if stored.get("runs") == runs else None


def _flatten(config: TrainConfig) -> dict[str, Any]:
    return {name: value for name, value in vars(config).items() if name not in NOT_COMPARED} | config.hyperparameters
