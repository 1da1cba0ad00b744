"""The batched environment: one ``gymnasium.vector.VectorEnv`` over the same core as ``ArmEnv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.checks import read_whole
from gym_gazebo2.core import ArmCore, Observation, Outcome
from gym_gazebo2.env import RENDER_SIZE, ArmEnv, check_render_mode, make_metadata
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UsageError
from gym_gazebo2.options import make_options
from gym_gazebo2.robots import RobotRow, RobotSpec
from gym_gazebo2.tasks import Task, make_task

__all__ = ["ArmVectorEnv", "make_generators", "select"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class ArmVectorEnv(VectorEnv[Any, Any, NDArray[Any]]):
    """n arms in one backend. With seed s, arm i moves as the single environment with seed s + i.

    An arm whose episode ends starts the next one in the same step (``AutoresetMode.SAME_STEP``): the observation returned is
    the new episode's first, ``info["final_obs"]`` and ``info["final_info"]`` hold the end of the old one. Gymnasium's vector
    wrappers need ``NEXT_STEP``: the step after an episode's end ignores the arm's action and returns the new episode's first
    observation, with reward 0.
    """

    metadata = {**ArmEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        robot: str | RobotRow | RobotSpec,
        task: str | Task,
        *,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
        **keywords: Any,
    ) -> None:
        """Compose n environments.

        Args:
            robot: Name of a row of ``ROBOTS``, path of a URDF or xacro file, a row, or a specification.
            task: Name of a row of ``TASKS``, or a task.
            num_envs: Number of arms n.
            max_episode_steps: Steps after which an episode is truncated; None: no limit.
            autoreset_mode: SAME_STEP; NEXT_STEP; or DISABLED with ``reset(options={"reset_mask": …})``.
            render_mode: None, "rgb_array" or "human"; both draw the first arm.
            **keywords: The fields of ``EnvOptions``, and the options of the task.

        Raises:
            InvalidArgumentError: A value is invalid.
            UnknownNameError: A table has no row of a given name, or there is no such keyword.
            RobotError: The robot's URDF does not describe a serial arm.
        """
        check_render_mode(render_mode)
        task = make_task(task)
        self.core = ArmCore(robot, task, make_options(keywords, task), num_envs=num_envs)
        self.num_envs = self.core.num_envs
        self.max_episode_steps = _check_limit(max_episode_steps)
        self.single_observation_space, self.single_action_space = self.core.observation_space, self.core.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.render_mode = render_mode
        self.autoreset_mode = _check_autoreset(autoreset_mode)
        self.metadata = make_metadata(type(self).metadata, self.core.control_dt) | {"autoreset_mode": self.autoreset_mode}
        if self.core.task.layout == "goal":
            self.compute_reward = self.core.compute_goal_reward
        self._rngs, self._seeds = make_generators([None] * self.num_envs)
        self._steps = np.zeros(self.num_envs, dtype=np.int64)
        # Arms that wait for a reset: by the user (DISABLED), or in the next step (NEXT_STEP). Always False with SAME_STEP.
        self._has_ended = np.zeros(self.num_envs, dtype=bool)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The arms' random generators."""
        return tuple(self._rngs)

    @property  # type: ignore[misc]
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seeds of the arms' random generators."""
        return tuple(self._seeds)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: A number s seeds arm i with s + i. A list seeds each arm; None continues with the generators as they are.
            options: "reset_mask": (n,) bool, the arms to reset (default all); "q" and "goal" as in ``ArmEnv``, or n rows.

        Returns:
            Batched observation and info.

        Raises:
            InvalidArgumentError: An option, or the number of seeds, is invalid.
            UnknownNameError: There is no such option.
            UsageError: The environment is closed.
            BackendError: The simulator failed.
        """
        options = dict(options or {})
        mask = _check_mask(options.pop("reset_mask", np.ones(self.num_envs, dtype=bool)), self.num_envs)
        start = self.core.read_options(options, mask)
        self._seed(seed, mask)
        outcome = self.core.reset(mask, self._rngs, start)
        self._steps[mask], self._has_ended[mask] = 0, False
        self._show()
        return outcome.observation, _make_infos(outcome.info, mask)

    def step(self, actions: ArrayLike) -> tuple[Observation, Array, Mask, Mask, dict[str, Any]]:
        """Advance every arm by one control period.

        Args:
            actions: (n, size) between −1 and 1; values outside are clipped, NaN and infinity are errors.

        Returns:
            Observation, reward, terminated (the task ended the episode), truncated (time limit, or the simulator was
            restarted), info.

        Raises:
            InvalidArgumentError: The actions have another shape, or are not finite.
            UsageError: The arms were never reset, the environment is closed, or an episode has ended and, with autoreset
                DISABLED, its arm was not reset.
            BackendError: The simulator failed.
        """
        waiting = self._has_ended
        if waiting.any() and self.autoreset_mode == AutoresetMode.NEXT_STEP:
            outcome = self._reset_waiting(actions, waiting)
        elif waiting.any():
            ended = np.flatnonzero(self._has_ended).tolist()
            raise UsageError(f"The episodes of arms {ended} have ended. Reset them: reset(options={{'reset_mask': mask}}).")
        else:
            outcome = self.core.step(actions)
        self._steps = np.where(waiting, 0, self._steps + 1)
        truncated = outcome.info["simulator_restarted"].copy()
        if self.max_episode_steps is not None:
            truncated |= self._steps >= self.max_episode_steps
        truncated &= ~waiting
        observation, infos = outcome.observation, _make_infos(outcome.info, np.ones(self.num_envs, dtype=bool))
        ended = outcome.terminated | truncated
        self._has_ended = np.zeros_like(ended)
        if ended.any():
            observation, infos = self._end(ended, observation, infos)
        self._show()
        return observation, outcome.reward, outcome.terminated, truncated, infos

    def get_steps(self) -> NDArray[np.int64]:
        """Return the number of steps of each arm's episode so far, (n,)."""
        return self._steps.copy()

    def set_steps(self, steps: NDArray[np.int64]) -> None:
        """Set the number of steps of each arm's episode so far, (n,), as when a run is resumed."""
        self._steps[:] = steps

    def render(self) -> tuple[Any, ...] | None:
        """Return a tuple with the picture of the first arm, or show that arm in a window.

        Raises:
            UnsupportedError: The backend cannot render.
            RenderError: The machine has no off-screen OpenGL, or no display.
        """
        if self.render_mode is None:
            return None
        return (self.core.backend.render(self.render_mode, *RENDER_SIZE),)

    def close_extras(self, **kwargs: Any) -> None:
        """Release the backend."""
        self.core.backend.close()

    def _reset_waiting(self, actions: ArrayLike, waiting: Mask) -> Outcome:
        """Reset the arms whose episode ended in the last step, and advance the others.

        Args:
            actions: (n, size) actions; those of arms that wait are ignored.
            waiting: (n,) bool.

        Returns:
            The outcome, in which the waiting arms have the first observation of their new episode and reward 0.
        """
        everyone = np.asarray(actions)
        if everyone.shape != self.action_space.shape:
            raise InvalidArgumentError("shape of action", everyone.shape, f"{self.action_space.shape} (arms, components)")
        if waiting.all():
            return self.core.reset(waiting, self._rngs)  # no arm has a reason to move, least of all a real one
        # One backend advances all arms. Those that wait take part in the period, and are then put at their start.
        stepped = self.core.step(np.where(waiting[:, None], 0.0, everyone))
        new = self.core.reset(waiting, self._rngs)
        info = {name: np.where(waiting, new.info[name], value) for name, value in stepped.info.items()}
        reward = np.where(waiting, 0.0, stepped.reward)
        return Outcome(new.observation, reward, stepped.terminated & ~waiting, info)

    def _end(self, ended: Mask, final: Observation, infos: dict[str, Any]) -> tuple[Observation, dict[str, Any]]:
        """Reset the arms whose episode ended, and keep its end; with autoreset DISABLED, note that they need a reset.

        Args:
            ended: (n,) bool.
            final: Observation of all arms at the end of the step.
            infos: Info of all arms at the end of the step.

        Returns:
            The observation and info that ``step`` returns.
        """
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            self._has_ended = ended.copy()
            return final, infos
        self._steps[ended] = 0
        # Arms outside the mask draw nothing and do not move: the outcome repeats their state after the step.
        outcome = self.core.reset(ended, self._rngs)
        # Gymnasium's format for SAME_STEP: "final_obs" is an array of objects, one observation per ended arm and None
        # elsewhere; "final_info" holds arrays for all arms, whose masks mark the ended ones.
        last = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended).tolist():
            last[i] = select(final, i)
        kept = _make_infos({key: value for key, value in infos.items() if not key.startswith("_")}, ended)
        new = _make_infos(outcome.info, np.ones(self.num_envs, dtype=bool))
        return outcome.observation, {**new, "final_obs": last, "_final_obs": ended, "final_info": kept, "_final_info": ended}

    def _seed(self, seed: int | Sequence[int | None] | None, mask: Mask) -> None:
        if seed is None:
            return
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise InvalidArgumentError("number of seeds", len(seed), f"{self.num_envs}, one per arm")
        # Arms outside the mask keep their generators: they are in the middle of an episode.
        rngs, seeds = make_generators(seed)
        for i in np.flatnonzero(mask).tolist():
            if seed[i] is not None:
                self._rngs[i], self._seeds[i] = rngs[i], seeds[i]

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()


