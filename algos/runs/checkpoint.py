"""Checkpoints: everything that decides how a training goes on, in files that execute nothing when read.

A checkpoint is taken between two iterations. It holds what the algorithm remembers (``model_state``), the
environments' state, every random generator and the statistics behind the log, so that a resumed run equals an
uninterrupted one on the same processor type and number of threads. Where the environments cannot be saved (workers of
their own, Gazebo), all else is, and the arms start new episodes.
"""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from gym_gazebo2.algos.runs.model_file import (
    UNREADABLE,
    get_statistics,
    read_arrays,
    read_tensors,
    set_statistics,
    write_arrays,
)
from gym_gazebo2.algos.runs.model_state import (
    begin_anew,
    get_arrays,
    get_counters,
    get_tensors,
    set_arrays,
    set_counters,
    set_tensors,
)
from gym_gazebo2.algos.runs.writing import AGAIN, write_atomically
from gym_gazebo2.algos.vec_env import BatchedVecEnv
from gym_gazebo2.errors import RunError, UnsupportedError

__all__ = ["find_checkpoint", "load_checkpoint", "load_newest", "save_checkpoint"]

T = TypeVar("T")

KEPT = 3
"""Older checkpoints are deleted."""


def save_checkpoint(folder: Path, model: BaseAlgorithm, training: dict[str, Any], then: str = AGAIN) -> None:
    """Write the state of a training between two iterations.

    Args:
        folder: Folder of the checkpoints.
        model: The model that learns.
        training: JSON values of the runner itself, returned by ``load_checkpoint``.
        then: What to do where it cannot be written, besides making room.

    Raises:
        RunError: It cannot be written; those that are there stay as they are.
    """
    counters = {
        **get_counters(model),
        "algorithm": type(model).__name__,
        "python_random": random.getstate(),
        "numpy_random": _to_json(np.random.get_state(legacy=False)),
        "torch_threads": torch.get_num_threads(),
        "training": training,
    }
    arms = _get_arms_state(model)
    arrays, counters["generators"] = arms or ({}, None)
    arrays |= _get_normalizer_state(model)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("state.json", json.dumps(counters, default=_to_json))
        archive.writestr("environments.npz", write_arrays(arrays))
        archive.writestr("model.npz", write_arrays(get_arrays(model)))
        archive.writestr("tensors.pth", _save_tensors(get_tensors(model)))
        archive.writestr("torch_random.pth", _save_tensors(torch.get_rng_state()))
    write_atomically(folder / f"{model.num_timesteps:012d}.zip", content.getvalue(), then)
    for old in sorted(folder.glob("*.zip"))[:-KEPT]:
        old.unlink()


def find_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint, or None."""
    return max(folder.glob("*.zip"), default=None)


def load_newest(folder: Path, model: BaseAlgorithm, make_training: Callable[..., T]) -> T | None:
    """Put a model and its environments into the state of the newest checkpoint that can be read; None if there is none.

    Raises:
        RunError: There are checkpoints, and none can be read.
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
        raise RunError(f"{' '.join(map(str, failures))} None is left: delete {folder} to start anew.") from failures[0]
    return None


def load_checkpoint(path: Path, model: BaseAlgorithm, make_training: Callable[..., T]) -> T:
    """Put a model and its environments into the state of a checkpoint.

    Args:
        path: The checkpoint.
        model: A fresh model of the same training.
        make_training: Called with the ``training`` values that were saved with it, as keywords.

    Returns:
        What ``make_training`` returned.

    Raises:
        RunError: The file is corrupt or of another kind of training.
    """
    try:
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
        _set_arms_state(model, arrays, counters["generators"])
    except RunError:
        raise
    except UNREADABLE as error:
        raise RunError(f"The checkpoint {path} is corrupt: {type(error).__name__}: {error}.") from error
    return training


def _check_algorithm(path: Path, came: str, model: BaseAlgorithm) -> None:
    if came != type(model).__name__:
        raise RunError(f"The checkpoint {path} is one of {came}, expected one of {type(model).__name__} as config.json says.")


def _set_generators(counters: dict[str, Any], torch_state: torch.Tensor) -> None:
    """Set the global random generators."""
    version, internal, gauss = counters["python_random"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(_from_json(counters["numpy_random"]))
    torch.set_rng_state(torch_state)


def _get_normalizer_state(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the running statistics, where observations and rewards are normalised."""
    normalizer = model.get_vec_normalize_env()
    if normalizer is None:
        return {}
    statistics = {f"normalization.{key}": value for key, value in get_statistics(normalizer).items()}
    return {**statistics, "discounted_returns": normalizer.returns}


def _set_normalizer_state(model: BaseAlgorithm, arrays: dict[str, Any]) -> None:
    if (normalizer := model.get_vec_normalize_env()) is not None:
        set_statistics(normalizer, _strip(arrays, "normalization."))
        normalizer.returns = arrays["discounted_returns"]


def _get_arms_state(model: BaseAlgorithm) -> tuple[dict[str, Any], list[Any]] | None:
    """Return arrays and generator states of the arms; None if they have none."""
    env = model.get_env().unwrapped
    if not isinstance(env, BatchedVecEnv):
        return None
    try:
        state = env.env.core.get_state()
    except UnsupportedError:
        return None
    arrays: dict[str, Any] = {f"env.{key}": value for key, value in state.items()}
    arrays |= {"steps": env.env.get_steps(), "returns": env.returns, "lengths": env.lengths}
    return arrays, [rng.bit_generator.state for rng in env.env.np_random]


def _set_arms_state(model: BaseAlgorithm, arrays: dict[str, Any], generators: list[Any] | None) -> None:
    """Continue the arms' episodes; where they were not saved, new ones begin, from seeds not yet used."""
    env = model.get_env().unwrapped
    if generators is None or not isinstance(env, BatchedVecEnv):
        warnings.warn(
            "This training's arms cannot be saved: learning goes on from the checkpoint, but with new episodes, so the "
            "result is not that of an uninterrupted run. Runs with --vec batched --backend mujoco resume exactly.",
            stacklevel=5,
        )
        env.seed(None)  # drawn from NumPy's generator, which the checkpoint restored
        begin_anew(model)
        return
    env.env.core.set_state(_strip(arrays, "env."))
    env.env.set_steps(arrays["steps"])
    env.returns[:], env.lengths[:] = arrays["returns"], arrays["lengths"]
    for rng, state in zip(env.env.np_random, generators, strict=True):
        rng.bit_generator.state = state


def _strip(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _save_tensors(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _to_json(value: Any) -> Any:
    """Return NumPy values as plain ones."""
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def _from_json(state: dict[str, Any]) -> dict[str, Any]:
    inner = state["state"]
    return {**state, "state": {**inner, "key": np.array(inner["key"], dtype=np.uint32)}}
