"""A curriculum: a sequence of trainings. Each starts from the policy of the one before.

A file lists the stages. Each changes some fields of the stage before it, such as more objects, a higher bar or farther bins:

    stages:
      - {steps: 700_000, stop_when: "success_rate>=0.97"}
      - {steps: 300_000, max_episode_steps: 150, env_kwargs: {num_objects: 2}}

Every stage is an ordinary run in a folder of its own: OUT/stage1, OUT/stage2, …
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.config import TrainConfig
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.json import to_json
from gym_gazebo2.algos.runs.writing import write_atomically
from gym_gazebo2.algos.settings.files import read_mapping
from gym_gazebo2.algos.settings.values import merge, parse_text
from gym_gazebo2.algos.train import resume, train
from gym_gazebo2.algos.training.interrupt import report_resume_command
from gym_gazebo2.errors import InvalidArgumentError, RunError, UnknownNameError

__all__ = ["is_curriculum", "read_stages", "resume_curriculum", "train_curriculum"]

FILE = "curriculum.json"
"""The curriculum's file in its folder, from which it can be resumed."""
FIXED = ("out", "start_from", "seed", "algo")
"""Fields that a stage cannot change."""
ADVICE = "A curriculum is a mapping with the list 'stages', each a mapping of options of gym-gazebo2 train."


def read_stages(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the stages of a YAML or JSON file: for each, the fields of a ``TrainConfig`` that it changes.

    Raises:
        RunError: The file cannot be read, or holds no stages.
        UnknownNameError: A field does not exist, or a stage cannot change it.
    """
    content = read_mapping(Path(path), ADVICE)
    stages = content.get("stages")
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, dict) for stage in stages):
        raise RunError(f"{path} has no list of stages. {ADVICE}")
    names = [field.name for field in dataclasses.fields(TrainConfig) if field.name not in FIXED]
    for stage in stages:
        for name in stage:
            if name not in names:
                raise UnknownNameError(f"field of a stage in {path}", name, names)
    dictionaries = ("env_kwargs", "hyperparameters")
    return [{name: parse_text(value) if name in dictionaries else value for name, value in stage.items()} for stage in stages]


def train_curriculum(config: TrainConfig, stages: Sequence[Mapping[str, Any]]) -> list[RunFolder]:
    """Train the stages one after the other. The same call again continues: finished stages are left as they are.

    Args:
        config: The training that the stages change. ``out`` is the folder of all stages. If ``start_from`` is given, the first
            stage starts from it.
        stages: For each stage, the fields that it changes. Dictionaries are merged with those of the stage before.

    Returns:
        The runs.

    Raises:
        InvalidArgumentError: ``out`` is not given, or a stage has an invalid value.
        RunError: The folder holds another curriculum, or something else.
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came; a checkpoint is written first.
    """
    if config.out is None:
        raise InvalidArgumentError("out", None, sentence="A curriculum needs a folder. Give one with --out.")
    folder = Path(config.out)
    configs = _make_configs(config, stages, folder)  # before anything is written: an invalid stage is refused at once
    content = to_json({"arguments": dataclasses.asdict(config), "stages": [dict(stage) for stage in stages]})
    if (folder / FILE).is_file():
        if json.loads((folder / FILE).read_text()) != json.loads(content):
            raise RunError(f"{folder} holds another curriculum. Give the same options as before, or another --out.")
    elif folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} is not empty, and holds no curriculum. Give another --out.")
    else:
        write_atomically(folder / FILE, content)
    with report_resume_command(folder):
        return [_run_stage(stage) for stage in configs]


def is_curriculum(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder is that of a curriculum."""
    return (Path(path) / FILE).is_file()


def resume_curriculum(path: str | os.PathLike[str]) -> list[RunFolder]:
    """Continue a curriculum at its first stage that is not finished.

    Raises:
        RunError: The folder holds no curriculum, or a stage cannot be resumed.
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came; a checkpoint is written first.
    """
    content = read_mapping(Path(path) / FILE, "Give the folder of a curriculum.")
    config = TrainConfig(**{**content["arguments"], "out": str(path)})
    with report_resume_command(Path(path)):
        return [_run_stage(stage) for stage in _make_configs(config, content["stages"], Path(path))]


def _make_configs(config: TrainConfig, stages: Sequence[Mapping[str, Any]], folder: Path) -> list[TrainConfig]:
    """Return the configuration of each stage."""
    configs, fields, start = list[TrainConfig](), dict(vars(config)), config.start_from
    for number, stage in enumerate(stages, start=1):
        fields = merge(fields, stage)
        out = folder / f"stage{number}"
        configs.append(TrainConfig(**{**fields, "out": str(out), "start_from": start}))
        start = str(out)
    return configs


def _run_stage(config: TrainConfig) -> RunFolder:
    """Train a stage, resume it, or return it as it is if it is finished."""
    path = Path(str(config.out))
    return resume(path) if (path / "config.json").is_file() else train(config)
