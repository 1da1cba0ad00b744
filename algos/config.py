"""What a training is asked to do: one frozen dataclass, written to ``config.json`` and read back from it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import tyro

from gym_gazebo2.algos.choices import ProgressMode, Vectorization
from gym_gazebo2.algos.env_id import check_env_id
from gym_gazebo2.algos.measures import get_measures
from gym_gazebo2.algos.networks import ACTIVATIONS, describe_mlp
from gym_gazebo2.algos.presets import PRESET_NAMES, Preset, get_preset
from gym_gazebo2.algos.settings.conditions import Condition, check_condition, find_default_target, make_conditions
from gym_gazebo2.algos.settings.files import read_mapping
from gym_gazebo2.algos.settings.values import merge, parse_text
from gym_gazebo2.algos.settings.zoo import read_zoo
from gym_gazebo2.algos.table import get_algorithm
from gym_gazebo2.backends import BACKENDS, get_factory
from gym_gazebo2.checks import read_number, read_positive, read_whole
from gym_gazebo2.controls import get_control
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["ResolvedConfig", "TrainConfig", "from_json", "read_config_file", "resolve"]

EVALUATIONS = 20
"""Evaluations during a training, where their interval is not given."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train an algorithm on an environment id. None stands for the preset of the id and the algorithm.

    Attributes:
        env: Environment id; one of your own with the module that registers it, MODULE:ID.
        algo: Row of the table of algorithms.
        steps: Environment steps, over all arms.
        seed: Seed; environment i gets seed + i.
        out: Run folder to make; None: runs/<id>/<algo>/<time>-seed<k>.
        num_envs: Arms that learn side by side.
        vec: How they run: "batched", "dummy", "subproc" or "pinned" (each in a process, on a processor of its own); only
            batched ones resume in the midst of their episodes.
        backend: Backend to train on.
        control: Meaning of actions, a row of ``CONTROLS``, such as "delta" or "position".
        control_dt: Control period [s].
        start_noise: Half-width of the uniform noise on the start pose [rad].
        max_episode_steps: Steps of an episode; None: the id's.
        hyperparameters: Keywords of the algorithm on top of the preset's.
        preset: "tuned", for the id; "paper", the settings of the algorithm's paper.
        zoo: A hyperparameter file of rl-baselines3-zoo, in place of the preset.
        num_layers: Hidden layers of each network.
        num_hidden: Width of a hidden layer.
        layer_norm: Normalise hidden layers before their activation.
        activation: Activation of hidden layers, such as "tanh" or "relu".
        normalize: Normalise observations and rewards by running statistics.
        normalize_reward: Normalise rewards too; None: as observations.
        torch_threads: Threads of the network's arithmetic; small networks want 1.
        eval_every: Steps between two evaluations; None: a twentieth of the steps.
        eval_runs: Episodes of such an evaluation.
        stop_when: Stop when a figure reaches a bound, such as success_rate>=0.95 or position_error<=0.001 (SI units). Figures:
            the measures of the task and success_rate, of each evaluation; reward, the mean of the last 100 episodes.
        stop_error_mm: Short for stop_when position_error, in millimetres.
        stop_reward: Short for stop_when reward.
        target: A bound like that of stop_when; the time and the steps until it is first met are reported. None: the only
            stopping rule, or the target of the task's first measure.
        target_error_mm: Short for target position_error, in millimetres.
        checkpoint_seconds: Least wall time between two checkpoints [s].
        progress: How to show how far it is: "rich" on a terminal, "plain" lines in a log, "quiet" not at all, "auto" by what
            there is.
    """

    env: str = "MARA-v0"
    algo: str = "ppo"
    steps: int | None = None
    seed: int = 0
    out: str | Path | None = None
    num_envs: int | None = None
    vec: Vectorization = "batched"
    backend: str = "mujoco"
    control: str = "delta"
    control_dt: float = 0.05
    start_noise: float | None = None
    max_episode_steps: int | None = None
    hyperparameters: tyro.conf.Suppress[dict[str, Any]] = dataclasses.field(default_factory=dict)
    preset: str = "tuned"
    zoo: str | None = None
    num_layers: int | None = None
    num_hidden: int | None = None
    layer_norm: bool | None = None
    activation: str | None = None
    normalize: bool | None = None
    normalize_reward: bool | None = None
    torch_threads: int = 1
    eval_every: int | None = None
    eval_runs: int | None = None
    stop_when: str | None = None
    stop_error_mm: float | None = None
    stop_reward: float | None = None
    target: str | None = None
    target_error_mm: float | None = None
    checkpoint_seconds: float = 5.0
    progress: ProgressMode = "auto"

    def __post_init__(self) -> None:
        """Reject what cannot work, before anything is made, and store plain values: they are written as JSON.

        Raises:
            UnknownNameError: An id, algorithm, vectorization, control or progress mode that does not exist.
            InvalidArgumentError: A value that cannot work.
        """
        check_env_id(self.env)
        get_algorithm(self.algo)
        get_control(self.control)
        if isinstance(self.progress, bool):  # what configurations said before there were modes
            object.__setattr__(self, "progress", "auto" if self.progress else "quiet")
        if self.progress not in get_args(ProgressMode):
            raise UnknownNameError("progress mode", self.progress, get_args(ProgressMode))
        if self.vec not in get_args(Vectorization):
            raise UnknownNameError("vectorization", self.vec, get_args(Vectorization))
        if self.preset not in PRESET_NAMES:
            raise UnknownNameError("preset", self.preset, PRESET_NAMES)
        if self.activation is not None and self.activation not in ACTIVATIONS:
            raise UnknownNameError("activation", self.activation, ACTIVATIONS)
        if not isinstance(self.backend, str):
            raise InvalidArgumentError("backend", self.backend, f"the name of a backend: {', '.join(sorted(BACKENDS))}")
        if self.backend == "ros2":
            expected = "one that gives evaluations an arm of their own, such as mujoco; gym-gazebo2 evaluate takes ros2"
            raise InvalidArgumentError("backend", self.backend, expected)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in READERS and not (value is None and field.default is None):
                object.__setattr__(self, field.name, READERS[field.name](field.name, value))
        if self.target is not None and self.target_error_mm is not None:
            sentence = f"Give target ({self.target!r}) or target_error_mm ({self.target_error_mm:g}), not both."
            raise InvalidArgumentError("target", self.target, sentence=sentence)
        for option, conditions in (("stop_when", self.stops), ("target", filter(None, [self.target_condition]))):
            for condition in conditions:
                check_condition(option, condition, get_measures(self.env))
        if self.normalize_reward and self.normalize is False:
            raise InvalidArgumentError("normalize_reward", self.normalize_reward, "false where normalize is, or both true")
        most = 2**32 - 1 - (self.num_envs or 1)  # NumPy's global generator takes no more, and arm i gets seed + i
        object.__setattr__(self, "seed", read_whole("seed", self.seed, 0, most))

    @property
    def stops(self) -> tuple[Condition, ...]:
        """The conditions at which the training stops; the first one that is met ends it."""
        return make_conditions("stop_when", self.stop_when, self.stop_error_mm, self.stop_reward)

    @property
    def target_condition(self) -> Condition | None:
        """The condition to which time and steps are reported; None if the environment measures nothing."""
        given = make_conditions("target", self.target, self.target_error_mm)
        if given or len(self.stops) == 1:
            return (given or self.stops)[0]
        return find_default_target(get_measures(self.env))

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
    normalize_reward: bool = dataclasses.field(kw_only=True)


def resolve(config: TrainConfig) -> ResolvedConfig:
    """Return the same configuration with the preset in place of every None that it can fill.

    Raises:
        UnknownNameError: There is no preset for the id and the algorithm, or a key of the zoo file is unknown.
        RunError: The zoo file cannot be read.
        InvalidArgumentError: Rewards shall be normalised where observations are not.
    """
    preset = _choose_preset(config)
    filled = {
        name: getattr(preset, name)
        for name in ("steps", "num_envs", "start_noise", "eval_runs", "normalize")
        if getattr(config, name) is None
    }
    if config.normalize_reward is None:
        filled["normalize_reward"] = filled.get("normalize", config.normalize) and preset.normalize_reward is not False
    hyperparameters = merge(preset.hyperparameters, config.hyperparameters)
    if network := describe_mlp(config.num_layers, config.num_hidden, config.layer_norm, config.activation):
        hyperparameters = merge(hyperparameters, {"policy_kwargs": network})
    eval_every = config.eval_every or max(1, (config.steps or preset.steps) // EVALUATIONS)
    return ResolvedConfig(**{**vars(config), **filled, "hyperparameters": hyperparameters, "eval_every": eval_every})


def _choose_preset(config: TrainConfig) -> Preset:
    if config.zoo is not None:
        return Preset(**read_zoo(config.zoo, config.env))
    most = getattr(get_factory(config.backend), "max_envs", None)
    return get_preset(config.env, config.algo, config.preset, None if most is None else config.num_envs or most)


def read_config_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of a ``TrainConfig`` from a YAML or JSON file.

    The file is a mapping of fields, or a run's ``config.json``; of the latter the folder is left out, as it exists.

    Raises:
        RunError: The file cannot be read.
        InvalidArgumentError: It holds something else, or a field that does not exist.
        MissingDependencyError: It is YAML, and PyYAML is not installed.
    """
    values = read_mapping(Path(path), "Give --config a file of the options of gym-gazebo2 train.")
    if "arguments" in values and "versions" in values:
        values = {name: value for name, value in values["arguments"].items() if name != "out"}
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    for name in values:
        if name not in names:
            raise UnknownNameError(f"field of {path}", name, names)
    return {name: parse_text(value) if name == "hyperparameters" else value for name, value in values.items()}


