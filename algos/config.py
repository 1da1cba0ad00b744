"""The configuration of a training: one frozen dataclass, written to ``config.json`` and read back from it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from gym_gazebo2.algos.choices import MissingWorkers, ProgressMode, Vectorization
from gym_gazebo2.algos.env_id import check_env_id, get_spec
from gym_gazebo2.algos.measures import get_measures
from gym_gazebo2.algos.networks import ACTIVATIONS, describe_mlp
from gym_gazebo2.algos.presets import PRESET_NAMES, Preset, get_preset, has_preset
from gym_gazebo2.algos.settings.conditions import Condition, check_condition, find_default_target, make_conditions
from gym_gazebo2.algos.settings.env_keywords import (
    WITH_FIELDS,
    change_env_kwargs,
    check_env_kwargs,
    find_env_keywords,
    gather_env_kwargs,
    use_robot,
)
from gym_gazebo2.algos.settings.files import read_mapping
from gym_gazebo2.algos.settings.options import EnvKwargs, Hyperparameters, StartFrom
from gym_gazebo2.algos.settings.prices import PricePerHour, read_prices
from gym_gazebo2.algos.settings.values import merge, parse_text
from gym_gazebo2.algos.settings.zoo import read_zoo
from gym_gazebo2.algos.table import get_algorithm
from gym_gazebo2.algos.vec_env import has_batched_form
from gym_gazebo2.algos.worker_plan import check_can_distribute, choose_shards
from gym_gazebo2.backends import BACKENDS, get_factory
from gym_gazebo2.checks import read_number, read_positive, read_whole
from gym_gazebo2.controls import get_control
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.randomize import Randomize
from gym_gazebo2.robots import fetch_urdf, is_fetched, is_stored

__all__ = ["ResolvedConfig", "TrainConfig", "from_json", "read_config_file", "resolve"]

EVALUATIONS = 20
"""Evaluations during a training whose interval is not given."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train an algorithm on an environment id. A value of None is chosen by the preset, or by the id itself.

    Attributes:
        env: Environment id that Gymnasium knows, or MODULE:ID for one that a module of yours registers.
        robot: Robot in place of the id's own: a name such as "panda", the path of a .urdf or .xacro file, or
            "ros:/robot_description" for the topic or parameter of a running ROS 2.
        tool_frame: Link whose origin is the tool centre point; None: the robot's own.
        algo: Algorithm, such as ppo, trpo, acktr, sac or dqn.
        steps: Environment steps, summed over all environments.
        seed: Random seed; environment i gets seed + i.
        out: Run folder to make; None: runs/<id>/<algo>/<time>-seed<k>.
        num_envs: Environments that run side by side.
        vec: How they run: all in one backend ("batched"), one after the other ("dummy"), one process per environment
            ("subproc"), or the same with one processor core per process ("pinned"). None: pinned for workers with a simulator
            of their own; else batched for ids that have a batched form, or dummy. Only batched ones resume in the middle of
            their episodes.
        backend: Backend to train on, such as "mujoco" or "gazebo"; None: the id's own.
        control: Meaning of actions, a row of CONTROLS such as "delta" or "position"; None: the id's own.
        control_dt: Control period [s]; None: the id's own.
        start_noise: Half-width of the uniform noise on the start pose [rad]; None: the id's own; if the id sets
            none, the preset's.
        max_episode_steps: Steps of an episode; None: the id's own.
        env_kwargs: Any other keyword of the environment, written --env.NAME VALUE, as in --env.goal [0.3,0,0.4].
        hyperparameters: Hyperparameters on top of the preset's, such as learning_rate=lin_1e-3 or
            policy_kwargs.net_arch=[64,64]. Also written as --hyper.KEY VALUE.
        preset: Settings to start from: tuned for the id ("tuned"), of the algorithm's paper ("paper"), or the algorithm's own
            defaults ("default"). Ids without tuned settings get the defaults.
        start_from: A run's folder or a model file. The training starts from its policy, with its network and normalisation.
            On the command line, its id, algorithm and environment keywords are used, too, unless you give others.
        zoo: A hyperparameter file of rl-baselines3-zoo, in place of the preset.
        num_layers: Hidden layers of each network.
        num_hidden: Width of a hidden layer.
        layer_norm: Normalise hidden layers before their activation.
        activation: Activation of hidden layers, such as "tanh" or "relu".
        normalize: Normalise observations by running statistics; and rewards, unless normalize_reward says otherwise.
        normalize_reward: Normalise rewards, with or without observations; None: as for observations.
        reward_scale: Factor of the rewards that the algorithm gets, so that the values it estimates are of order 1.
        torch_threads: Threads of the network's arithmetic. Small networks are fastest with 1.
        eval_every: Steps between two evaluations; None: a twentieth of the steps.
        eval_runs: Episodes per evaluation during training.
        stop_when: Stop when a figure reaches a bound, such as success_rate>=0.95 or position_error<=0.001 (SI units). Figures:
            the measures of the task and success_rate, of each evaluation; reward, the mean of the last 100 episodes.
        stop_error_mm: Short for stop_when position_error, in millimetres.
        stop_reward: Short for stop_when reward.
        target: A bound like that of stop_when; the time and the steps until it is first met are reported. None: the only
            stopping rule, or the target of the task's first measure.
        target_error_mm: Short for target position_error, in millimetres.
        checkpoint_seconds: Minimum wall time between two checkpoints [s].
        workers: Processes that step the environments, on this machine or a cluster, with Ray; None: this process does.
        shards: Parts into which the environments are split. With normalisation the result depends on their number, but not on
            the number of workers. None: the number of workers; with normalisation at least 4, if the environments can be split.
        worker_cpus: CPUs that Ray reserves for a worker; a fraction lets several share a processor.
        address: HOST:PORT of a running Ray cluster; None, or "local": this machine.
        invite: File of `gym-gazebo2 cluster invite`, with which this machine reaches the cluster; not needed on its head.
        insecure: Accept a cluster without TLS, because a VPN encrypts its traffic.
        missing_workers: While there are fewer workers than asked for: train with those that are there ("go-on"), wait for
            machines to join ("wait"), or end with an error ("give-up"). None: give up at the start, later go on.
        price_per_hour: Price of a machine per hour, in any currency, or TYPE=PRICE,TYPE=PRICE by type of node; the run stores
            what it costs.
        progress: How progress is shown: a progress bar ("rich"), lines for a log file ("plain"), nothing ("quiet"), or a bar
            on a terminal and lines elsewhere ("auto").
    """

    env: str = "MARA-v0"
    algo: str = "ppo"
    robot: str | None = None
    tool_frame: str | None = None
    steps: int | None = None
    seed: int = 0
    out: str | Path | None = None
    num_envs: int | None = None
    vec: Vectorization | None = None
    backend: str | None = None
    control: str | None = None
    control_dt: float | None = None
    start_noise: float | None = None
    max_episode_steps: int | None = None
    env_kwargs: EnvKwargs = dataclasses.field(default_factory=dict)
    hyperparameters: Hyperparameters = dataclasses.field(default_factory=dict)
    preset: str = "tuned"
    start_from: StartFrom = None
    zoo: str | None = None
    num_layers: int | None = None
    num_hidden: int | None = None
    layer_norm: bool | None = None
    activation: str | None = None
    normalize: bool | None = None
    normalize_reward: bool | None = None
    reward_scale: float | None = None
    torch_threads: int = 1
    eval_every: int | None = None
    eval_runs: int | None = None
    stop_when: str | None = None
    stop_error_mm: float | None = None
    stop_reward: float | None = None
    target: str | None = None
    target_error_mm: float | None = None
    checkpoint_seconds: float = 5.0
    workers: int | None = None
    shards: int | None = None
    worker_cpus: float = 1.0
    address: str | None = None
    invite: str | Path | None = None
    insecure: bool = False
    missing_workers: MissingWorkers | None = None
    price_per_hour: PricePerHour = None
    progress: ProgressMode = "auto"

    def __post_init__(self) -> None:
        """Check the values, before anything is made, and store plain ones: they are written as JSON.

        What depends on the environment, such as the names in ``env_kwargs``, is checked by ``resolve``: a run must open on a
        machine without its simulator.

        Raises:
            UnknownNameError: A name is in no table: an id, algorithm, vectorization, control or progress mode.
            InvalidArgumentError: A value is invalid, or two values contradict each other.
        """
        check_env_id(self.env)
        get_algorithm(self.algo)
        if self.control is not None:
            get_control(self.control)
        if isinstance(self.progress, bool):  # versions before 0.1.0 had no modes
            object.__setattr__(self, "progress", "auto" if self.progress else "quiet")
        for name, (kind, available) in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in available:
                raise UnknownNameError(kind, value, available)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in READERS and not (value is None and field.default is None):
                object.__setattr__(self, field.name, READERS[field.name](field.name, value))
        gather_env_kwargs(self)
        if self.target is not None and self.target_error_mm is not None:
            sentence = f"Give target ({self.target!r}) or target_error_mm ({self.target_error_mm:g}), not both."
            raise InvalidArgumentError("target", self.target, sentence=sentence)
        for option, conditions in (("stop_when", self.stops), ("target", filter(None, [self.target_condition]))):
            for condition in conditions:
                check_condition(option, condition, get_measures(self.env))
        most = 2**32 - 1 - (self.num_envs or 1)  # NumPy's global generator takes no more, and environment i gets seed + i
        object.__setattr__(self, "seed", read_whole("seed", self.seed, 0, most))

    @property
    def stops(self) -> tuple[Condition, ...]:
        """The conditions at which the training stops: it ends as soon as an evaluation meets one of them."""
        return make_conditions("stop_when", self.stop_when, self.stop_error_mm, self.stop_reward)

    @property
    def target_condition(self) -> Condition | None:
        """The condition whose first fulfilment is reported, in time and steps; None if the environment measures nothing."""
        given = make_conditions("target", self.target, self.target_error_mm)
        if given or len(self.stops) == 1:
            return (given or self.stops)[0]
        return find_default_target(get_measures(self.env))

    @property
    def make_kwargs(self) -> dict[str, Any]:
        """Keywords of ``gymnasium.make`` that make the environment of this training."""
        return gather_env_kwargs(self)

    @property
    def training_kwargs(self) -> dict[str, Any]:
        """Keywords of ``gymnasium.make`` for the training's environments, which restart a simulator that fails if they can."""
        kwargs = self.make_kwargs
        if self.backend is None or not getattr(get_factory(self.backend), "is_restartable", False):
            return kwargs
        return {**kwargs, "backend_options": {"on_failure": "restart", **kwargs.get("backend_options", {})}}


