"""Checkpoints: everything that decides how a training goes on, in files that execute nothing when they are read.

A checkpoint is taken between two iterations. It holds the state of the algorithm (``model_state``), of the environments, of
every random generator, and the statistics behind the log. A resumed run therefore equals an uninterrupted one, on the same
processor type and with the same number of threads. If the environments cannot be saved (worker processes, Gazebo), everything
else is, and the arms start new episodes.
"""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from gym_gazebo2.algos.runs.model_file import (
    UNREADABLE,
    get_statistics,
    read_arrays,
    read_tensors,
    set_statistics,
    write_arrays,
    write_tensors,
)
from gym_gazebo2.algos.runs.model_state import (
    Arrays,
    get_arrays,
    get_counters,
    get_tensors,
    select,
    set_arrays,
    set_counters,
    set_tensors,
    start_new_episodes,
)
from gym_gazebo2.algos.runs.writing import convert_os_errors, write_atomically
from gym_gazebo2.errors import RunError, UnsupportedError

__all__ = ["Resumable", "find_checkpoint", "load_checkpoint", "load_newest", "save_checkpoint"]

T = TypeVar("T")

MAX_CHECKPOINTS = 3
"""Number of checkpoints that are kept: if the newest is damaged, an older one still continues the run."""


@runtime_checkable
class Resumable(Protocol):
    """A VecEnv whose episodes continue from a checkpoint to the bit. Others start new episodes."""

    def get_state(self) -> tuple[Mapping[str, NDArray[Any]], Sequence[Any]]:
        """Return arrays by name, and the state of each environment's random generator as JSON values.

        Raises:
            UnsupportedError: The state cannot be saved.
        """

    def set_state(self, arrays: Mapping[str, NDArray[Any]], generators: Sequence[Any]) -> None:
        """Continue from the result of ``get_state``. ``arrays`` may hold further names, which are ignored."""


def save_checkpoint(folder: Path, model: BaseAlgorithm, training: dict[str, Any]) -> None:
    """Write the state of a training between two iterations, and delete the oldest checkpoints.

    Args:
        folder: Folder of the checkpoints.
        model: The model that learns.
        training: JSON values that the training loop remembers. ``load_checkpoint`` hands them to its ``make_training``.

    Raises:
        WriteError: The checkpoint cannot be written; existing ones stay as they are.
    """
    counters = {
        **get_counters(model),
        "algorithm": type(model).__name__,
        "python_random": random.getstate(),
        "numpy_random": _to_json(np.random.get_state(legacy=False)),
        "torch_threads": torch.get_num_threads(),
        "training": training,
    }
    arrays, counters["generators"] = _get_env_state(model)
    arrays |= _get_normalizer_state(model)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("state.json", json.dumps(counters, default=_to_json))
        archive.writestr("environments.npz", write_arrays(arrays))
        archive.writestr("model.npz", write_arrays(get_arrays(model)))
        archive.writestr("tensors.pth", write_tensors(get_tensors(model)))
        archive.writestr("torch_random.pth", write_tensors(torch.get_rng_state()))
    # Twelve digits: the order of the names is the order of the steps.
    write_atomically(folder / f"{model.num_timesteps:012d}.zip", content.getvalue())
    for old in sorted(folder.glob("*.zip"))[:-MAX_CHECKPOINTS]:
        with convert_os_errors(old):
            old.unlink()