def make_generators(seeds: Sequence[int | None]) -> tuple[list[np.random.Generator], list[int]]:
    """Return one generator per seed, the same that ``gymnasium.Env`` makes of it, and the seeds used."""
    pairs = [seeding.np_random(seed) for seed in seeds]
    return [rng for rng, _ in pairs], [seed for _, seed in pairs]


def select(observation: Observation, i: int) -> Observation:
    """Return a copy of arm i's row of a batched observation."""
    # A copy: a row that is a view would keep the arrays of the whole batch in memory, as in a replay buffer.
    if isinstance(observation, dict):
        return {key: value[i].copy() for key, value in observation.items()}
    return observation[i].copy()


def _make_infos(info: Mapping[str, NDArray[Any]], mask: Mask) -> dict[str, Any]:
    """Return arrays with Gymnasium's "_key" masks beside them: where an arm reports the value."""
    infos: dict[str, Any] = {}
    for key, value in info.items():
        infos[key], infos[f"_{key}"] = value, mask
    return infos


def _check_mask(mask: Any, num_envs: int) -> Mask:
    if not isinstance(mask, np.ndarray) or mask.shape != (num_envs,) or mask.dtype != bool or not mask.any():
        raise InvalidArgumentError("options['reset_mask']", mask, f"a NumPy array of {num_envs} booleans, at least one True")
    return mask


def _check_limit(max_episode_steps: int | None) -> int | None:
    return None if max_episode_steps is None else read_whole("max_episode_steps", max_episode_steps)


def _check_autoreset(mode: str | AutoresetMode) -> AutoresetMode:
    """Return the mode of its name or value. SAME_STEP is the default: a step that only resets wastes a control period."""
    offered = tuple(AutoresetMode)
    known = {member.value: member for member in offered} | {member.name: member for member in offered}
    if mode in offered:
        return AutoresetMode(mode)
    if mode not in known:
        raise UnknownNameError("autoreset mode", mode, [member.name for member in offered])
    return known[mode]