def from_json(values: Mapping[str, Any]) -> ResolvedConfig:
    """Return a configuration from its JSON form.

    Args:
        values: Field → value; what files of older versions lack has its default, or what it was then.

    Raises:
        UnknownNameError: A field does not exist, as in a file of a newer version.
        InvalidArgumentError: A field is missing, or its value cannot be.
    """
    names = [field.name for field in dataclasses.fields(ResolvedConfig)]
    for name in values:
        if name not in names:
            raise UnknownNameError("field of a configuration", name, names)
    given = {**{name: find(values) for name, find in BEFORE.items() if name not in values}, **values}
    if "stop_when" not in values and given.get("stop_reward") is not None and given.get("stop_error_mm") is None:
        given["target_error_mm"] = None  # the first version then reported the time to the reward, whatever this field said
    if given.get("normalize") is False:
        given["normalize_reward"] = False  # older versions wrote true, and normalised neither
    for field in dataclasses.fields(ResolvedConfig):
        if field.kw_only and given.get(field.name) is None:
            raise InvalidArgumentError(
                field.name, given.get(field.name), "a value: every configuration that was trained has one"
            )
    return ResolvedConfig(**given)


BEFORE: dict[str, Callable[[Mapping[str, Any]], Any]] = {"normalize_reward": lambda values: values.get("normalize")}
"""Field of a ``ResolvedConfig`` that files of older versions lack → its value from those that they have."""


def _read_path(name: str, value: Any) -> str:
    try:
        return os.fsdecode(value)
    except TypeError as error:
        raise InvalidArgumentError(name, value, "the path of a folder") from error


def _read_keywords(name: str, value: Any) -> dict[str, Any]:
    """Return keywords as they will be read from the file: plain numbers, lists for tuples."""
    try:
        return json.loads(json.dumps(dict(value), default=lambda x: x.item(), allow_nan=False))
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidArgumentError(name, value, f"a dictionary of JSON values ({error})") from error


COUNTS = ("steps", "num_envs", "max_episode_steps", "torch_threads", "eval_every", "eval_runs", "num_layers", "num_hidden")
READERS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(COUNTS, read_whole),
    **dict.fromkeys(("control_dt", "target_error_mm", "stop_error_mm", "checkpoint_seconds"), read_positive),
    "start_noise": lambda name, value: read_number(name, value, "a finite half-width of at least 0 rad", lambda x: x >= 0),
    "stop_reward": lambda name, value: read_number(name, value, "a finite number"),
    **dict.fromkeys(("out", "zoo"), _read_path),
    "hyperparameters": _read_keywords,
}
"""Field of a ``TrainConfig`` → what makes a plain value of it, or refuses it."""
