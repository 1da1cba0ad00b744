"""Start a training from a model: fine-tuning on another backend, or on another task with the same spaces."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from gym_gazebo2.algos.config import ResolvedConfig, TrainConfig
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.model_file import set_statistics
from gym_gazebo2.algos.runs.sb3_file import read_policy_kwargs, read_weights
from gym_gazebo2.algos.runs.writing import write_atomically
from gym_gazebo2.algos.training.widen import find_model_inputs, widen_statistics, widen_weights
from gym_gazebo2.errors import InvalidArgumentError, RunError

__all__ = ["adopt_network", "describe_start", "find_model", "keep_start", "load_start"]

COPY = "start_model.zip"
"""Copy of the model in the run's folder: an interrupted training must not depend on another folder. Its statistics are in
``start_model.npz`` where they are no part of the zip."""
TASK = ("robot", "tool_frame", "start_noise", "max_episode_steps", "env_kwargs")
"""Fields that belong to the model's own task. On another one, the id's own values are used."""
ACTION = ("control", "control_dt", "backend")
"""Fields that are kept on another task, too: with another meaning of actions the policy would have to learn anew."""


def describe_start(path: str, env: str | None = None) -> dict[str, Any]:
    """Return fields of a ``TrainConfig`` that fit a model, for a command line that does not give them.

    Args:
        path: A run's folder, or a model file.
        env: The environment id that is given; None: the model's.

    Raises:
        RunError: The run is not finished, or the file is corrupt. A path that does not exist is refused by ``train``.
    """
    arguments = _read_arguments(find_model(path)) if Path(path).exists() else {}
    if not arguments:  # a file of stable-baselines3's own save: its environment must be given
        return {"start_from": path}
    is_same = env in (None, arguments["env"])
    fields = ("env", "algo", *ACTION, *(TASK if is_same else ()))
    return {"start_from": path} | {name: arguments[name] for name in fields if arguments.get(name) is not None}


def adopt_network(config: TrainConfig) -> TrainConfig:
    """Return a configuration with network and normalisation of the model that it starts from, where it does not give them.

    Raises:
        RunError: There is no model, or it is corrupt.
    """
    if config.start_from is None or isinstance(config, ResolvedConfig):
        return config
    path = find_model(config.start_from)
    arguments, (_, statistics) = _read_arguments(path), read_weights(path)
    has_observations = any(name.startswith("mean.") for name in statistics)
    changes: dict[str, Any] = {"start_from": str(path.absolute())}
    if config.normalize is None:
        changes["normalize"] = has_observations
    if config.normalize_reward is None:
        changes["normalize_reward"] = bool(arguments.get("normalize_reward", statistics))
    if changes.get("normalize", config.normalize) != has_observations:
        now = "needs the normalisation of its observations" if has_observations else "was trained without normalisation"
        raise InvalidArgumentError("normalize", config.normalize, sentence=f"{path} {now}. Leave out normalize.")
    is_given = "policy_kwargs" in config.hyperparameters or any(
        value is not None for value in (config.num_layers, config.num_hidden, config.layer_norm, config.activation)
    )
    if not is_given:
        theirs = arguments["hyperparameters"].get("policy_kwargs", {}) if arguments else read_policy_kwargs(path)
        changes["hyperparameters"] = {**config.hyperparameters, "policy_kwargs": theirs}
    return dataclasses.replace(config, **changes)


def keep_start(run: RunFolder, config: ResolvedConfig) -> None:
    """Copy the model that a training starts from into its folder.

    Raises:
        RunError: The model is missing.
        WriteError: The copy cannot be written.
    """
    if config.start_from is None:
        return
    source, target = find_model(config.start_from), run.path / COPY
    if (beside := source.with_suffix(".npz")).is_file():
        write_atomically(target.with_suffix(".npz"), beside.read_bytes())
    write_atomically(target, source.read_bytes())


def load_start(run: RunFolder, config: ResolvedConfig, model: BaseAlgorithm) -> None:
    """Give an untrained model the weights and the statistics that its training starts from, if it starts from any.

    Optimiser, replay buffer and counters begin anew. Where the observation is longer, but begins as the model's own did, as
    with more objects, the new inputs have weights of zero.

    Raises:
        RunError: The model is missing or corrupt, or it does not fit the environment or the network.
    """
    if config.start_from is None:
        return
    copy = run.path / COPY
    path = copy if copy.is_file() else find_model(config.start_from)  # killed before the copy was made
    weights, statistics = read_weights(path)
    inputs = find_model_inputs(_read_arguments(path), config.env, config.make_kwargs)
    if inputs is not None and isinstance(space := model.observation_space, spaces.Box):
        weights = widen_weights(weights, model.policy.state_dict(), inputs, space)
        statistics = widen_statistics(statistics, inputs, space)
    try:
        model.policy.load_state_dict(weights)
        normalizer = model.get_vec_normalize_env()
        if normalizer is not None and statistics:  # else only rewards are normalised, from zero
            set_statistics(normalizer, statistics)
    except (RuntimeError, KeyError, ValueError) as error:
        sentence = f"{config.start_from} does not fit {config.env} with {config.algo}: {error}."
        raise RunError(f"{sentence} Both need equal spaces and networks.") from error


def find_model(path: str | Path) -> Path:
    """Return the model file of a run's folder, or the path itself.

    Raises:
        RunError: There is none.
    """
    found = RunFolder.open(path).model if Path(path).is_dir() else Path(path)
    if not found.is_file():
        hint = f", such as {path}/best_model.zip" if found != Path(path) else ""
        raise RunError(f"{found} does not exist. Name a finished run, or a model file{hint}.")
    return found


def _read_arguments(path: Path) -> dict[str, Any]:
    """Return the arguments of the training that made a model; empty for a file of stable-baselines3's own ``save``."""
    try:
        with zipfile.ZipFile(path) as archive:
            if "config.json" not in archive.namelist():
                return {}
            return dict(json.loads(archive.read("config.json"))["arguments"])
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, OSError) as error:
        raise RunError(f"{path} is corrupt, or not a model file: {type(error).__name__}: {error}") from error
