"""Watch or record an arm: the policy of a run, random actions, or sliders under the keyboard."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.choices import MODELS
from gym_gazebo2.algos.env_id import check_env_id
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, get_episode_steps, make_eval_env
from gym_gazebo2.algos.measures import describe_measures, get_measures
from gym_gazebo2.algos.play.film import Film, check_film
from gym_gazebo2.algos.play.keyboard import HELP, Sliders, open_keyboard
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.runs.writing import add_advice
from gym_gazebo2.algos.settings.env_keywords import (
    change_env_kwargs,
    check_env_kwargs,
    find_env_keywords,
    gather_env_kwargs,
)
from gym_gazebo2.algos.settings.options import EnvKwargs
from gym_gazebo2.algos.settings.values import merge
from gym_gazebo2.algos.vec_env import has_batched_form
from gym_gazebo2.backends import Backend, get_factory
from gym_gazebo2.checks import read_whole
from gym_gazebo2.core import ArmCore
from gym_gazebo2.display import check_display
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UnsupportedError
from gym_gazebo2.tasks import Measure

__all__ = ["PlayConfig", "Played", "play"]

POLICIES = ("policy", "random", "sliders")
Act = Callable[[Any], NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class PlayConfig:
    """Watch an arm in a window, or record it.

    Attributes:
        policy: "policy", the run's own; "random"; or "sliders", from the keyboard. None: the run's, or random for an id.
        model: "model", the one at the end of training, or "best_model".
        episodes: Episodes to play.
        steps: Steps of an episode; None: the id's, and for sliders no limit.
        seed: Episode i is seeded seed + i.
        start_noise: Half-width of the noise on the start pose [rad]; None: the training's, or none.
        backend: Backend to play on; None: the training's, or the id's.
        record: File to write, .mp4, .gif or .webp, without a window. Whatever moves the arm, the embedded renderer draws it
            from its joints' positions.
        env_kwargs: Any other keyword of the environment, on top of the training's: its name follows the point, as in
            --env.goal [0.3,0,0.4].
    """

    policy: str | None = None
    model: str = "model"
    episodes: int = 1
    steps: int | None = None
    seed: int = 0
    start_noise: float | None = None
    backend: str | None = None
    record: str | None = None
    env_kwargs: EnvKwargs = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values."""
        gather_env_kwargs(self)
        if self.policy is not None and self.policy not in POLICIES:
            raise UnknownNameError("policy", self.policy, POLICIES)
        if self.model not in MODELS:
            raise UnknownNameError("model", self.model, MODELS)
        read_whole("episodes", self.episodes)
        read_whole("seed", self.seed, least=0)
        if self.steps is not None:
            read_whole("steps", self.steps)


@dataclasses.dataclass(frozen=True)
class Played:
    """One episode that was played.

    Attributes:
        steps: Its steps.
        reward: Sum of rewards.
        measured: What the task measured at its end, such as "tool error 0.42 mm"; empty if it measures nothing.
        is_success: Whether it ended in success; None if the environment does not report success.
    """

    steps: int
    reward: float
    measured: str
    is_success: bool | None


@dataclasses.dataclass(frozen=True)
class _Stage:
    """What is played: one environment, the policy of each episode, and the measures to report.

    Attributes:
        env: The environment, wrapped as the policy needs it.
        make_act: Returns the policy of an episode.
        steps: Most steps of an episode.
        measures: The task's measures.
    """

    env: Any
    make_act: Callable[[], Act]
    steps: float
    measures: Mapping[str, Measure]


@add_advice("Or choose another file with --record.")
def play(what: str | os.PathLike[str], config: PlayConfig = PlayConfig()) -> list[Played]:
    """Play episodes of a run's environment, or of an id.

    Args:
        what: A run's folder, or an environment id.
        config: How to play.

    Returns:
        What became of each episode; sliders end when the user says so.

    Raises:
        RunError: There is no finished run, its model is corrupt, or the film cannot be written.
        UnknownNameError: There is no such id, policy or backend.
        InvalidArgumentError: An id alone has no policy, or the film's ending is unknown.
        RenderError: There is no display for a window, or no OpenGL for a film.
    """
    if config.record is not None:
        check_film(config.record)
    with contextlib.ExitStack() as stack:
        stage = _prepare(os.fspath(what), config, stack)
        film = None
        if config.record is not None:
            arms = stage.env.unwrapped.arms
            film = stack.enter_context(contextlib.closing(Film(config.record, arms.robot, arms.control_dt)))
        sliders = stage.make_act()
        if not isinstance(sliders, Sliders):
            return list(_play_all(stage, config, film, lambda: ""))
        read_keys = stack.enter_context(open_keyboard(stage.env.unwrapped.arms.control_dt))
        return list(_play_all(stage, config, film, lambda: _steer(sliders, read_keys())))


