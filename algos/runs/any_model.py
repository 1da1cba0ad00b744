"""Open the model that a command names: a run's folder, a model file of a run, or a file of stable-baselines3's own ``save``."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.config import TrainConfig, resolve
from gym_gazebo2.algos.runs.action_meaning import get_action_meaning
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.model_file import ModelFile, read_model_file
from gym_gazebo2.algos.runs.sb3_file import guess_algorithm, read_policy_kwargs, read_weights
from gym_gazebo2.algos.table import get_algorithm
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["is_model_file", "open_model"]


def is_model_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is that of a file, and not of a run's folder."""
    return Path(path).is_file()


def open_model(path: str | os.PathLike[str], name: str = "model", env: str | None = None, algo: str | None = None) -> ModelFile:
    """Read a model without executing anything from it.

    Args:
        path: A run's folder, or a file.
        name: The model of a run: "model" or "best_model".
        env: Environment id of a file that stable-baselines3's ``save`` wrote, which does not hold it.
        algo: Algorithm of such a file; None: the one that its settings show.

    Raises:
        RunError: There is no model, or it is corrupt.
        InvalidArgumentError: ``env`` is missing, or given for a model that holds it.
        UnsupportedError: Only a pickle in the file describes the network or the algorithm.
    """
    file = Path(path)
    if not is_model_file(file):
        return _refuse(read_model_file(RunFolder.open(path).get_model(name)), env, algo)
    if _holds_config(file):
        return _refuse(read_model_file(file), env, algo)
    weights, statistics = read_weights(file)
    if env is None:
        sentence = f"{file} does not hold its environment, as stable-baselines3 wrote it. Name it with --env ID."
        raise InvalidArgumentError("env", env, sentence=sentence)
    algo = algo or guess_algorithm(file, weights)
    hyperparameters: dict[str, Any] = {"policy_kwargs": read_policy_kwargs(file)}
    if get_algorithm(algo).learns == "off_policy":
        hyperparameters["buffer_size"] = 1  # only the policy is used, and the default of a million steps takes memory
    normalize = any(key.startswith("mean.") for key in statistics)
    config = resolve(TrainConfig(env, algo, num_envs=1, preset="default", hyperparameters=hyperparameters, normalize=normalize))
    return ModelFile(file, config, get_action_meaning(config), weights, statistics)


def _holds_config(path: Path) -> bool:
    """Return whether a file holds its training's configuration. A corrupt one counts: its reader explains what is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "config.json" in archive.namelist() or "data" not in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return True


def _refuse(file: ModelFile, env: str | None, algo: str | None) -> ModelFile:
    """Refuse options for a model that holds its environment and its algorithm."""
    for name, given, own in (("env", env, file.config.env), ("algo", algo, file.config.algo)):
        if given not in (None, own):
            sentence = f"{file.path} was trained on {file.config.env} with {file.config.algo}. Leave out --{name} {given}."
            raise InvalidArgumentError(name, given, sentence=sentence)
    return file