def find_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint, or None."""
    return max(folder.glob("*.zip"), default=None)


def load_newest(folder: Path, model: BaseAlgorithm, make_training: Callable[..., T]) -> T | None:
    """Put a model and its environments into the state of the newest readable checkpoint.

    Args:
        folder: Folder of the checkpoints.
        model: A fresh model of the same training.
        make_training: See ``load_checkpoint``.

    Returns:
        The result of ``make_training``; None if there is no checkpoint.

    Raises:
        RunError: There are checkpoints, but none can be read.
    """
    failures: list[RunError] = []
    for path in sorted(folder.glob("*.zip"), reverse=True):
        try:
            training = load_checkpoint(path, model, make_training)
        except RunError as error:
            failures.append(error)
            continue
        if failures:
            warnings.warn(f"{' '.join(map(str, failures))} Going on from the older {path}.", stacklevel=3)
        return training
    if failures:
        reasons = " ".join(map(str, failures))
        raise RunError(f"{reasons} No other checkpoint is left. Delete {folder} to start anew.") from failures[0]
    return None


def load_checkpoint(path: Path, model: BaseAlgorithm, make_training: Callable[..., T]) -> T:
    """Put a model and its environments into the state of a checkpoint.

    Args:
        path: The checkpoint.
        model: A fresh model of the same training.
        make_training: Called with the saved ``training`` values as keywords.

    Returns:
        The result of ``make_training``.

    Raises:
        RunError: The file is corrupt, or of another algorithm.
    """
    try:
        # Everything is read before anything is set, except the tensors: a damaged entry then leaves generators and
        # environments untouched, and an older checkpoint can still be loaded into the same model.
        with zipfile.ZipFile(path) as archive:
            counters = json.loads(archive.read("state.json"))
            arrays = read_arrays(archive.read("environments.npz"))
            model_arrays = read_arrays(archive.read("model.npz"))
            _check_algorithm(path, counters["algorithm"], model)
            set_tensors(model, read_tensors(archive.read("tensors.pth")))
            torch_state = read_tensors(archive.read("torch_random.pth"))
        training = make_training(**counters["training"])
        set_counters(model, counters)
        set_arrays(model, model_arrays)
        _set_generators(counters, torch_state)
        _set_normalizer_state(model, arrays)
        _set_env_state(model, arrays, counters["generators"])
    except RunError:
        raise
    except UNREADABLE as error:
        raise RunError(f"The checkpoint {path} is corrupt: {type(error).__name__}: {error}.") from error
    return training


def _check_algorithm(path: Path, actual: str, model: BaseAlgorithm) -> None:
    if actual != type(model).__name__:
        raise RunError(f"The checkpoint {path} is of {actual}, but config.json says {type(model).__name__}.")


def _set_generators(counters: dict[str, Any], torch_state: torch.Tensor) -> None:
    """Set the global random generators of Python, NumPy and torch."""
    version, internal, gauss = counters["python_random"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(_read_numpy_state(counters["numpy_random"]))
    torch.set_rng_state(torch_state)


def _get_normalizer_state(model: BaseAlgorithm) -> Arrays:
    """Return the running statistics, if observations and rewards are normalised."""
    normalizer = model.get_vec_normalize_env()
    if normalizer is None:
        return {}
    statistics = {f"normalization.{key}": value for key, value in get_statistics(normalizer).items()}
    return {**statistics, "discounted_returns": normalizer.returns}


def _set_normalizer_state(model: BaseAlgorithm, arrays: Arrays) -> None:
    if (normalizer := model.get_vec_normalize_env()) is not None:
        set_statistics(normalizer, select(arrays, "normalization."))
        normalizer.returns = arrays["discounted_returns"]


def _get_env_state(model: BaseAlgorithm) -> tuple[Arrays, list[Any] | None]:
    """Return arrays and generator states of the environments; no arrays and None if they cannot be saved."""
    env = model.get_env().unwrapped
    if not isinstance(env, Resumable):
        return {}, None
    try:
        arrays, generators = env.get_state()
    except UnsupportedError:
        return {}, None
    return dict(arrays), list(generators)


def _set_env_state(model: BaseAlgorithm, arrays: Arrays, generators: list[Any] | None) -> None:
    """Continue the episodes. Episodes that were not saved are replaced by new ones, with seeds that were not used yet."""
    env = model.get_env().unwrapped
    if generators is not None and isinstance(env, Resumable):
        env.set_state(arrays, generators)
        return
    warnings.warn(
        "The environments of this training cannot be saved: learning continues from the checkpoint, but with new episodes. "
        "The result will differ from that of an uninterrupted run. Runs with --vec batched --backend mujoco resume exactly.",
        stacklevel=5,
    )
    env.seed(None)  # drawn from NumPy's global generator, whose state the checkpoint restored
    start_new_episodes(model)


def _to_json(value: Any) -> Any:
    """Return NumPy values as plain ones."""
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def _read_numpy_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of NumPy's global generator, whose key JSON holds as a list."""
    inner = state["state"]
    return {**state, "state": {**inner, "key": np.array(inner["key"], dtype=np.uint32)}}
