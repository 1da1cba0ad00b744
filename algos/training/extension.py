"""Train a run further than it was asked for at first: a new number of steps, and what depends on that number."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.runs.checkpoint import find_checkpoint
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.checks import read_whole
from gym_gazebo2.errors import InvalidArgumentError, RunError

__all__ = ["extend", "report_schedules"]

SCHEDULE = "lin_"
"""Prefix of a hyperparameter that falls linearly to 0 at the last step."""


def extend(run: RunFolder, steps: int) -> None:
    """Write a new number of steps into a run's configuration. A finished run becomes one that ``resume`` continues.

    The finished model and its evaluation stay in the folder, under names with their number of steps. A stopping rule that
    ended the run is dropped: it would end the training again at once.

    Args:
        run: The run.
        steps: Environment steps in total, also those that the run has made.

    Raises:
        InvalidArgumentError: The run has made this many steps already.
        RunError: The run has no checkpoint to continue from, or another process trains in its folder.
        WriteError: The folder cannot be written to.
    """
    steps = read_whole("steps", steps)
    with run.hold():
        config = run.read_config()
        training = run.read_json("training.json") if run.model.is_file() else {}
        checkpoint = find_checkpoint(run.checkpoints)
        done = training.get("train_steps", 0 if checkpoint is None else int(checkpoint.stem))
        if steps == config.steps and (done >= steps or not training):
            return  # the same command again
        if steps <= done:
            sentence = f"{run.path} has trained {done:,} steps already. Give --steps the new total, more than {done}."
            raise InvalidArgumentError("steps", steps, sentence=sentence)
        if checkpoint is None and training:
            then = f"Start a new run from its model with: gym-gazebo2 train --from {run.path}"
            raise RunError(f"{run.path} has no checkpoint to continue from. {then}")
        if stopped_by := training.get("stopped_by"):
            _print(config, f"The run was ended by its stopping rule ({stopped_by}). It continues without stopping rules.")
            config = _drop_stops(config)
        # The order matters: killed in between, the run is one that resume finishes again from its last checkpoint.
        if training:
            run.set_aside(done)
        run.write_config(dataclasses.replace(config, steps=steps))


def report_schedules(config: ResolvedConfig, model: BaseAlgorithm) -> None:
    """Print the values with which settings continue that depend on the share of the training that is done.

    Without such settings nothing is printed: the result is that of an uninterrupted training of as many steps.
    """
    rest = 1.0 - model.num_timesteps / config.steps
    starts = {name: float(value.removeprefix(SCHEDULE)) for name, value in config.hyperparameters.items() if _falls(value)}
    values = {name: start * rest for name, start in starts.items()}
    if hasattr(model, "exploration_schedule"):  # of DQN
        values["exploration_rate"] = model.exploration_schedule(rest)
    if hasattr(model, "compute_teacher_share"):  # of DAgger
        values["teacher_share"] = model.compute_teacher_share(1.0 - rest)
    if values:
        shown = ", ".join(f"{name} continues at {value:.4g}" for name, value in values.items())
        place = f"the value for step {model.num_timesteps:,} of {config.steps:,}"
        effect = "The result differs from an uninterrupted training, which would have had other values from the start."
        _print(config, f"{shown}: {place}. {effect}")


def _falls(value: object) -> bool:
    return isinstance(value, str) and value.startswith(SCHEDULE)


def _drop_stops(config: ResolvedConfig) -> ResolvedConfig:
    """Return the configuration without stopping rules. A single rule was also the target, which stays."""
    target: dict[str, Any] = {}
    if len(config.stops) == 1 and config.target is None and config.target_error_mm is None:
        rule = config.stops[0]
        target = {"target": f"{rule.name}{rule.operator}{rule.value!r}"}
    return dataclasses.replace(config, stop_when=None, stop_error_mm=None, stop_reward=None, **target)


def _print(config: ResolvedConfig, text: str) -> None:
    if config.progress != "quiet":
        print(text, file=sys.stderr)
