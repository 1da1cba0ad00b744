"""The environment: one ``gymnasium.Env`` for every robot, task and backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import logger
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.core import ArmCore, Observation
from gym_gazebo2.display import has_display
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.options import make_options
from gym_gazebo2.robots import RobotRow, RobotSpec
from gym_gazebo2.tasks import Task, make_task

__all__ = ["RENDER_MODES", "RENDER_SIZE", "ArmEnv", "check_render_mode", "make_metadata"]

Array = NDArray[np.float64]

RENDER_MODES = ("human", "rgb_array")
RENDER_SIZE = (640, 480)
"""Width and height of rendered pictures [px]."""
_ONE_ARM = np.ones(1, dtype=bool)
"""Mask of a batch of one arm."""


class ArmEnv(gymnasium.Env[Any, Any]):
    """An arm with a task. ``gymnasium.make`` adds the time limit of the id.

    See ``docs/semantics.md`` for time, frames, units and actions.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 20}  # noqa: RUF012

    def __init__(
        self, robot: str | RobotRow | RobotSpec, task: str | Task, *, render_mode: str | None = None, **keywords: Any
    ) -> None:
        """Compose an environment.

        Args:
            robot: Name of a row of ``ROBOTS``, path of a URDF or xacro file, a row, or a specification.
            task: Name of a row of ``TASKS``, or a task.
            render_mode: None, "rgb_array" or "human".
            **keywords: The fields of ``EnvOptions``, and the options of the task.

        Raises:
            InvalidArgumentError: A value is invalid.
            UnknownNameError: A table has no row of a given name, or there is no such keyword.
            RobotError: The robot's URDF does not describe a serial arm.
        """
        check_render_mode(render_mode)
        task = make_task(task)
        self.core = ArmCore(robot, task, make_options(keywords, task))
        self.observation_space, self.action_space = self.core.observation_space, self.core.action_space
        self.render_mode = render_mode
        self.metadata = make_metadata(type(self).metadata, self.core.control_dt)
        # SB3 recognises a goal-conditioned environment by the presence of this method, so others must not have it.
        if self.core.task.layout == "goal":
            self.compute_reward = self.core.compute_goal_reward

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the environment's random generator; None continues with the generator as it is.
            options: "q": start pose (dof,) [rad]; "goal": a goal for this episode, such as (3,) or (7,) for reach tasks.

        Returns:
            Observation and info.

        Raises:
            InvalidArgumentError: An option has an invalid value.
            UnknownNameError: There is no such option.
            UsageError: The environment is closed.
            BackendError: The simulator failed.
        """
        # The options are checked before the seed is used: a reset that is refused must leave the generator as it was.
        start = self.core.read_options(options, _ONE_ARM)
        super().reset(seed=seed)
        outcome = self.core.reset(_ONE_ARM, [self.np_random], start)
        if self.render_mode == "human":
            self.render()
        return _take_first(outcome.observation), _make_info(outcome.info)

    def step(self, action: ArrayLike) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Advance simulated time by exactly one control period.

        Args:
            action: (size,) between −1 and 1; values outside are clipped, NaN and infinity are errors.

        Returns:
            Observation at the end of the period, reward, terminated (the task ended the episode; reach tasks never do),
            truncated (only if the simulator failed and was restarted, ``on_failure="restart"``), info.

        Raises:
            InvalidArgumentError: The action has another shape, or is not finite.
            UsageError: The environment was never reset, or is closed.
            BackendError: The simulator failed.
        """
        # Checked here and not by the core alone, since the core would report the shape of a batch of one.
        action = np.asarray(action)
        if action.shape != self.action_space.shape:
            raise InvalidArgumentError("shape of action", action.shape, f"{self.action_space.shape}")
        outcome = self.core.step(action[None])
        if self.render_mode == "human":
            self.render()
        info = _make_info(outcome.info)
        return (
            _take_first(outcome.observation),
            outcome.reward.item(),
            outcome.terminated.item(),
            info["simulator_restarted"],
            info,
        )

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture (480, 640, 3) in mode "rgb_array", or show the arm in a window in mode "human".

        Raises:
            UnsupportedError: The backend cannot render.
            RenderError: The machine has no off-screen OpenGL, or no display.
        """
        if self.render_mode is None:
            logger.warn("render() needs a render mode: gym.make(id, render_mode='rgb_array') or 'human'.")
            return None
        return self.core.backend.render(self.render_mode, *RENDER_SIZE)

    def close(self) -> None:
        """Release the backend. Closing twice is fine."""
        self.core.backend.close()


def check_render_mode(render_mode: str | None) -> None:
    """Check a render mode.

    Raises:
        UnknownNameError: There is no such mode.
    """
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise UnknownNameError("render mode", render_mode, RENDER_MODES)


def make_metadata(metadata: Mapping[str, Any], control_dt: float) -> dict[str, Any]:
    """Return an instance's metadata: its frame rate, and the render modes that are possible on this machine."""
    # Gymnasium's environment checker tries every render mode listed, so "human" is left out where no window can open.
    modes = [mode for mode in RENDER_MODES if mode != "human" or has_display()]
    return {**metadata, "render_modes": modes, "render_fps": max(1, round(1.0 / control_dt))}


def _take_first(observation: Observation) -> Observation:
    if isinstance(observation, dict):
        return {key: value[0] for key, value in observation.items()}
    return observation[0]


def _make_info(info: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    # item() makes Python numbers, as Gymnasium's environments return them: ``info["is_success"] is True`` holds.
    return {key: value.item() for key, value in info.items()}
