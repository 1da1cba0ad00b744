"""Files that stable-baselines3's own ``save`` wrote: their weights and their network, without unpickling anything.

Such a file names neither the environment nor the algorithm, and it does not hold the statistics of a ``VecNormalize``. The
caller names the environment. The algorithm shows in the names of its settings. The statistics are an npz file beside the zip.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecNormalize

from gym_gazebo2.algos.networks import ACTIVATIONS
from gym_gazebo2.algos.runs.model_file import UNREADABLE, get_statistics, read_arrays, read_tensors, write_arrays
from gym_gazebo2.algos.runs.writing import write_atomically
from gym_gazebo2.errors import RunError, UnsupportedError

__all__ = ["guess_algorithm", "read_policy_kwargs", "read_weights", "save_normalization"]

MARKS = {
    "handover": "dagger",
    "top_quantiles_to_drop_per_net": "tqc",  # before target_entropy, which it has too
    "target_entropy": "sac",
    "policy_delay": "td3",  # also DDPG, which is TD3 with one critic
    "exploration_fraction": "dqn",
    "cg_max_steps": "trpo",
    "stats_samples": "acktr",
    "clip_range": "ppo",
    "normalize_advantage": "a2c",
}
"""Setting that a file names → algorithm; the first one that is there decides."""
CLASS = re.compile(r"<class '[\w.]*?(\w+)'>")
"""How stable-baselines3 writes a class as text, beside its pickle."""
UNUSED = (":type:", ":serialized:", "optimizer_class", "optimizer_kwargs", "use_sde")
"""Entries of the stored ``policy_kwargs`` that do not describe the network."""


def save_normalization(normalizer: VecNormalize, path: Path | str) -> None:
    """Write the statistics of a ``VecNormalize`` as npz, beside a model that stable-baselines3's ``save`` wrote.

    Args:
        normalizer: The environment that the model was trained in.
        path: The file: that of the model with the suffix .npz, such as "model.npz" for "model.zip".

    Raises:
        WriteError: The file cannot be written.
    """
    write_atomically(Path(path), write_arrays(get_statistics(normalizer)))


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, NDArray[Any]]]:
    """Return the weights of the policy, and the statistics of its normalisation, of any model file.

    Raises:
        RunError: The file is missing or corrupt, or its statistics are missing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            weights = read_tensors(archive.read("policy.pth"))
            if "normalization.npz" in archive.namelist():
                return weights, read_arrays(archive.read("normalization.npz"))
            is_normalized = json.loads(archive.read("data")).get("_last_original_obs") is not None
        beside = path.with_suffix(".npz")
        if beside.is_file():
            return weights, read_arrays(beside.read_bytes())
    except UNREADABLE as error:
        raise RunError(f"{path} is missing, corrupt, or not a model file: {type(error).__name__}: {error}") from error
    if is_normalized:
        then = f"Write them with: gym_gazebo2.algos.save_normalization(env, '{beside}')"
        raise RunError(f"{path} was trained in a VecNormalize, but {beside} with its statistics does not exist. {then}")
    return weights, {}


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings that ``save`` wrote as JSON. Entries that are pickles stay the text that they are.

    Raises:
        RunError: The file is missing or corrupt.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            settings = json.loads(archive.read("data"))
    except UNREADABLE as error:
        raise RunError(f"{path} is missing, corrupt, or not a model file: {type(error).__name__}: {error}") from error
    if not isinstance(settings, dict):
        raise RunError(f"{path} is corrupt: its settings are {settings!r:.40}, expected an object with fields.")
    return settings


def guess_algorithm(path: Path, weights: Mapping[str, torch.Tensor]) -> str:
    """Return the algorithm of a file, from the names of its settings and weights.

    Raises:
        RunError: The file is corrupt.
        UnsupportedError: The settings are those of no algorithm of the table.
    """
    settings = read_settings(path)
    found = next((algo for mark, algo in MARKS.items() if mark in settings), None)
    if found is None:
        raise UnsupportedError(f"Cannot see which algorithm {path} is of. Name it with --algo.")
    is_recurrent = any(name.startswith("lstm_actor") for name in weights)
    return "recurrent_ppo" if found == "ppo" and is_recurrent else found


def read_policy_kwargs(path: Path) -> dict[str, Any]:
    """Return the description of the network, with its activation by name.

    Raises:
        RunError: The file is corrupt.
        UnsupportedError: The network has parts that only its pickle describes, such as a features extractor of the user's.
    """
    kwargs = {name: value for name, value in read_settings(path).get("policy_kwargs", {}).items() if name not in UNUSED}
    for name, value in kwargs.items():
        if not (isinstance(value, str) and value.startswith("<")):
            continue
        match = CLASS.fullmatch(value)
        known = {cls.__name__: key for key, cls in ACTIVATIONS.items()} if name == "activation_fn" else {}
        if match is None or match[1] not in known:
            raise UnsupportedError(
                f"{path} has {name}={value}, which only its pickle describes, and pickles are not opened. Supported: "
                f"activation_fn of {', '.join(cls.__name__ for cls in ACTIVATIONS.values())}."
            )
        kwargs[name] = known[match[1]]
    return kwargs
