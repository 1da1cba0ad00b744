"""The one implementation behind every environment: backend + robot + task, batched over n arms.

``ArmEnv``, ``ArmVectorEnv`` and the SB3 bridge are thin faces of this class; here is everything that decides what an
episode is like, and nothing of Gymnasium's interface.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.backends import BackendFactory, make_backend
from gym_gazebo2.checks import read_number
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UsageError
from gym_gazebo2.kinematics import Kinematics, TcpState
from gym_gazebo2.robots import RobotSpec, make_robot
from gym_gazebo2.setpoint import Control, check_control, compute_setpoint, compute_target
from gym_gazebo2.state import ArmState
from gym_gazebo2.tasks import GOAL_DIM, Errors, Task, TaskState, make_task
from gym_gazebo2.tasks.rotations import make_rotation

__all__ = ["IMAGE_SIZE", "RESET_OPTIONS", "ArmCore", "Observation", "Outcome", "Start"]

Array = NDArray[np.float64]
Observation = NDArray[np.float32] | dict[str, NDArray[Any]]

IMAGE_SIZE = 96
"""Width and height of the wrist camera's image in observations [px]."""
RESET_OPTIONS = ("q", "goal")
"""What ``reset(options=…)`` understands, besides the vector environment's ``reset_mask``."""
NANOSECOND = 1e-9


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What one period, or a reset, led to.

    Attributes:
        observation: Batched observation, n rows.
        reward: (n,) rewards.
        info: Arrays (n,) by name: time [s], is_success, position_error [m], orientation_error [rad], in_collision,
            simulator_restarted.
    """

    observation: Observation
    reward: Array
    info: dict[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """What is chosen for new episodes; what is None is drawn or the task's.

    Attributes:
        goal: (n, 7) goals.
        q: (n, dof) start poses [rad].
    """

    goal: Array | None = None
    q: Array | None = None


ANY_START = Start()


class ArmCore:
    """A batch of n arms with a task each."""

    def __init__(
        self,
        robot: str | RobotSpec,
        task: str | Task,
        backend: str | BackendFactory = "mujoco",
        *,
        num_envs: int = 1,
        control: Control = "delta",
        control_dt: float = 0.05,
        goal: ArrayLike | None = None,
        start_noise: float = 0.0,
        backend_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Compose backend, robot and task.

        Args:
            robot: Name of a row of ``ROBOTS``, or a specification.
            task: Name of a row of ``TASKS``, or a task.
            backend: Name of a row of ``BACKENDS``, or a factory.
            num_envs: Number of arms n.
            control: "delta" or "position", see ``setpoint.compute_target``.
            control_dt: Control period [s].
            goal: Fixed goal instead of the task's: (3,) position [m], or (7,) with a quaternion wxyz.
            start_noise: Half-width of the uniform noise on the start pose [rad].
            backend_options: Further keywords of the backend, such as ``physics_dt``, or ``on_failure``.

        Raises:
            InvalidArgumentError: A value cannot work.
            UnknownNameError: A name stands in no table.
        """
        check_control(control)
        self.start_noise = read_number("start_noise", start_noise, "a finite half-width of at least 0 rad", lambda x: x >= 0)
        self.robot, self.control = make_robot(robot), control
        self.kinematics = Kinematics(self.robot)
        self.task = make_task(task)
        if goal is not None:
            self.task = self.task.with_goal(_to_array("goal", goal))
            self._warn_if_out_of_reach(self.task.sample_goal(np.random.default_rng(0)))
        options = _check_options(backend_options)
        self.backend = make_backend(backend, self.robot, num_envs=num_envs, control_dt=control_dt, **options)
        self.num_envs, self.control_dt = self.backend.num_envs, self.backend.control_dt
        self._travel = self.robot.control_speed * self.control_dt
        self.goal = np.tile(self.task.sample_goal(np.random.default_rng(0)), (self.num_envs, 1))
        self.arm: ArmState | None = None
        self._known_restarts = self.backend.num_restarts
        self.tcp: TcpState
        self.observation_space, self.action_space = self._make_observation_space(), self._make_action_space()

    def read_options(self, options: Mapping[str, Any] | None, mask: NDArray[np.bool_]) -> Start:
        """Return what reset options ask for. Nothing changes, so that a refused reset changes nothing.

        Args:
            options: "q": start pose (dof,) or (n, dof) [rad]; "goal": (3,), (7,) or n rows of these.
            mask: (n,) arms to reset.

        Raises:
            InvalidArgumentError: An option has a value that cannot work.
            UnknownNameError: There is no such option.
        """
        if not options:
            return ANY_START
        for name in options:
            if name not in RESET_OPTIONS:
                raise UnknownNameError("reset option", name, RESET_OPTIONS)
        starts = self._read_poses(options["q"]) if "q" in options else None
        if starts is not None:
            self.backend.check_poses(starts[mask])
        return Start(self._read_goals(options["goal"], mask) if "goal" in options else None, starts)

    def reset(self, mask: NDArray[np.bool_], rngs: Sequence[np.random.Generator], start: Start = ANY_START) -> Outcome:
        """Start a new episode of the masked arms.

        Args:
            mask: (n,) arms to reset.
            rngs: One generator an arm; a masked arm draws its goal, then its start pose.
            start: What is chosen instead of drawn.
        """
        goal, q = self.goal.copy(), np.tile(self.robot.home, (self.num_envs, 1))
        for i in np.flatnonzero(mask).tolist():
            goal[i] = self.task.sample_goal(rngs[i]) if start.goal is None else start.goal[i]
            q[i] = self._sample_start(rngs[i]) if start.q is None else start.q[i]
        restarts = self.backend.num_restarts
        arm = self.backend.reset(mask, q)
        self.goal = goal
        self.backend.show_goal(goal)
        if mask.all():  # else the arms that were not to be reset learn of a restart by their next step
            self._known_restarts = self.backend.num_restarts
        return self._look(arm, restarts)

    def step(self, action: ArrayLike) -> Outcome:
        """Advance every arm by one control period.

        Args:
            action: (n, dof) between −1 and 1; values outside are clipped.

        Raises:
            InvalidArgumentError: Wrong shape, NaN or infinite.
            UsageError: No reset yet, or closed.
        """
        if self.arm is None:
            raise UsageError("step() was called before reset(). Call reset() first.")
        action = self._check_action(action)
        arm = self.arm
        target = compute_target(action, arm.q_setpoint, self.robot, self._travel, self.control)
        setpoint = compute_setpoint(arm.q_setpoint, target, arm.q, self.robot, self._travel)
        arm, restarts = self.backend.step(setpoint), self._known_restarts
        self._known_restarts = self.backend.num_restarts
        return self._look(arm, restarts)

    def compute_goal_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any = None) -> Any:
        """Return rewards for other goals than the episode's, as hindsight experience replay asks for.

        Args:
            achieved_goal: (3,) or (n, 3) tool positions [m].
            desired_goal: (3,) or (n, 3) goal positions [m].
            info: Ignored; the arm counts as free of contact.

        Returns:
            One reward, or (n,).
        """
        difference = np.asarray(achieved_goal, dtype=float) - np.asarray(desired_goal, dtype=float)
        position = np.linalg.norm(np.atleast_2d(difference), axis=1)
        free = np.zeros(len(position), dtype=bool)
        reward = self.task.compute_reward(Errors(position, np.zeros_like(position)), free)
        return reward.item() if difference.ndim == 1 else reward

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return everything that determines the future but for the random generators, as arrays."""
        return {"goal": self.goal.copy(), **{f"backend.{key}": value for key, value in self.backend.get_state().items()}}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> Outcome:
        """Continue from what ``get_state`` returned."""
        self.goal = np.array(state["goal"])
        prefix = "backend."
        self.backend.show_goal(self.goal)
        return self._look(self.backend.set_state({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}))

    def _look(self, arm: ArmState, restarts: int | None = None) -> Outcome:
        """Return what the arms' state means to the task, and remember it; ``restarts`` is how many there were before."""
        self.arm = arm
        tcp = self.tcp = self.kinematics.compute_tcp_state(arm.q, arm.dq)
        state = TaskState(arm, tcp)
        errors = self.task.compute_errors(state, self.goal)
        info = {
            "time": arm.time * NANOSECOND,
            "is_success": self.task.compute_success(errors),
            "position_error": errors.position,
            "orientation_error": errors.orientation,
            "in_collision": arm.in_collision,
            "simulator_restarted": np.full(self.num_envs, restarts not in (None, self.backend.num_restarts)),
        }
        return Outcome(self._observe(state), self.task.compute_reward(errors, arm.in_collision), info)

    def _observe(self, state: TaskState) -> Observation:
        """Return the observation, clipped to its space: a crash can be faster than that, an episode's own goal farther."""
        flat = self.task.compute_observation(state, self.goal).astype(np.float32)
        flat = np.minimum(np.maximum(flat, self._low), self._high)
        if self.task.layout == "vector":
            return flat
        if self.task.layout == "camera":
            return {"image": self.backend.camera("wrist", IMAGE_SIZE, IMAGE_SIZE), "proprioception": flat}
        achieved = state.tcp.position.astype(np.float32)
        desired = np.minimum(np.maximum(self.goal[:, :3], -self._farthest), self._farthest).astype(np.float32)
        return {"observation": flat, "achieved_goal": achieved, "desired_goal": desired}

    def _make_observation_space(self) -> spaces.Space[Any]:
        low, high = self.task.compute_bounds(self.kinematics)
        self._low, self._high = low.astype(np.float32), high.astype(np.float32)
        flat = spaces.Box(self._low, self._high, dtype=np.float32)
        if self.task.layout == "vector":
            return flat
        if self.task.layout == "camera":
            image = spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
            return spaces.Dict({"image": image, "proprioception": flat})
        self._farthest = max(self.kinematics.compute_reach(), np.abs(self.goal[:, :3]).max())
        position = spaces.Box(-self._farthest, self._farthest, (3,), dtype=np.float32)
        return spaces.Dict({"observation": flat, "achieved_goal": position, "desired_goal": position})

    def _make_action_space(self) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (self.robot.dof,), dtype=np.float32)

    def _check_action(self, action: ArrayLike) -> Array:
        action = np.asarray(action, dtype=float)
        if action.shape != (self.num_envs, self.robot.dof):
            raise InvalidArgumentError("shape of action", action.shape, f"{(self.num_envs, self.robot.dof)} (arms, joints)")
        if not np.isfinite(action).all():
            raise InvalidArgumentError("action", action, "finite numbers between -1 and 1")
        return np.minimum(np.maximum(action, -1.0), 1.0)

    def _sample_start(self, rng: np.random.Generator) -> Array:
        if self.start_noise == 0.0:
            return self.robot.home
        noise = rng.uniform(-self.start_noise, self.start_noise, self.robot.dof)
        return np.clip(self.robot.home + noise, self.robot.lower, self.robot.upper)

    def _read_poses(self, value: ArrayLike) -> Array:
        q = _to_array("options['q']", value)
        shape = (self.num_envs, self.robot.dof)
        if q.shape not in (shape, shape[1:]):
            raise InvalidArgumentError("shape of options['q']", q.shape, f"{shape[1:]} or {shape}")
        return np.broadcast_to(q, shape)

    def _read_goals(self, value: ArrayLike, mask: NDArray[np.bool_]) -> Array:
        rows = np.atleast_2d(_to_array("options['goal']", value))
        if len(rows) not in (1, self.num_envs):
            raise InvalidArgumentError("rows of options['goal']", len(rows), f"1 or {self.num_envs}")
        goals = [self.task.with_goal(row).sample_goal(np.random.default_rng(0)) for row in rows]
        chosen = np.broadcast_to(goals, (self.num_envs, GOAL_DIM))
        for goal in np.unique(chosen[mask], axis=0):
            if self._warn_if_out_of_reach(goal):
                break  # one is enough, and looking for a pose takes long where there is none
        return chosen

    def _warn_if_out_of_reach(self, goal: Array) -> bool:
        """Warn with the distance where no pose brings the tool to the goal, and tell whether it is so."""
        distance, how = self.kinematics.compute_distance_to_reach(goal[:3]), ""
        if distance <= 1e-3 and self._asks_for_orientation(goal):
            distance = self.kinematics.compute_distance_to_reach(goal[:3], make_rotation(goal[3:]))
            how = " in that orientation"
        if distance > 1e-3:
            by = f"{1e3 * distance:.0f} mm " if not how else ""
            warnings.warn(
                f"The goal {goal if how else goal[:3]} is {by}out of reach of {self.robot.name!r}{how}.", stacklevel=4
            )
        return distance > 1e-3

    def _asks_for_orientation(self, goal: Array) -> bool:
        return not np.allclose(goal[3:], (1.0, 0.0, 0.0, 0.0))


def _check_options(options: Any) -> dict[str, Any]:
    """Return the backend's own keywords."""
    own = isinstance(options, Mapping) and all(isinstance(name, str) for name in options)
    if options is not None and (not own or {"num_envs", "control_dt"} & set(options)):
        expected = "a dictionary of the backend's further keywords; num_envs and control_dt are arguments of the environment"
        raise InvalidArgumentError("backend_options", options, expected)
    return dict(options or {})


def _to_array(name: str, value: ArrayLike) -> Array:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(name, value, "an array of numbers") from error
