"""What a training is asked to do: one frozen dataclass, written to ``config.json`` and read back from it."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import tyro

from gym_gazebo2.algos.presets import get_preset
from gym_gazebo2.algos.table import get_algorithm
from gym_gazebo2.algos.vec_env import Vectorization, check_env_id
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.setpoint import Control, check_control

__all__ = ["ResolvedConfig", "TrainConfig", "collect_provenance", "from_json", "resolve"]

EVALUATIONS = 20
"""Evaluations during a training, where their interval is not given."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train an algorithm on an environment id. None stands for the preset of the id and the algorithm.

    Attributes:
        env: Environment id.
        algo: Row of the table of algorithms.
        steps: Environment steps, over all arms.
        seed: Seed; environment i gets seed + i.
        out: Run folder to make; None: runs/<id>/<algo>/<time>-seed<k>.
        num_envs: Arms that learn side by side.
        vec: How they run: "batched", "dummy" or "subproc".
        backend: Backend to train on.
        control: Meaning of actions, "delta" or "position".
        control_dt: Control period [s].
        start_noise: Half-width of the uniform noise on the start pose [rad].
        max_episode_steps: Steps of an episode; None: the id's.
        hyperparameters: Keywords of the algorithm on top of the preset's.
        normalize: Normalise observations and rewards by running statistics.
        torch_threads: Threads of the network's arithmetic; small networks want 1.
        eval_every: Steps between two evaluations; None: a twentieth of the steps.
        eval_runs: Episodes of such an evaluation.
        target_error_mm: Tool error (RMS) whose time and steps are reported [mm].
        stop_error_mm: Stop when an evaluation's tool error (RMS) is at most this [mm].
        stop_reward: Stop when the mean episode reward is at least this.
        checkpoint_seconds: Least wall time between two checkpoints [s].
        progress: Show progress.
    """

    env: str = "MARA-v0"
    algo: str = "ppo"
    steps: int | None = None
    seed: int = 0
    out: str | None = None
    num_envs: int | None = None
    vec: Vectorization = "batched"
    backend: str = "mujoco"
    control: Control = "delta"
    control_dt: float = 0.05
    start_noise: float | None = None
    max_episode_steps: int | None = None
    hyperparameters: tyro.conf.Suppress[dict[str, Any]] = dataclasses.field(default_factory=dict)
    normalize: bool | None = None
    torch_threads: int = 1
    eval_every: int | None = None
    eval_runs: int | None = None
    target_error_mm: float = 1.0
    stop_error_mm: float | None = None
    stop_reward: float | None = None
    checkpoint_seconds: float = 5.0
    progress: bool = True

    def __post_init__(self) -> None:
        """Reject what cannot work, before anything is made.

        Raises:
            UnknownNameError: An id, algorithm, vectorization or control that does not exist.
            InvalidArgumentError: A number that cannot work.
        """
        check_env_id(self.env)
        get_algorithm(self.algo)
        check_control(self.control)
        if self.vec not in get_args(Vectorization):
            raise UnknownNameError("vectorization", self.vec, get_args(Vectorization))
        for name in ("steps", "num_envs", "max_episode_steps", "torch_threads", "eval_every", "eval_runs"):
            _check_whole(name, getattr(self, name), least=1)
        _check_whole("seed", self.seed, least=0)
        for name in ("target_error_mm", "stop_error_mm", "checkpoint_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InvalidArgumentError(name, value, "a positive number")

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """Keywords of ``gymnasium.make`` for this training."""
        kwargs: dict[str, Any] = {
            "backend": self.backend,
            "control": self.control,
            "control_dt": self.control_dt,
            "start_noise": self.start_noise,
        }
        if self.backend == "gazebo":
            kwargs["backend_options"] = {"on_failure": "restart"}
        if self.max_episode_steps is not None:
            kwargs["max_episode_steps"] = self.max_episode_steps
        return kwargs


@dataclasses.dataclass(frozen=True)
class ResolvedConfig(TrainConfig):
    """A configuration with every None filled that the preset can fill."""

    steps: int = dataclasses.field(kw_only=True)
    num_envs: int = dataclasses.field(kw_only=True)
    start_noise: float = dataclasses.field(kw_only=True)
    eval_runs: int = dataclasses.field(kw_only=True)
    eval_every: int = dataclasses.field(kw_only=True)
    normalize: bool = dataclasses.field(kw_only=True)


def resolve(config: TrainConfig) -> ResolvedConfig:
    """Return the same configuration with the preset in place of every None that it can fill.

    Raises:
        UnknownNameError: There is no preset for the id and the algorithm.
    """
    preset = get_preset(config.env, config.algo)
    filled = {
        name: getattr(preset, name)
        for name in ("steps", "num_envs", "start_noise", "eval_runs", "normalize")
        if getattr(config, name) is None
    }
    hyperparameters = {**preset.hyperparameters, **config.hyperparameters}
    eval_every = config.eval_every or max(1, (config.steps or preset.steps) // EVALUATIONS)
    return ResolvedConfig(**{**vars(config), **filled, "hyperparameters": hyperparameters, "eval_every": eval_every})


def collect_provenance() -> dict[str, Any]:
    """Return what a reader needs to repeat a run besides its arguments: versions, commit, processor."""
    names = ("gym_gazebo2", "gymnasium", "mujoco", "numpy", "stable_baselines3", "torch")
    return {
        "versions": {"python": platform.python_version(), **{name: _get_version(name) for name in names}},
        "git_commit": _get_commit(),
        "platform": platform.platform(),
        "machine": platform.machine(),
    }


def from_json(values: Mapping[str, Any]) -> ResolvedConfig:
    """Return a configuration from its JSON form.

    Raises:
        InvalidArgumentError: The values are not those of a configuration.
    """
    try:
        return ResolvedConfig(**values)
    except TypeError as error:
        raise InvalidArgumentError("arguments", dict(values), f"the fields of a TrainConfig ({error})") from error


def _check_whole(name: str, value: Any, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise InvalidArgumentError(name, value, f"a whole number of at least {least}")


def _get_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _get_commit() -> str | None:
    """Return the commit of the checkout that this file belongs to, if it belongs to one."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
