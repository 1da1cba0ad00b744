"""Keywords of environments: which ones an id takes, their defaults, and how several sources combine."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gymnasium.envs.registration import load_env_creator

from gym_gazebo2.algos.env_id import get_spec
from gym_gazebo2.algos.settings.values import merge
from gym_gazebo2.env import ArmEnv
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.options import ROBOT_KEYWORDS, EnvOptions, make_env_robot
from gym_gazebo2.robots import RobotSpec, find_row, is_built_in, is_stored
from gym_gazebo2.tasks import make_task

__all__ = [
    "WITH_FIELDS",
    "EnvKeywords",
    "change_env_kwargs",
    "check_env_kwargs",
    "find_env_keywords",
    "find_env_robot",
    "gather_env_kwargs",
    "has_own_robot",
    "naming_env_kwargs",
    "use_robot",
]

WITH_FIELDS = ("robot", "tool_frame", "backend", "control", "control_dt", "start_noise", "max_episode_steps")
"""Keywords that configurations have fields for, as short forms of ``env_kwargs``."""
OF_GYMNASIUM = ("max_episode_steps",)
"""Keywords that ``gymnasium.make`` takes itself, for every id."""
OF_BACKEND = ("backend_options", "randomize")
"""Keywords that another backend does not take over. ``randomize`` stands for what differs there: on a robot, its delay would be
added to the robot's own. Besides, not every engine can vary everything."""
REFUSED = {
    "num_envs": "--num-envs sets it",
    "render_mode": "the command sets it",
    "autoreset_mode": "the command sets it",
    "task": "the id fixes it. Register an id of your own with register_env",
}
"""Keyword that cannot be given → the reason."""


@dataclasses.dataclass(frozen=True)
class EnvKeywords:
    """The keywords of an environment id.

    Attributes:
        defaults: Keyword → its default: that of the id's registration, else that of the constructor.
        own: Keywords that the id's registration sets.
        is_open: Whether the constructor has ``**kwargs``, so that the keywords are not all known.
    """

    defaults: dict[str, Any]
    own: dict[str, Any]
    is_open: bool

    def accepts(self, name: str) -> bool:
        """Return whether the id takes a keyword, as far as its constructor shows."""
        return name in self.defaults or name in OF_GYMNASIUM or self.is_open


def find_env_keywords(env_id: str) -> EnvKeywords:
    """Return the keywords of an id that ``check_env_id`` accepted, from its constructor's signature.

    Raises:
        InvalidArgumentError: The environment's module cannot be imported.
    """
    spec = get_spec(env_id)
    try:
        creator: Any = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    except Exception as error:  # the module may be anybody's, and lack anything
        sentence = f"Cannot import the environment {env_id} ({type(error).__name__}: {error})."
        raise InvalidArgumentError("env", env_id, sentence=sentence) from error
    parameters = inspect.signature(creator).parameters.values()
    defaults = {p.name: None if p.default is p.empty else p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
    is_open = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if isinstance(creator, type) and issubclass(creator, ArmEnv):  # its **keywords: fields of EnvOptions, options of the task
        defaults |= {field.name: field.default for field in dataclasses.fields(EnvOptions)}
        if "task" in spec.kwargs:
            task = make_task(spec.kwargs["task"])
            defaults |= {name: getattr(task, name) for name in task.OPTIONS}
        is_open = False
    return EnvKeywords({**defaults, **spec.kwargs}, dict(spec.kwargs), is_open)


def find_env_robot(env_id: str, kwargs: Mapping[str, Any]) -> RobotSpec | None:
    """Return the robot of an id of this package with some keywords; None for other ids."""
    keywords = {**find_env_keywords(env_id).defaults, **kwargs}
    if not {"robot", "task", "robot_options"} <= keywords.keys():
        return None
    return make_env_robot(keywords["robot"], keywords, make_task(keywords["task"]).uses_gripper)


def has_own_robot(env_id: str, kwargs: Mapping[str, Any]) -> bool:
    """Return whether the robot of an id with some keywords is one of the user's, whose files may change."""
    keywords = {**find_env_keywords(env_id).defaults, **kwargs}
    robot = keywords.get("robot")
    if "robot_options" not in keywords or robot is None:
        return False
    return isinstance(robot, RobotSpec) or is_stored(robot) or not is_built_in(find_row(robot)[1])


def check_env_kwargs(env_id: str, names: Iterable[str]) -> None:
    """Check that an id takes keywords of these names.

    Raises:
        InvalidArgumentError: A keyword of this package's environments is given to another, or it cannot be given.
        UnknownNameError: There is no such keyword.
    """
    keywords = find_env_keywords(env_id)
    ours = [field.name for field in dataclasses.fields(EnvOptions)]
    for name in names:
        if name in REFUSED:
            raise InvalidArgumentError(name, env_id, sentence=f"Cannot set the keyword {name} of {env_id}: {REFUSED[name]}.")
        if keywords.accepts(name):
            continue
        if name in ours:
            sentence = f"{env_id} does not take {name}. Only environments of gym_gazebo2 take: {', '.join(ours)}."
            raise InvalidArgumentError(name, env_id, sentence=sentence)
        raise UnknownNameError(f"keyword of {env_id}", name, set(keywords.defaults) - set(REFUSED))


def gather_env_kwargs(config: Any) -> dict[str, Any]:
    """Return the keywords of the environment that a configuration gives: ``env_kwargs``, and those with a field.

    Raises:
        InvalidArgumentError: A keyword has one value as a field and another one in ``env_kwargs``.
    """
    fields = {name: value for name in WITH_FIELDS if (value := getattr(config, name, None)) is not None}
    for name in fields.keys() & config.env_kwargs.keys():
        if fields[name] != config.env_kwargs[name]:
            sentence = f"{name} is given twice: as {fields[name]!r}, and as {config.env_kwargs[name]!r} in env_kwargs."
            raise InvalidArgumentError(name, fields[name], sentence=sentence)
    return {**config.env_kwargs, **fields}


def change_env_kwargs(kwargs: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords with changes in place.

    Some keywords belong to a backend: where the changes name another one, it starts without those of the first.
    """
    stays = changes.get("backend", kwargs.get("backend")) == kwargs.get("backend")
    return merge({name: value for name, value in kwargs.items() if stays or name not in OF_BACKEND}, changes)


def use_robot(kwargs: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return keywords with a stored robot, which is complete, in place of those that describe one."""
    kept = {name: value for name, value in kwargs.items() if name not in (*ROBOT_KEYWORDS, "robot_options")}
    return {**kept, "robot": folder}


@contextlib.contextmanager
def naming_env_kwargs(env_id: str, kwargs: Mapping[str, Any]) -> Iterator[None]:
    """Report a keyword that an environment's constructor rejects only when it is called.

    Raises:
        InvalidArgumentError: A constructor with ``**kwargs`` rejects a keyword. Other errors pass.
    """
    try:
        yield
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        sentence = f"{env_id} rejects a keyword of {sorted(kwargs)}: {error}."
        raise InvalidArgumentError("env_kwargs", dict(kwargs), sentence=sentence) from error
