"""Watch or record an arm: the policy of a run, random actions, or sliders under the keyboard."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
from numpy.typing import NDArray

from gym_gazebo2.algos.choices import MODELS
from gym_gazebo2.algos.env_id import check_env_id
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, get_episode_steps, make_eval_env
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
from gym_gazebo2.backends import Backend, get_factory
from gym_gazebo2.checks import read_whole
from gym_gazebo2.display import check_display
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

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
        error_mm: Distance of the tool from its goal at the end [mm].
        is_success: Whether it ended at the goal.
    """

    steps: int
    reward: float
    error_mm: float
    is_success: bool


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
        env, make_act, steps = _prepare(os.fspath(what), config, stack)
        film, core = None, env.unwrapped.env.core
        if config.record is not None:
            film = stack.enter_context(contextlib.closing(Film(config.record, core.robot, core.control_dt)))
        sliders = make_act()
        if not isinstance(sliders, Sliders):
            return list(_play_all(env, make_act, steps, config, film, lambda: ""))
        read_keys = stack.enter_context(open_keyboard(core.control_dt))
        return list(_play_all(env, make_act, steps, config, film, lambda: _steer(sliders, read_keys())))


def _prepare(what: str, config: PlayConfig, stack: contextlib.ExitStack) -> tuple[Any, Callable[[], Act], float]:
    """Return one arm, what makes an episode's policy, and the steps of an episode."""
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
    arm: Any = make_eval_env(env_id, 1, **kwargs)
    stack.enter_context(contextlib.closing(arm))
    if kind == "sliders":
        sliders = Sliders(arm.env.core.robot.joint_names)
        return arm, lambda: sliders, config.steps or math.inf
    steps = config.steps or get_episode_steps(env_id, kwargs.get("max_episode_steps"))
    if file is not None and kind == "policy":
        model = file.build()
        return file.wrap(arm), lambda: ModelPolicy(model), steps
    arm.action_space.seed(config.seed)
    return arm, lambda: lambda observation: arm.action_space.sample()[None], steps


def _play_all(
    env: Any, make_act: Callable[[], Act], steps: float, config: PlayConfig, film: Film | None, steer: Callable[[], str]
) -> Iterator[Played]:
    """Play one episode after the other, until there are enough or the user ends it."""
    core, episode, wants = env.unwrapped.env.core, 0, ""
    while episode < config.episodes and wants != "quit":
        env.seed(config.seed + episode)
        observation, act, total, count, wants = env.reset(), make_act(), 0.0, 0, ""
        while count < steps and not wants:
            observation, reward, _, infos = env.step(act(observation))
            total, count = total + float(reward[0]), count + 1
            if film is not None:
                film.add(core.arm.q[0], core.goal[0, :3])
            wants = steer()
        yield Played(count, total, 1e3 * infos[0]["position_error"], bool(infos[0]["is_success"]))
        episode += wants != "reset"


def _steer(sliders: Sliders, keys: list[bytes]) -> str:
    """Let the keyboard move the sliders, show them, and return what the user wants: "", "reset" or "quit"."""
    sliders.wants = ""
    for key in keys:
        sliders.press(key)
    sys.stderr.write(f"\r\x1b[K{sliders.describe()}   {HELP}")
    sys.stderr.flush()
    return sliders.wants
