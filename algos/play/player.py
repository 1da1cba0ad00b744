"""Watch or record an arm that moves by the policy of a run, by random actions, or by sliders on the keyboard."""

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
from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.choices import MODELS
from gym_gazebo2.algos.env_id import check_env_id
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, Policy, get_episode_steps, make_eval_env
from gym_gazebo2.algos.measures import describe_measures, get_measures
from gym_gazebo2.algos.play.film import FilmWriter, check_film
from gym_gazebo2.algos.play.keyboard import HELP, Sliders, open_keyboard
from gym_gazebo2.algos.runs.any_model import is_model_file, open_model
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.model_file import ModelFile
from gym_gazebo2.algos.runs.writing import add_advice
from gym_gazebo2.algos.settings.env_keywords import (
    check_env_kwargs,
    find_env_keywords,
    gather_env_kwargs,
)
from gym_gazebo2.algos.settings.options import EnvKwargs
from gym_gazebo2.algos.settings.values import merge
from gym_gazebo2.algos.vec_env import has_batched_form
from gym_gazebo2.backends import Backend, get_factory
from gym_gazebo2.checks import read_whole
from gym_gazebo2.display import check_display
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UnsupportedError
from gym_gazebo2.tasks import Measure

__all__ = ["PlayConfig", "Played", "play"]

POLICIES = ("policy", "random", "sliders")


@dataclasses.dataclass(frozen=True)
class PlayConfig:
    """Watch an arm in a window, or record it.

    Attributes:
        policy: "policy" (the run's own), "random", or "sliders" (from the keyboard). None: the run's, or random for an id.
        model: "model", the one at the end of training, or "best_model".
        episodes: Number of episodes.
        steps: Steps per episode; None: the id's limit, and for sliders no limit.
        seed: Episode i is seeded seed + i.
        start_noise: Half-width of the noise on the start pose [rad]; None: the training's, or none.
        backend: Backend to play on; None: the training's, or the id's.
        record: Write a film to this file (.mp4, .gif or .webp) instead of opening a window. On every backend the film shows the
            measured joint positions, drawn by MuJoCo.
        env: Environment id, only for a file that stable-baselines3's own ``save`` wrote.
        algo: Algorithm of such a file; None: the one that its settings show.
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
    env: str | None = None
    algo: str | None = None
    env_kwargs: EnvKwargs = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject invalid values."""
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
    """The result of one episode.

    Attributes:
        steps: Number of steps.
        reward: Sum of the rewards.
        measures: What the task measured at the last state [SI units].
        is_success: Whether the last state is a success; None if the environment does not report success.
        text: The measures as people read them, such as "tool error 0.42 mm"; empty if there are none.
    """

    steps: int
    reward: float
    measures: dict[str, float]
    is_success: bool | None
    text: str


@add_advice("Or choose another file with --record.")
def play(what: str | os.PathLike[str], config: PlayConfig = PlayConfig()) -> list[Played]:
    """Play episodes of a run's environment, or of an environment id.

    Args:
        what: A run's folder, a model file, or an environment id.
        config: How to play.

    Returns:
        The result of each episode. With sliders the user decides when an episode ends.

    Raises:
        RunError: There is no finished run, or its model is corrupt.
        WriteError: The film cannot be written.
        UnknownNameError: There is no such id or backend.
        InvalidArgumentError: An id alone has no policy, or the film has an unknown suffix.
        UnsupportedError: Sliders or a film are asked for, and the environment is no arm of this package.
        RenderError: There is no display for a window, or no off-screen OpenGL for a film.
        UsageError: Sliders without a terminal.
    """
    if config.record is not None:
        check_film(config.record)
    file = _open_model(os.fspath(what), config)
    kind = config.policy or ("random" if file is None else "policy")
    if kind == "policy" and file is None:
        raise InvalidArgumentError("policy", kind, f"'random' or 'sliders', as {os.fspath(what)} is not a run folder")
    env_id = os.fspath(what) if file is None else file.config.env
    if not has_batched_form(env_id) and (kind == "sliders" or config.record is not None):
        subject = "Sliders need" if kind == "sliders" else "A film needs"
        raise UnsupportedError(f"{subject} an arm of gym_gazebo2, but {env_id} is not one. Play it in its own window.")
    with contextlib.ExitStack() as stack:
        env: Any = stack.enter_context(contextlib.closing(_make_env(env_id, file, config)))
        film = None
        if config.record is not None:
            film = stack.enter_context(
                contextlib.closing(FilmWriter(config.record, env.arms.robot, env.arms.control_dt, env.arms.task.scene))
            )
        measures = get_measures(env_id)
        if kind == "sliders":
            sliders = Sliders(_name_components(env.arms))
            read_keys = stack.enter_context(open_keyboard(env.arms.control_dt))
            session = _Session(env, lambda: sliders, config.steps or math.inf, measures, film)
            return list(session.play_all(config, lambda: _apply_keys(sliders, read_keys())))
        steps = config.steps or get_episode_steps(env_id, None if file is None else file.config.max_episode_steps)
        wrapped, make_policy = _make_policy(env, file if kind == "policy" else None, config.seed)
        return list(_Session(wrapped, make_policy, steps, measures, film).play_all(config, lambda: ""))


