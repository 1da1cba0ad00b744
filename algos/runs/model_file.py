"""The model file: everything that a deployment needs, in one zip that executes nothing when it is read.

The zip is the file that stable-baselines3's ``save`` writes (its ``load`` opens it), with two more entries: ``config.json``
(the training's arguments, and the meaning of actions) and ``normalization.npz``. ``read_model_file`` rebuilds the model from
``config.json`` and reads the weights with ``weights_only``. It never opens the pickled entry that stable-baselines3 writes.
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

from gym_gazebo2.algos.choices import Vectorization
from gym_gazebo2.algos.config import ResolvedConfig, from_json
from gym_gazebo2.algos.runs.robot import find_stored_robot
from gym_gazebo2.algos.runs.writing import write_atomically
from gym_gazebo2.algos.table import make_model, wrap_actions
from gym_gazebo2.algos.vec_env import get_observation_moments, has_batched_form, make_vec_env, normalize
from gym_gazebo2.errors import RunError, UnknownEnvError

__all__ = ["ModelFile", "read_arrays", "read_model_file", "read_tensors", "save_model", "write_arrays", "write_tensors"]


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
"""The exceptions that reading a damaged file can raise."""


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """The contents of a model file.

    Attributes:
        path: The file.
        config: The training's configuration.
        action: The meaning of actions: control, control_dt [s], control_speed [rad/s], joint names.
        weights: The policy's parameters by name.
        normalization: Mean and variance of the observations by key ("" for a flat one); empty where not normalised.
    """

    path: Path
    config: ResolvedConfig
    action: dict[str, Any]
    weights: dict[str, torch.Tensor]
    normalization: dict[str, NDArray[np.float64]]

    @property
    def idle_kwargs(self) -> dict[str, Any]:
        """Keywords that make the environment of the training on a backend that needs no simulator: it gives the spaces."""
        return self.config.change_kwargs({} if self.config.backend is None else {"backend": "fake"})

    def make_idle_env(self, num_envs: int = 1) -> VecEnv:
        """Make environments that have the spaces of the training, as the algorithm sees them, and that need no simulator."""
        vec: Vectorization = "batched" if has_batched_form(self.config.env) else "dummy"  # neither starts a process
        return wrap_actions(self.config.algo, make_vec_env(self.config.env, num_envs, vec=vec, **self.idle_kwargs))

    def build(self) -> BaseAlgorithm:
        """Return the trained model.

        Raises:
            RunError: The weights do not fit the environment id.
        """
        config = self.config
        with contextlib.closing(self.make_idle_env(config.num_envs)) as env:
            model = make_model(config.algo, env, config.hyperparameters, config.seed)
        try:
            model.policy.load_state_dict(self.weights)
        except RuntimeError as error:
            raise RunError(f"{self.path} does not fit {config.env}: {error}") from error
        return model

    def wrap(self, env: VecEnv) -> VecEnv:
        """Return an environment with the actions and the observation normalisation of the training, its statistics frozen."""
        env = wrap_actions(self.config.algo, env)
        if not any(name.startswith("mean.") for name in self.normalization):  # rewards alone, which a policy does not see
            return env
        wrapped = normalize(env, training=False, norm_reward=False)
        set_statistics(wrapped, self.normalization)
        return wrapped


def save_model(path: Path, model: BaseAlgorithm, config: ResolvedConfig, action: Mapping[str, Any]) -> None:
    """Write a model file.

    Args:
        path: The file.
        model: The model.
        config: The training's configuration.
        action: The meaning of actions.

    Raises:
        WriteError: The file cannot be written.
    """
    buffer = io.BytesIO()
    model.save(buffer)
    normalization = get_statistics(model.get_vec_normalize_env())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("config.json", json.dumps({"arguments": config.to_fields(), "action": dict(action)}, indent=2))
        archive.writestr("normalization.npz", write_arrays(normalization))
    write_atomically(path, buffer.getvalue())


def read_model_file(path: Path) -> ModelFile:
    """Read a model file without executing anything from it.

    For an id of the form "module:Id" the module is imported. It comes from Python's own search path, never from the file.

    Raises:
        RunError: The file is missing, corrupt, or not written by ``save_model``.
        UnknownEnvError: The environment id in the file is not registered here.
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
        config = dataclasses.replace(from_json(about["arguments"]), stored_robot=find_stored_robot(path.parent))
        return ModelFile(path, config, about["action"], weights, normalization)
    except UnknownEnvError:
        raise
    except UNREADABLE as error:
        raise RunError(f"{path} is corrupt, or not a model file of gym-gazebo2: {type(error).__name__}: {error}") from error


def get_statistics(normalizer: VecNormalize | None) -> dict[str, NDArray[np.float64]]:
    """Return the running statistics of a ``VecNormalize`` as arrays."""
    if normalizer is None:
        return {}
    arrays = {"return": np.array([normalizer.ret_rms.mean, normalizer.ret_rms.var, normalizer.ret_rms.count])}
    for key, value in get_observation_moments(normalizer).items():
        arrays[f"mean.{key}"], arrays[f"var.{key}"], arrays[f"count.{key}"] = value.mean, value.var, np.array(value.count)
    return arrays


def set_statistics(normalizer: VecNormalize, arrays: Mapping[str, NDArray[np.float64]]) -> None:
    """Set the running statistics of a ``VecNormalize`` to the result of ``get_statistics``."""
    returns = normalizer.ret_rms
    returns.mean, returns.var, returns.count = arrays["return"][0], arrays["return"][1], float(arrays["return"][2])
    for key, value in get_observation_moments(normalizer).items():
        value.mean, value.var, value.count = arrays[f"mean.{key}"], arrays[f"var.{key}"], float(arrays[f"count.{key}"])


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as the bytes of an npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file's bytes. Pickled objects are refused, as unpickling would execute code."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def write_tensors(value: Any) -> bytes:
    """Return tensors, also in dictionaries and lists, as the bytes of a file."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def read_tensors(content: bytes) -> Any:
    """Return the result of ``write_tensors``; only tensors in plain containers are accepted, so that nothing is executed.

    Raises:
        ValueError: The bytes are something else.
    """
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its message would advise to load what may run code
        raise ValueError("the file holds objects other than tensors") from error
