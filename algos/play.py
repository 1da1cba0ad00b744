"""Watch or record an arm: the policy of a run, random actions, or sliders under the keyboard."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.evaluate import MODELS
from gym_gazebo2.algos.model_file import read_model_file
from gym_gazebo2.algos.recording import Film, check_film
from gym_gazebo2.algos.rollout import get_episode_steps, make_eval_env
from gym_gazebo2.algos.run_folder import RunFolder
from gym_gazebo2.algos.sliders import HELP, Sliders, open_keyboard
from gym_gazebo2.algos.vec_env import check_env_id
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UsageError
from gym_gazebo2.numbers import check_whole

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
        seed: Episode i is seeded seed + i.
        start_noise: Half-width of the noise on the start pose [rad]; None: the training's, or none.
        backend: Backend to play on; None: the training's, or the id's.
        record: File to write, .mp4, .gif or .webp; no window is opened then.
    """

    policy: str | None = None
    model: str = "model"
    episodes: int = 1
    seed: int = 0
    start_noise: float | None = None
    backend: str | None = None
    record: str | None = None

    def __post_init__(self) -> None:
        """Reject what cannot work."""
        if self.policy is not None and self.policy not in POLICIES:
            raise UnknownNameError("policy", self.policy, POLICIES)
        if self.model not in MODELS:
            raise UnknownNameError("model", self.model, MODELS)
        check_whole("episodes", self.episodes, least=1)
        check_whole("seed", self.seed, least=0)


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
        env, act, steps = _prepare(what, config, stack)
        film = None
        if config.record is not None:
            core = env.unwrapped.env.core
            film = stack.enter_context(contextlib.closing(Film(config.record, core.robot, core.control_dt)))
        sliders = act if isinstance(act, Sliders) else None
        keys = stack.enter_context(open_keyboard()) if sliders else list
        return list(_play_all(env, act, steps, config, film, lambda: _steer(sliders, keys)))


def _prepare(what: str | os.PathLike[str], config: PlayConfig, stack: contextlib.ExitStack) -> tuple[Any, Act, int]:
    """Return one arm, what decides its actions, and the steps of an episode."""
    is_run = (Path(what) / "config.json").is_file()
    if not is_run and os.fspath(what) not in gymnasium.registry:
        RunFolder.open(what) if os.sep in os.fspath(what) else check_env_id(os.fspath(what))
    kind = config.policy or ("policy" if is_run else "random")
    given = {"backend": config.backend, "start_noise": config.start_noise}
    kwargs: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if config.record is None:
        kwargs["render_mode"] = "human"
    if not is_run:
        if kind == "policy":
            raise InvalidArgumentError("policy", kind, f"'random' or 'sliders', as {what} is an id and no run folder")
        env = stack.enter_context(contextlib.closing(make_eval_env(os.fspath(what), 1, **kwargs)))
        return env, _make_act(kind, env, config.seed), get_episode_steps(os.fspath(what), None)
    file = read_model_file(RunFolder.open(what).path / f"{config.model}.zip")
    arm = make_eval_env(file.config.env, 1, **{**file.config.env_kwargs, **kwargs})
    env = stack.enter_context(contextlib.closing(file.wrap(arm)))
    steps = get_episode_steps(file.config.env, file.config.max_episode_steps)
    if kind != "policy":
        return env, _make_act(kind, env, config.seed), steps
    model = file.build()
    return env, lambda observation: model.predict(observation, deterministic=True)[0][0], steps


def _make_act(kind: str, env: Any, seed: int) -> Act:
    if kind == "sliders":
        return Sliders(env.unwrapped.env.core.robot.joint_names)
    env.action_space.seed(seed)
    return lambda observation: env.action_space.sample()


def _play_all(
    env: Any, act: Act, steps: int, config: PlayConfig, film: Film | None, steer: Callable[[], str]
) -> Iterator[Played]:
    """Play one episode after the other, until there are enough or the user ends it."""
    core, episode = env.unwrapped.env.core, 0
    while episode < config.episodes:
        env.seed(config.seed + episode)
        observation, total, count, wants = env.reset(), 0.0, 0, ""
        while count < steps and not wants:
            observation, reward, _, infos = env.step(np.asarray(act(observation))[None])
            total, count = total + float(reward[0]), count + 1
            if film is not None:
                film.add(core.arm.q[0], core.goal[0, :3])
            wants = steer()
        yield Played(count, total, 1e3 * infos[0]["position_error"], bool(infos[0]["is_success"]))
        if wants == "quit":
            return
        episode += not isinstance(act, Sliders)


def _steer(sliders: Sliders | None, keys: Callable[[], list[bytes]]) -> str:
    """Let the keyboard move the sliders, show them, and return what the user wants: "", "reset" or "quit"."""
    if sliders is None:
        return ""
    sliders.wants = ""
    for key in keys():
        sliders.press(key)
    sys.stderr.write(f"\r\x1b[K{sliders.describe()}   {HELP}")
    sys.stderr.flush()
    return sliders.wants


def check_display() -> None:
    """Raise a UsageError where no window can be opened, with what to do instead."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError("There is no display for a window (DISPLAY is not set). Record a film instead: --record arm.mp4")
