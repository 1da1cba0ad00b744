"""The model file: what a deployment needs in one zip, read without executing anything from it.

The zip is stable-baselines3's own (its ``load`` opens it), with two entries added: ``config.json`` (how to build the
model, and what its actions mean) and ``normalization.npz``. Loading here builds the model from ``config.json`` and
reads the weights with ``weights_only``; the pickled entry that stable-baselines3 writes is never opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from gym_gazebo2.algos.config import ResolvedConfig, from_json
from gym_gazebo2.algos.runs.writing import OTHERWISE, write_atomically
from gym_gazebo2.algos.table import get_algorithm, make_model, wrap_actions
from gym_gazebo2.algos.vec_env import make_vec_env, normalize
from gym_gazebo2.errors import RunError, UnknownEnvError

__all__ = ["ModelFile", "read_arrays", "read_model_file", "read_tensors", "save_model", "write_arrays"]


UNREADABLE = (
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    EOFError,
    OSError,
)
"""What reading a damaged file can raise."""


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """The contents of a model file.

    Attributes:
        path: Where it was read.
        config: The training's configuration.
        action: What actions mean: control, control_dt [s], control_speed [rad/s], joint names.
        weights: The policy's parameters by name.
        normalization: Mean and variance of the observations by key ("" for a flat one); empty where not normalised.
    """

    path: Path
    config: ResolvedConfig
    action: dict[str, Any]
    weights: dict[str, torch.Tensor]
    normalization: dict[str, NDArray[np.float64]]

    def build(self) -> BaseAlgorithm:
        """Return the trained model; the environment that gives it its spaces moves nothing.

        Raises:
            RunError: The weights do not fit the environment id.
        """
        config = self.config
        kwargs = {**config.env_kwargs, "backend": "fake", "actions": get_algorithm(config.algo).actions}
        env = make_vec_env(config.env, config.num_envs, **kwargs)
        with contextlib.closing(env):
            model = make_model(config.algo, env, config.hyperparameters, config.seed)
        try:
            model.policy.load_state_dict(self.weights)
        except RuntimeError as error:
            raise RunError(f"{self.path} does not fit {config.env}: {error}") from error
        return model

    def wrap(self, env: VecEnv) -> VecEnv:
        """Return the environment with the algorithm's actions, and the training's observation statistics, frozen."""
        env = wrap_actions(self.config.algo, env)
        if not self.normalization:
            return env
        wrapped = normalize(env, training=False, norm_reward=False)
        set_statistics(wrapped, self.normalization)
        return wrapped


def save_model(
    path: Path, model: BaseAlgorithm, config: ResolvedConfig, action: Mapping[str, Any], then: str = OTHERWISE
) -> None:
    """Write a model file.

    Args:
        path: The file.
        model: The model.
        config: The training's configuration.
        action: What actions mean.
        then: What to do where it cannot be written, besides making room.

    Raises:
        RunError: The folder cannot be written to.
    """
    buffer = io.BytesIO()
    model.save(buffer)
    normalization = get_statistics(model.get_vec_normalize_env())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("config.json", json.dumps({"arguments": dataclasses.asdict(config), "action": dict(action)}, indent=2))
        archive.writestr("normalization.npz", write_arrays(normalization))
    write_atomically(path, buffer.getvalue(), then)


def read_model_file(path: Path) -> ModelFile:
    """Read a model file, executing nothing from it; the module of an id "module:Id" is imported, from your own path.

    Raises:
        RunError: The file is missing, corrupt, or not written by ``save_model``.
        UnknownEnvError: Its environment id is not registered here.
    """
    if not path.is_file():
        raise RunError(
            f"{path} does not exist: the training has not finished. Continue it with: gym-gazebo2 resume {path.parent}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("config.json"))
            weights = read_tensors(archive.read("policy.pth"))
            normalization = read_arrays(archive.read("normalization.npz"))
        return ModelFile(path, from_json(about["arguments"]), about["action"], weights, normalization)
    except UnknownEnvError:
        raise
    except UNREADABLE as error:
        raise RunError(f"{path} is corrupt or no model of gym-gazebo2: {type(error).__name__}: {error}") from error


def get_statistics(normalizer: VecNormalize | None) -> dict[str, NDArray[np.float64]]:
    """Return the running statistics of a ``VecNormalize`` as arrays."""
    if normalizer is None:
        return {}
    arrays = {"return": np.array([normalizer.ret_rms.mean, normalizer.ret_rms.var, normalizer.ret_rms.count])}
    rms = normalizer.obs_rms
    for key, value in (rms if isinstance(rms, dict) else {"": rms}).items():
        arrays[f"mean.{key}"], arrays[f"var.{key}"], arrays[f"count.{key}"] = value.mean, value.var, np.array(value.count)
    return arrays


def set_statistics(normalizer: VecNormalize, arrays: Mapping[str, NDArray[np.float64]]) -> None:
    """Put statistics of ``get_statistics`` into a ``VecNormalize``."""
    returns = normalizer.ret_rms
    returns.mean, returns.var, returns.count = arrays["return"][0], arrays["return"][1], float(arrays["return"][2])
    rms = normalizer.obs_rms
    for key, value in (rms if isinstance(rms, dict) else {"": rms}).items():
        value.mean, value.var, value.count = arrays[f"mean.{key}"], arrays[f"var.{key}"], float(arrays[f"count.{key}"])


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as the bytes of an npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file's bytes; nothing pickled is accepted."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def read_tensors(content: bytes) -> Any:
    """Return what ``torch.save`` wrote; nothing but tensors in plain containers is accepted.

    Raises:
        ValueError: The bytes are something else.
    """
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its message would advise to load what may run code
        raise ValueError("tensors were expected, something else came") from error
