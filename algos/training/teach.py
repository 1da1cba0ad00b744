"""The teacher of a training by imitation: its model is kept in the run's folder, so that a resume needs no other folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from gym_gazebo2.algos.config import ResolvedConfig, TrainConfig
from gym_gazebo2.algos.runs.any_model import open_model
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.writing import write_atomically
from gym_gazebo2.algos.table import get_algorithm
from gym_gazebo2.algos.training.start import find_model
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["call_teacher", "keep_teacher", "locate_teacher"]

COPY = "teacher.zip"
"""Copy of the teacher's model in the run's folder."""


def locate_teacher(config: TrainConfig) -> TrainConfig:
    """Return a configuration with the absolute path of the teacher's model file.

    Raises:
        InvalidArgumentError: The algorithm learns from a teacher, and none is given.
        RunError: There is no such model.
    """
    if get_algorithm(config.algo).learns != "imitation":
        return config
    teacher = config.hyperparameters.get("teacher")
    if not isinstance(teacher, str):
        sentence = f"{config.algo} needs a teacher. Give the folder of a finished run with --hyper teacher=RUN."
        raise InvalidArgumentError("teacher", teacher, sentence=sentence)
    path = str(find_model(teacher).absolute())
    return dataclasses.replace(config, hyperparameters={**config.hyperparameters, "teacher": path})


def call_teacher(config: ResolvedConfig, model: BaseAlgorithm, run: RunFolder | None = None) -> None:
    """Give a model its teacher, if it learns from one.

    Args:
        config: The training's configuration.
        model: The model.
        run: The run to resume, which has a copy of the teacher; None: a new one.

    Raises:
        RunError: There is no such model, or it is corrupt.
        InvalidArgumentError: It cannot teach in the environment of the training.
    """
    if get_algorithm(config.algo).learns != "imitation":
        return
    copy = None if run is None else run.path / COPY
    path = copy if copy is not None and copy.is_file() else Path(config.hyperparameters["teacher"])
    student: Any = model
    student.learn_from(open_model(path))


def keep_teacher(run: RunFolder, config: ResolvedConfig) -> None:
    """Copy the teacher's model into the folder of a training.

    Raises:
        WriteError: The copy cannot be written.
    """
    if get_algorithm(config.algo).learns == "imitation":
        write_atomically(run.path / COPY, Path(config.hyperparameters["teacher"]).read_bytes())
