"""How a point of a sweep is trained and evaluated."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.config import ResolvedConfig, TrainConfig
from gym_gazebo2.algos.evaluate import EvaluateConfig, Evaluation, evaluate
from gym_gazebo2.algos.runs.robot import keep_robot
from gym_gazebo2.algos.sweep.config import Point, SweepConfig, make_training
from gym_gazebo2.algos.sweep.results import read_evaluation
from gym_gazebo2.algos.train import resume, train
from gym_gazebo2.robots import PackedRobot, unpack_robot

__all__ = ["run_point", "run_point_on_node"]


def run_point(point: Point, config: SweepConfig) -> Evaluation:
    """Train or continue one point, and evaluate it, unless that was done."""
    return _run(make_training(point, config), point.folder, config.runs)


def run_point_on_node(
    folder: Path, address: str, *, training: ResolvedConfig, robot: PackedRobot | None, runs: int
) -> Evaluation:
    """Do the same on a machine of a cluster.

    Args:
        folder: Run folder there.
        address: Address of the cluster.
        training: What the point trains.
        robot: The robot's files, which this machine may not have; None for a built-in one, or where the folder holds them.
        runs: Episodes of the evaluation.
    """
    training = dataclasses.replace(
        training,
        out=str(folder),
        address=None if training.workers is None else address,
        stored_robot=None if robot is None else str(unpack_robot(robot)),
    )
    if _is_begun(folder):
        keep_robot(folder, training)  # a run that was lost at its very beginning may have come without its robot
    return _run(training, folder, runs)


def _run(training: TrainConfig, folder: Path, runs: int) -> Evaluation:
    if not _is_begun(folder):
        train(training)
    # A run that was begun on a cluster may go on here, and the other way round.
    place: dict[str, Any] = {}
    if training.workers is not None:
        place = {"address": training.address or "local", "insecure": training.insecure, "worker_cpus": training.worker_cpus}
    run = resume(folder, **place)
    return read_evaluation(run, runs) or evaluate(run.path, EvaluateConfig(runs=runs))


def _is_begun(folder: Path) -> bool:
    return (folder / "config.json").is_file()