@dataclasses.dataclass(frozen=True)
class ResolvedConfig(TrainConfig):
    """A configuration with every None filled: what a training uses, and what ``config.json`` holds.

    ``backend``, ``control``, ``control_dt`` and ``start_noise`` remain None for environments that do not take them.

    Attributes:
        stored_robot: Folder of the run's copy of its robot, which is used in place of ``robot``; None: the run has none. It is
            no part of ``config.json``, since a run can be moved.
    """

    steps: int = dataclasses.field(kw_only=True)
    num_envs: int = dataclasses.field(kw_only=True)
    vec: Vectorization = dataclasses.field(kw_only=True)
    eval_runs: int = dataclasses.field(kw_only=True)
    eval_every: int = dataclasses.field(kw_only=True)
    normalize: bool = dataclasses.field(kw_only=True)
    normalize_reward: bool = dataclasses.field(kw_only=True)
    reward_scale: float = dataclasses.field(kw_only=True)
    stored_robot: str | None = None

    @property
    def make_kwargs(self) -> dict[str, Any]:
        """Keywords of ``gymnasium.make`` that make the environment of this training, with the run's copy of its robot."""
        kwargs = gather_env_kwargs(self)
        # A worker on another machine may not see the run's folder.
        return kwargs if self.stored_robot is None or not is_stored(self.stored_robot) else use_robot(kwargs, self.stored_robot)

    def change_kwargs(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``make_kwargs`` with changes in place. Another robot also replaces the run's copy."""
        return change_env_kwargs(gather_env_kwargs(self) if "robot" in changes else self.make_kwargs, changes)

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as ``config.json`` and model files hold them."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "stored_robot"}

    @property
    def is_normalized(self) -> bool:
        """Whether observations, rewards or both are normalised, so that the training has running statistics."""
        return self.normalize or self.normalize_reward


def resolve(config: TrainConfig) -> ResolvedConfig:
    """Return the same configuration with a value in place of every None; a resolved one is returned as it is.

    Raises:
        UnknownNameError: The environment has no such keyword, or there is no such backend.
        RunError: The zoo file cannot be read.
        InvalidArgumentError: The backend is shared, or the id has no time limit and none is given.
    """
    if isinstance(config, ResolvedConfig):
        return config
    given = gather_env_kwargs(config)
    check_env_kwargs(config.env, given)
    keywords, spec = find_env_keywords(config.env), get_spec(config.env)
    if spec.max_episode_steps is None and "max_episode_steps" not in given:
        sentence = f"{config.env} has no time limit. Give one with --max-episode-steps."
        raise InvalidArgumentError("max_episode_steps", None, sentence=sentence)
    max_envs = _check_backend(given.get("backend", keywords.defaults.get("backend")))
    preset_name = config.preset if config.preset != "tuned" or has_preset(config.env, config.algo) else "default"
    if config.zoo is not None:
        preset = Preset(**read_zoo(config.zoo, config.env))
    else:
        arms = None if max_envs is None else config.num_envs or max_envs * (config.workers or 1)
        preset = get_preset(config.env, config.algo, preset_name, arms)
    filled: dict[str, Any] = {name: _first(getattr(config, name), getattr(preset, name)) for name in FROM_PRESET}
    # normalize=False means neither, also where the preset normalises rewards.
    reward = preset.normalize_reward if config.normalize is not False else False
    filled["normalize_reward"] = _first(config.normalize_reward, reward, filled["normalize"])
    filled["eval_every"] = config.eval_every or max(1, filled["steps"] // EVALUATIONS)
    filled["vec"] = config.vec or _choose_vec(config, max_envs)
    check_needs_workers(config)
    if config.workers is not None:
        check_can_distribute(config.algo, filled["vec"])
        split = (filled["num_envs"], max_envs, config.workers, config.shards)
        filled["shards"] = choose_shards(*split, is_normalized=filled["normalize"] or filled["normalize_reward"])
    for name in KEPT_WITH_RUN:
        value = given.get(name, keywords.defaults.get(name))
        # A class cannot be written as JSON. The registration of the id holds it.
        filled[name] = value if isinstance(value, str | float | int) else None
    if keywords.accepts("start_noise") and "start_noise" in keywords.defaults:
        filled["start_noise"] = _first(given.get("start_noise"), keywords.own.get("start_noise"), preset.start_noise)
    hyperparameters = merge(preset.hyperparameters, config.hyperparameters)
    if network := describe_mlp(config.num_layers, config.num_hidden, config.layer_norm, config.activation):
        hyperparameters = merge(hyperparameters, {"policy_kwargs": network})
    others = {name: value for name, value in given.items() if name not in WITH_FIELDS}
    filled |= {name: given.get(name) for name in ("robot", "tool_frame", "max_episode_steps")} | {"env_kwargs": others}
    return ResolvedConfig(**{**vars(config), **filled, "preset": preset_name, "hyperparameters": hyperparameters})


def check_needs_workers(config: TrainConfig) -> None:
    """Check that options of workers are not given to a training without any, which would ignore them.

    Raises:
        InvalidArgumentError: One is.
    """
    for name in ("shards", "address", "invite", "missing_workers"):
        value = getattr(config, name)
        if config.workers is None and value is not None:
            raise InvalidArgumentError(name, value, sentence=f"{name}={value} needs workers. Give --workers, too.")


def _choose_vec(config: TrainConfig, max_envs: int | None) -> Vectorization:
    """Return how environments run by default."""
    if config.workers is not None and max_envs is not None:
        # Two Gazebos on two processors: 1.8 times as fast as one if each keeps to its own, 1.1 to 1.5 times otherwise.
        return "pinned"
    return "batched" if has_batched_form(config.env) else "dummy"


def get_max_envs(config: ResolvedConfig) -> int | None:
    """Return how many arms the backend of a training moves at most; None for no limit, or no backend."""
    return None if config.backend is None else getattr(get_factory(config.backend), "max_envs", None)


def _first(*values: Any) -> Any:
    """Return the first value that is not None."""
    return next((value for value in values if value is not None), None)


def _check_backend(backend: Any) -> int | None:
    """Return how many arms a backend moves at most; None for no limit, or no backend.

    Raises:
        UnknownNameError: There is no such backend.
        InvalidArgumentError: A second instance of the backend would command the same arm.
    """
    if backend is None:
        return None
    factory = get_factory(backend)
    if getattr(factory, "is_shared", False):
        why = "evaluation during training would command the same arm"
        then = f"Train on mujoco or gazebo, then run `gym-gazebo2 evaluate --backend {backend}`."
        raise InvalidArgumentError("backend", backend, sentence=f"Cannot train on backend {backend!r}: {why}. {then}")
    return getattr(factory, "max_envs", None)


def read_config_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of a ``TrainConfig`` from a YAML or JSON file.

    The file is a mapping of fields, or a run's ``config.json``. The field ``out`` of a run is dropped, because its folder
    exists.

    Raises:
        RunError: The file cannot be read.
        UnknownNameError: It has a field that does not exist.
        MissingDependencyError: It is YAML, and PyYAML is not installed.
    """
    values = read_mapping(Path(path), "Give --config a file of the options of gym-gazebo2 train.")
    if "arguments" in values and "versions" in values:
        values = {name: value for name, value in values["arguments"].items() if name != "out"}
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    for name in values:
        if name not in names:
            raise UnknownNameError(f"field of {path}", name, names)
    return {name: parse_text(value) if name in DICTIONARIES else value for name, value in values.items()}


def from_json(values: Mapping[str, Any]) -> ResolvedConfig:
    """Return a configuration from its JSON form.

    Args:
        values: Field → value. A field that an older version did not have gets the value that this version used. Any
            other missing field gets its default.

    Raises:
        UnknownNameError: A field does not exist, as in a file of a newer version.
        InvalidArgumentError: A field is missing, or its value is invalid.
    """
    names = [field.name for field in dataclasses.fields(ResolvedConfig)]
    for name in values:
        if name not in names:
            raise UnknownNameError("field of a configuration", name, names)
    given = {**{name: find(values) for name, find in OLDER.items() if name not in values}, **values}
    if "stop_when" not in values and given.get("stop_reward") is not None and given.get("stop_error_mm") is None:
        given["target_error_mm"] = None  # versions before 0.1.0 then reported the time to the reward, and ignored this field
    if given.get("normalize") is False and "start_from" not in values:
        given["normalize_reward"] = False  # versions without start_from wrote true, and normalised nothing
    for field in dataclasses.fields(ResolvedConfig):
        if field.kw_only and given.get(field.name) is None:
            sentence = f"The configuration has no {field.name}, which every training writes."
            raise InvalidArgumentError(field.name, None, sentence=sentence)
    return ResolvedConfig(**given)


OLDER: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "normalize_reward": lambda values: values.get("normalize"),
    "reward_scale": lambda values: 1.0,
    # Versions before 0.1.0 wrote these fields only if the user gave a value, and else used the values here.
    "vec": lambda values: "batched",
    "backend": lambda values: "mujoco",
    "control": lambda values: "delta",
    "control_dt": lambda values: 0.05,
}
"""Field that files of older versions lack → its value, from the fields that they have."""
FROM_PRESET = ("steps", "num_envs", "eval_runs", "normalize", "reward_scale")
"""Fields that the preset fills."""
KEPT_WITH_RUN = ("backend", "control", "control_dt")
"""Keywords of the environment that a run stores even where the id's own were used: a deployment needs them."""
DICTIONARIES = ("hyperparameters", "env_kwargs")
"""Fields whose strings in a file follow the grammar of ``settings.values``."""


def _read_path(name: str, value: Any) -> str:
    try:
        return os.fsdecode(value)
    except TypeError as error:
        raise InvalidArgumentError(name, value, "the path of a folder") from error


def _read_robot(name: str, value: Any) -> str:
    """Return the name of a robot, or the absolute path of its file: a run may be evaluated from another folder.

    A robot of a running ROS 2 becomes the copy of its file in the cache: every process of the training gets the same one.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(name, value, "the name of a robot, or the path of a .urdf or .xacro file")
    if is_fetched(value):
        return str(fetch_urdf(value))
    return str(Path(value).absolute()) if Path(value).is_file() else value


def _read_backend(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(name, value, f"the name of a backend: {', '.join(sorted(BACKENDS))}")
    return value


def _read_keywords(name: str, value: Any) -> dict[str, Any]:
    """Return keywords as they will be read back from config.json: plain numbers, lists for tuples."""
    try:
        return json.loads(json.dumps(dict(value), default=_to_plain, allow_nan=False))
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidArgumentError(name, value, f"a dictionary of JSON values ({error})") from error


def _to_plain(value: Any) -> Any:
    """Return a NumPy number as Python's, and ranges as a dictionary."""
    return dataclasses.asdict(value) if isinstance(value, Randomize) else value.item()


COUNTS = (
    "steps",
    "num_envs",
    "max_episode_steps",
    "torch_threads",
    "eval_every",
    "eval_runs",
    "num_layers",
    "num_hidden",
    "workers",
    "shards",
)
READERS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(COUNTS, read_whole),
    **dict.fromkeys(
        ("control_dt", "reward_scale", "target_error_mm", "stop_error_mm", "checkpoint_seconds", "worker_cpus"), read_positive
    ),
    "start_noise": lambda name, value: read_number(name, value, "a finite half-width of at least 0 rad", lambda x: x >= 0),
    "stop_reward": lambda name, value: read_number(name, value, "a finite number"),
    **dict.fromkeys(("out", "zoo", "invite", "start_from"), _read_path),
    **dict.fromkeys(DICTIONARIES, _read_keywords),
    "backend": _read_backend,
    "price_per_hour": read_prices,
    "robot": _read_robot,
    "address": lambda name, value: None if value == "local" else value,
}
"""Field of a ``TrainConfig`` → function that returns its plain value, or raises."""
CHOICES: dict[str, tuple[str, Collection[str]]] = {
    "progress": ("progress mode", get_args(ProgressMode)),
    "missing_workers": ("policy for missing workers", get_args(MissingWorkers)),
    "vec": ("vectorization", get_args(Vectorization)),
    "preset": ("preset", PRESET_NAMES),
    "activation": ("activation", ACTIVATIONS),
}
"""Field → kind of its values for the error, and the values."""
