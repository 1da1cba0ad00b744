"""What a sweep finds from before: whether it is a result of the same command."""

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
APART = ("out", "progress", "checkpoint_seconds", "hyperparameters")
"""Arguments of a training that change nothing of its result, or are compared one by one."""


def check_same(path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any], advice: str) -> None:
    """Refuse what is stored unless it was asked for in the same way; names that it does not hold count as the same.

    Args:
        path: Where it is stored.
        stored: Name → value of what is there.
        asked: Name → value of what is asked for now.
        advice: What to do.

    Raises:
        RunError: They differ; the message says in what.
    """
    differing = [name for name in asked if name in stored and stored[name] != asked[name]]
    if differing:
        told = "; ".join(f"{name} is {stored[name]!r}, asked for {asked[name]!r}" for name in differing)
        raise RunError(f"{path} is of another command: {told}. {advice}")


def check_stored(path: Path, training: TrainConfig) -> None:
    """Refuse a run, and an evaluation of it, that a sweep's own would not repeat but for the number of its episodes.

    Raises:
        RunError: The run was asked for something else, was evaluated otherwise, or a file of it is corrupt.
    """
    if not (path / "config.json").is_file():
        return
    run, asked = RunFolder.open(path), resolve(training)
    theirs, ours = _flatten(run.read_config()), _flatten(asked)
    nothing = dict.fromkeys([*ours, *theirs])
    check_same(path, nothing | theirs, nothing | ours, OTHER_OUT)
    if (path / "evaluation.json").is_file():
        own = vars(EvaluateConfig(start_noise=asked.start_noise, backend=asked.backend)).items()
        advice = f"Evaluate it again with: gym-gazebo2 evaluate {path}, or give the sweep another --out."
        stored, kept = run.read_json("evaluation.json"), {name: value for name, value in own if name != "runs"}
        check_same(path / "evaluation.json", stored, kept, advice)


def read_evaluation(run: RunFolder, runs: int) -> Evaluation | None:
    """Return a run's evaluation, or None where there is none of so many episodes."""
    if not (run.path / "evaluation.json").is_file():
        return None
    stored, fields = run.read_json("evaluation.json"), {field.name for field in dataclasses.fields(Evaluation)}
    return Evaluation(**{key: stored[key] for key in stored if key in fields}) if stored.get("runs") == runs else None


def _flatten(config: TrainConfig) -> dict[str, Any]:
    return {name: value for name, value in vars(config).items() if name not in APART} | config.hyperparameters