def _name_components(arms: Any) -> tuple[str, ...]:
    """Return a name for each component of an action: that of a joint, or "gripper"."""
    names: tuple[str, ...] = arms.robot.chain.joint_names
    return (*names, "gripper") if arms.task.uses_gripper else names


def _open_model(what: str, config: PlayConfig) -> ModelFile | None:
    """Return the model of a run folder or of a file, or None for an environment id."""
    if is_model_file(what) or (Path(what) / "config.json").is_file():
        return open_model(what, config.model, config.env, config.algo)
    if what not in gymnasium.registry:
        if os.sep in what:
            RunFolder.open(what)  # raises the error of a folder without a run, which says more about a path
        check_env_id(what)
    return None


def _make_env(env_id: str, file: ModelFile | None, config: PlayConfig) -> VecEnv:
    """Make one environment, in a window unless it is recorded."""
    changes = gather_env_kwargs(config)
    check_env_kwargs(env_id, changes)
    kwargs = changes if file is None else file.config.change_kwargs(changes)
    if config.record is None:
        backend = kwargs.get("backend") or find_env_keywords(env_id).defaults.get("backend")
        window = Backend.window if backend is None else getattr(get_factory(backend), "window", Backend.window)
        if window:
            check_display("record a film with --record FILE")
        kwargs = merge(kwargs, window)
    return make_eval_env(env_id, 1, **kwargs)


def _make_policy(env: VecEnv, file: ModelFile | None, seed: int) -> tuple[VecEnv, Callable[[], Policy]]:
    """Return the environment as the policy needs it, and a function that makes the policy of an episode.

    Args:
        env: The environment.
        file: The model that acts; None for random actions.
        seed: Seed of random actions.
    """
    if file is not None:
        model = file.build()
        return file.wrap(env), lambda: ModelPolicy(model)
    env.action_space.seed(seed)
    return env, lambda: lambda observation: np.asarray(env.action_space.sample())[None]


@dataclasses.dataclass(frozen=True)
class _Session:
    """Episodes of one environment.

    Attributes:
        env: The environment, wrapped as the policy needs it.
        make_policy: Makes the policy of one episode.
        max_steps: Most steps per episode.
        measures: The task's measures.
        film: Where the frames go; None for a window.
    """

    env: Any
    make_policy: Callable[[], Policy]
    max_steps: float
    measures: Mapping[str, Measure]
    film: FilmWriter | None

    def play_all(self, config: PlayConfig, read_command: Callable[[], str]) -> Iterator[Played]:
        """Play one episode after the other.

        Args:
            config: The number of episodes and their seeds.
            read_command: Called after every step; returns "reset" (new episode), "quit" or "".
        """
        episode, command = 0, ""
        while episode < config.episodes and command != "quit":
            played, command = self._play_one(config.seed + episode, read_command)
            yield played
            episode += command != "reset"  # an episode that the user started anew does not count

    def _play_one(self, seed: int, read_command: Callable[[], str]) -> tuple[Played, str]:
        """Play one episode; return its result, and the command that ended it."""
        self.env.seed(seed)
        observation, policy = self.env.reset(), self.make_policy()
        steps, total, has_ended, command = 0, 0.0, False, ""
        while steps < self.max_steps and not has_ended and not command:
            observation, reward, dones, infos = self.env.step(policy(observation))
            steps, total, has_ended = steps + 1, total + float(reward[0]), bool(dones[0])
            self._add_frame()
            command = read_command()
        values = {name: float(infos[0][name]) for name in self.measures}
        text = describe_measures(self.measures, values)
        return Played(steps, total, values, infos[0].get("is_success"), text), command

    def _add_frame(self) -> None:
        """Record the arm as it stood at the end of the step, also if its episode ended and it stands at its next start."""
        if self.film is not None:
            arms = self.env.unwrapped.arms
            state, goal = arms.ended
            pose = arms.task.get_goal_pose(goal)
            self.film.add(state.arm.q[0], None if pose is None else pose[0, :3], state.arm.objects)


def _apply_keys(sliders: Sliders, keys: list[bytes]) -> str:
    """Let keys move the sliders, print the sliders, and return the user's command: "", "reset" or "quit"."""
    sliders.command = ""
    for key in keys:
        sliders.press(key)
    sys.stderr.write(f"\r\x1b[K{sliders.describe()}   {HELP}")  # back to the start of the line, and clear it
    sys.stderr.flush()
    return sliders.command
