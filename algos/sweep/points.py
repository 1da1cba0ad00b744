"""How a point of a sweep is trained and evaluated."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gym_gazebo2.algos.evaluate import EvaluateConfig, Evaluation, evaluate
from gym_gazebo2.algos.sweep.config import Point, SweepConfig, make_training
from gym_gazebo2.algos.sweep.results import read_evaluation
from gym_gazebo2.algos.train import resume, train

__all__ = ["run_point", "run_point_on_node"]


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