def _prepare(what: str, config: PlayConfig, stack: contextlib.ExitStack) -> _Stage:
    """Return what is played; the stack closes it."""
    is_run = (Path(what) / "config.json").is_file()
    if not is_run and what not in gymnasium.registry:
        RunFolder.open(what) if os.sep in what else check_env_id(what)
    kind = config.policy or ("policy" if is_run else "random")
    if kind == "policy" and not is_run:
        raise InvalidArgumentError("policy", kind, f"'random' or 'sliders', as {what} is an id and no run folder")
    file = read_model_file(RunFolder.open(what).get_model(config.model)) if is_run else None
    env_id = file.config.env if file else what
    changes = gather_env_kwargs(config)
    check_env_kwargs(env_id, changes)
    kwargs = change_env_kwargs(file.config.make_kwargs if file else {}, changes)
    if config.record is None:
        backend = kwargs.get("backend") or find_env_keywords(env_id).defaults.get("backend")
        window = Backend.window if backend is None else getattr(get_factory(backend), "window", Backend.window)
        if window:
            check_display("record a film with --record FILE")
        kwargs = merge(kwargs, window)
    if not has_batched_form(env_id) and (kind == "sliders" or config.record is not None):
        what_needs = "Sliders need" if kind == "sliders" else "A film needs"
        raise UnsupportedError(f"{what_needs} an arm of gym_gazebo2, and {env_id} is none. Play it in its own window.")
    env: Any = make_eval_env(env_id, 1, **kwargs)
    stack.enter_context(contextlib.closing(env))
    measures = get_measures(env_id)
    if kind == "sliders":
        sliders = Sliders(env.arms.robot.joint_names)
        return _Stage(env, lambda: sliders, config.steps or math.inf, measures)
    steps = config.steps or get_episode_steps(env_id, kwargs.get("max_episode_steps"))
    if file is not None and kind == "policy":
        model = file.build()
        return _Stage(file.wrap(env), lambda: ModelPolicy(model), steps, measures)
    env.action_space.seed(config.seed)
    return _Stage(env, lambda: lambda observation: np.asarray(env.action_space.sample())[None], steps, measures)


def _play_all(stage: _Stage, config: PlayConfig, film: Film | None, steer: Callable[[], str]) -> Iterator[Played]:
    """Play one episode after the other, until there are enough or the user ends it."""
    env, episode, wants = stage.env, 0, ""
    while episode < config.episodes and wants != "quit":
        env.seed(config.seed + episode)
        observation, act, total, count, wants, has_ended = env.reset(), stage.make_act(), 0.0, 0, "", False
        while count < stage.steps and not wants and not has_ended:
            observation, reward, dones, infos = env.step(act(observation))
            total, count, has_ended = total + float(reward[0]), count + 1, bool(dones[0])
            if film is not None and not has_ended:  # an arm whose episode ended is already at its next start
                film.add(*_get_scene(env.unwrapped.arms))
            wants = steer()
        yield Played(count, total, describe_measures(stage.measures, infos[0]), infos[0].get("is_success"))
        episode += wants != "reset"


def _get_scene(arms: ArmCore) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the first arm's joint positions (dof,) [rad] and the position of its goal (3,) [m], if it has one."""
    pose = arms.task.get_goal_pose(arms.goal)
    return arms.require_state().arm.q[0], None if pose is None else pose[0, :3]


def _steer(sliders: Sliders, keys: list[bytes]) -> str:
    """Let the keyboard move the sliders, show them, and return what the user wants: "", "reset" or "quit"."""
    sliders.wants = ""
    for key in keys:
        sliders.press(key)
    sys.stderr.write(f"\r\x1b[K{sliders.describe()}   {HELP}")
    sys.stderr.flush()
    return sliders.wants
