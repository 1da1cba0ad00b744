"""Export a policy, with its normalisation, to ONNX or TorchScript, and a script that runs it without this package."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from gym_gazebo2.algos.choices import MODELS
from gym_gazebo2.algos.discrete import make_action_table
from gym_gazebo2.algos.runs.any_model import open_model
from gym_gazebo2.algos.runs.model_file import ModelFile
from gym_gazebo2.algos.runs.writing import add_advice, check_writable, write_atomically
from gym_gazebo2.algos.settings.env_keywords import find_env_robot
from gym_gazebo2.algos.table import get_algorithm
from gym_gazebo2.errors import MissingDependencyError, UnknownNameError, UnsupportedError

__all__ = ["FORMATS", "ExportConfig", "export"]

FORMATS = {"onnx": "policy.onnx", "torchscript": "policy.pt"}
"""A dictionary from a format to the name of the file."""
CLIP, EPSILON = 10.0, 1e-8
"""Constants of stable-baselines3's VecNormalize: observations are clipped to ± CLIP standard deviations, and EPSILON is added
to the variance. Other values here would change the policy's input."""
MEMORY = ("memory_h", "memory_c")
"""Names of the hidden and the cell state of a policy with a long short-term memory (LSTM)."""
SCRIPT = Path(__file__).with_name("run_exported.py")
"""The script that is written beside an ONNX file. It needs NumPy and onnxruntime only."""


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Write the policy of a run as a file that runs without gym-gazebo2.

    Attributes:
        format: "onnx" (with a script that runs it) or "torchscript".
        model: "model", the one at the end of training, or "best_model".
        out: Folder to write to; None: that of the model.
        env: Environment id, only for a file that stable-baselines3's own ``save`` wrote.
        algo: Algorithm of such a file; None: the one that its settings show.
    """

    format: str = "onnx"
    model: str = "model"
    out: str | None = None
    env: str | None = None
    algo: str | None = None

    def __post_init__(self) -> None:
        """Reject unknown formats and models."""
        if self.format not in FORMATS:
            raise UnknownNameError("format", self.format, FORMATS)
        if self.model not in MODELS:
            raise UnknownNameError("model", self.model, MODELS)


@add_advice("Or choose another folder with --out.")
def export(path: str | os.PathLike[str], config: ExportConfig = ExportConfig()) -> list[Path]:
    """Write the policy of a run. Its inputs are the environment's observations, its output is an action between −1 and 1.

    The metadata of the file hold the meaning of actions: control, control_dt [s], control_speed [rad/s], joint names and limits
    [rad]. A recurrent policy has further inputs after the observations and further outputs after the action: its memory, of
    shape (layers, n, width) each, under the names in the metadata's "memory". The memory is zero at the start of an episode.

    Args:
        path: The run's folder, or a model file.
        config: The format, the model and the folder.

    Returns:
        The files written.

    Raises:
        RunError: There is no finished run, or its model is corrupt.
        WriteError: The folder cannot be written to.
        UnsupportedError: The run's environment is no arm of this package.
        MissingDependencyError: ``onnx`` is not installed.
    """
    file = open_model(path, config.model, config.env, config.algo)
    if "robot" not in file.action:
        raise UnsupportedError(
            f"Cannot export a policy of {file.config.env}: the meaning of actions is known for arms of gym_gazebo2 only. "
            f"Load {file.path} with stable-baselines3."
        )
    folder = file.path.parent if config.out is None else Path(config.out)
    target = folder / FORMATS[config.format]
    check_writable(target)
    policy = _Deployed(file)
    about = {**describe(file), "memory": policy.memory}
    if config.format == "torchscript":
        write_atomically(target, _to_torchscript(policy, about))
        return [target]
    write_atomically(target, _to_onnx(policy, about))
    write_atomically(folder / SCRIPT.name, SCRIPT.read_bytes())
    return [target, folder / SCRIPT.name]


def describe(file: ModelFile) -> dict[str, Any]:
    """Return the metadata that a deployment needs besides the network: the meaning of actions, and the joint limits [rad]."""
    # Look up the robot as the training did. Its name alone determines neither its file nor its tool frame.
    robot = find_env_robot(file.config.env, file.config.make_kwargs)
    if robot is None:
        raise UnsupportedError(f"{file.config.env} has no robot of gym_gazebo2. Load {file.path} with stable-baselines3.")
    limits = {"lower": robot.lower.tolist(), "upper": robot.upper.tolist(), "home": robot.home.tolist()}
    return {"env": file.config.env, "algo": file.config.algo, **file.action, **limits}


class _Deployed(nn.Module):
    """The network of a deployment: normalises observations, acts deterministically, and clips the action."""

    def __init__(self, file: ModelFile) -> None:
        super().__init__()
        model = file.build()
        self.space = _get_space(file, "observation_space")
        self.policy = model.policy.eval().requires_grad_(False)
        lstm = self.policy.lstm_actor if get_algorithm(file.config.algo).recurrent else None
        self.memory = {name: [lstm.num_layers, lstm.hidden_size] for name in MEMORY} if lstm is not None else {}
        table = torch.as_tensor(make_action_table(_get_space(file, "action_space")))
        self.choices = table if isinstance(model.action_space, spaces.Discrete) else None
        self.names = list(self.space.spaces) if isinstance(self.space, spaces.Dict) else [""]
        shapes = [_get_part(model.observation_space, name).shape for name in self.names]
        self.are_images = [_get_part(self.space, name).shape != shape for name, shape in zip(self.names, shapes, strict=True)]
        for index, name in enumerate(self.names):
            self._keep_statistics(index, name, file.normalization)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return actions (n, dof), and the new memory of a recurrent policy.

        Args:
            *inputs: Observations (n, …) in the order of ``names``, then the memory (layers, n, width).
        """
        parts = [self._normalize(index, value) for index, value in enumerate(inputs[: len(self.names)])]
        observation = dict(zip(self.names, parts, strict=True)) if isinstance(self.space, spaces.Dict) else parts[0]
        action, memory = self._act(observation, inputs[len(self.names) :])
        return (action.clamp(-1.0, 1.0) if self.choices is None else self.choices[action], *memory)

    def _act(self, observation: Any, memory: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the action of one step, and the new memory."""
        policy = self.policy
        if not memory:
            return policy._predict(observation, deterministic=True), ()
        # The recurrent policy's own forward pass branches on the values of episode starts, which a traced graph cannot.
        features = BasePolicy.extract_features(policy, observation, policy.pi_features_extractor)
        latent, memory = policy.lstm_actor(features.unsqueeze(0), memory)
        distribution = policy._get_action_dist_from_latent(policy.mlp_extractor.forward_actor(latent.squeeze(0)))
        return distribution.get_actions(deterministic=True), memory

    def make_example(self) -> tuple[torch.Tensor, ...]:
        """Return inputs for tracing: a batch of two observations, and the memories of two episodes at their start."""
        parts = [_get_part(self.space, name) for name in self.names]
        observations = (torch.as_tensor(np.stack([part.sample(), part.sample()])) for part in parts)
        return (*observations, *(torch.zeros(layers, 2, width) for layers, width in self.memory.values()))

    def _keep_statistics(self, index: int, name: str, arrays: dict[str, NDArray[np.float64]]) -> None:
        if f"mean.{name}" in arrays:
            deviation = np.sqrt(arrays[f"var.{name}"] + EPSILON)
            self.register_buffer(f"mean_{index}", torch.as_tensor(arrays[f"mean.{name}"], dtype=torch.float32))
            self.register_buffer(f"deviation_{index}", torch.as_tensor(deviation, dtype=torch.float32))

    def _normalize(self, index: int, value: torch.Tensor) -> torch.Tensor:
        if self.are_images[index]:
            value = value.permute(0, 3, 1, 2)  # the network expects channels first, the environment has them last
        if not hasattr(self, f"mean_{index}"):
            return value
        return ((value - getattr(self, f"mean_{index}")) / getattr(self, f"deviation_{index}")).clamp(-CLIP, CLIP)


def _get_space(file: ModelFile, name: str) -> spaces.Space[Any]:
    with contextlib.closing(gymnasium.make(file.config.env, **file.idle_kwargs)) as env:
        return getattr(env, name)


def _get_part(space: spaces.Space[Any], name: str) -> spaces.Space[Any]:
    return space[name] if isinstance(space, spaces.Dict) else space


def _to_onnx(policy: _Deployed, about: dict[str, Any]) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch needs it, and fails without it only deep inside the export)
    except ImportError as error:
        raise MissingDependencyError(error.name or "onnx", "export") from error
    names = [name or "observation" for name in policy.names]
    batches = [{0: torch.export.Dim.AUTO} for _ in names] + [{1: torch.export.Dim.AUTO} for _ in policy.memory]
    with _quiet():
        program = torch.onnx.export(
            policy,
            policy.make_example(),
            input_names=[*names, *policy.memory],
            output_names=["action", *(f"next_{name}" for name in policy.memory)],
            dynamic_shapes=(tuple(batches),),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise UnsupportedError("torch could not export this policy to ONNX. Use --format torchscript.")
    model = program.model_proto
    onnx.helper.set_model_props(model, {"gym_gazebo2": json.dumps(about)})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _to_torchscript(policy: _Deployed, about: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with _quiet():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            policy, policy.make_example(), check_trace=False
        )
        torch.jit.save(traced, buffer, _extra_files={"gym_gazebo2.json": json.dumps(about)})
    return buffer.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, and switch off the value checks of torch's distributions, which a traced graph cannot contain."""
    checks, silent = torch.distributions.Distribution._validate_args, logging.root.manager.disable
    torch.distributions.Distribution.set_default_validate_args(False)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(silent)
        torch.distributions.Distribution.set_default_validate_args(checks)
