"""The one implementation behind every environment: backend + robot + task + control, batched over n arms.

``ArmEnv``, ``ArmVectorEnv`` and the SB3 bridge are thin layers over this class. Everything that determines an episode is here;
Gymnasium's interfaces are there.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.backends import Backend, get_factory, make_backend
from gym_gazebo2.controls import compute_command, get_control
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UnsupportedError, UsageError
from gym_gazebo2.kinematics import Kinematics, TcpState
from gym_gazebo2.memory import check_memory
from gym_gazebo2.options import EnvOptions, make_env_robot
from gym_gazebo2.randomize import Randomizer, check_engine, read_randomize
from gym_gazebo2.robots import RobotRow, RobotSpec
from gym_gazebo2.setpoint import compute_setpoint
from gym_gazebo2.state import ArmState, Placement
from gym_gazebo2.tasks import Advance, Task, TaskState, make_task

__all__ = ["BYTES_PER_ARM", "IMAGE_SIZE", "RESET_OPTIONS", "ArmCore", "Observation", "Outcome", "Start"]

Array = NDArray[np.float64]
Observation = NDArray[np.float32] | NDArray[np.uint8] | dict[str, NDArray[Any]]

IMAGE_SIZE = 96
"""Width and height of the camera's image in observations [px]."""
CAMERAS = {"camera": "wrist", "image": "overview"}
"""Layout of the observation → the camera whose image is part of it, or all of it."""
RESET_OPTIONS = ("q", "goal")
"""Keys of ``reset(options=…)``, besides the vector environment's ``reset_mask``."""
NANOSECOND = 1e-9
"""One nanosecond [s]."""
BYTES_PER_ARM = 6_000
"""Memory of one arm of a batch [bytes]: 5.7 kB measured with 20 000 arms of MARA-v0, engine and infos included."""
MEMORY_PREFIX, BACKEND_PREFIX, RANDOMIZE_PREFIX = "memory.", "backend.", "randomize."
"""Prefixes of the names of the arrays of the task's memory, the backend and the randomizer in a saved state."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one control period, or of a reset.

    Attributes:
        observation: Batched observation, n rows.
        reward: (n,) rewards; zeros after a reset.
        terminated: (n,) bool, episodes that the task ended.
        info: Arrays (n,) by name: time [s], is_success, the task's measures [SI units], in_collision, simulator_restarted.
    """

    observation: Observation
    reward: Array
    terminated: NDArray[np.bool_]
    info: dict[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Goals and start poses given for new episodes.

    Attributes:
        goal: (n, g) goals; None: the task draws them.
        q: (n, dof) start poses [rad]; None: home, plus noise where the options ask for it.
    """

    goal: Array | None = None
    q: Array | None = None


ANY_START = Start()


class ArmCore:
    """A batch of n arms with the same task.

    Attributes:
        options: The environment's keywords.
        state: The newest state of the arms, after a step or a reset; None before the first reset.
        ended: State and goals at the end of the last step; None before the first step. A reset does not change it: where an
            episode ends and the next begins in the same step, evaluations read the last state of the old one here.
        flat_observation_space: Space of ``compute_flat_observation``.
        randomizer: Draws what varies between episodes; None without the keyword ``randomize``.
    """

    def __init__(self, robot: str | RobotRow | RobotSpec, task: str | Task, options: EnvOptions, *, num_envs: int = 1) -> None:
        """Compose backend, robot, task and control.

        Args:
            robot: Name of a row of ``ROBOTS``, path of a URDF or xacro file, a row, or a specification.
            task: Name of a row of ``TASKS``, or a task.
            options: The environment's keywords.
            num_envs: Number of arms n.

        Raises:
            InvalidArgumentError: A value is invalid.
            UnknownNameError: A table has no row of a given name.
            RobotError: The robot cannot be loaded, or has no gripper where the task uses one.
            UnsupportedError: The backend cannot change what ``randomize`` asks for.
        """
        self.task = make_task(task).with_options(options.task_options or {})
        if options.blank_images and self.task.layout not in CAMERAS:
            sentence = "blank_images=True needs an environment whose observations hold pictures. Leave it out."
            raise InvalidArgumentError("blank_images", True, sentence=sentence)
        self.options, self.robot = options, make_env_robot(robot, options, self.task.uses_gripper)
        self._has_continuous = bool(self.robot.is_continuous.any())
        self.kinematics = Kinematics(self.robot)
        if options.goal_box is not None:
            self.task = self.task.with_goal_box(options.goal_box)
        self.task = self.task.bind(self.kinematics)
        start_pose = self.task.compute_start_pose(self.kinematics) if options.home is None else None
        self._start_pose = self.robot.home if start_pose is None else start_pose
        if options.goal is not None:
            self.task = self.task.with_goal(_to_array("goal", options.goal))
            self._warn_if_out_of_reach(self.task.sample_goal(np.random.default_rng(0)))
        if isinstance(num_envs, int):  # the backend checks other values
            check_memory("num_envs", num_envs, BYTES_PER_ARM, "the environments")
        self.backend = self._make_backend(num_envs)
        self.num_envs, self.control_dt = self.backend.num_envs, self.backend.control_dt
        self._control = get_control(options.control)
        self._travel = self.robot.control_speed * self.control_dt
        # Placeholders until the first reset, for the goals and for the task's memory (arrays with a row per arm). They come
        # from other generators, because the environment's own must not draw before the user seeds them.
        self.goal = np.tile(self.task.sample_goal(np.random.default_rng(0)), (self.num_envs, 1))
        self._memory: dict[str, NDArray[Any]] = self._start_memory([np.random.default_rng(0)] * self.num_envs)
        self._known_restarts = self.backend.num_restarts
        self.state: TaskState | None = None
        self.ended: tuple[TaskState, Array] | None = None
        self.observation_space, self.action_space = self._make_observation_space(), self._make_action_space()
        self._no_action = np.zeros((self.num_envs, *self.action_space.shape))
        self._pictures: NDArray[np.uint8] | None = None  # of the last observation
        self._park: NDArray[np.bool_] | None = None  # objects that the task takes away before the next period
        self._no_reward, self._not_terminated = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=bool)
        self.randomizer = self._make_randomizer()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle holds: everything but the engine, and the engine's state in its place.

        Raises:
            UnsupportedError: The backend cannot save its state, and belongs to this process.
        """
        # A control may be a lambda, which cannot be pickled; the copy takes the row of the same name.
        kept = {name: value for name, value in self.__dict__.items() if name not in ("backend", "_control")}
        try:
            return kept | {"saved": self.backend.get_state() if self.state is not None else None}
        except UnsupportedError as error:
            if not self.backend.is_tied_to_process:
                return kept | {"backend": self.backend}
            name = type(self.backend).__name__
            raise UnsupportedError(
                f"An environment with a {name} cannot be copied or pickled, because its simulator or robot cannot save its "
                "state. Make another one with gymnasium.make."
            ) from error

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Continue where the original was, with an engine of its own."""
        is_saved = "saved" in kept
        saved = kept.pop("saved", None)
        self.__dict__.update(kept)
        self._control = get_control(self.options.control)
        if is_saved:
            self.backend = self._make_backend(self.num_envs)
            self._known_restarts = self.backend.num_restarts
        if saved is not None:
            self.backend.set_state(saved)
            self._show_goal()

    def _make_backend(self, num_envs: int) -> Backend:
        options, more = self.options, dict(self.options.backend_options or {})
        if self.task.scene is not None:
            more["scene"] = self.task.scene
        randomize = read_randomize(options.randomize)
        # Before a simulator is started; and afterwards for factories, which show only by what they make.
        check_engine(randomize, self.task.scene, get_factory(options.backend))
        backend = make_backend(options.backend, self.robot, num_envs=num_envs, control_dt=options.control_dt, **more)
        try:
            check_engine(randomize, self.task.scene, backend)
        except UnsupportedError:
            backend.close()
            raise
        return backend

    def _make_randomizer(self) -> Randomizer | None:
        randomize = read_randomize(self.options.randomize)
        if randomize is None:
            return None
        size = 0 if self.task.layout == "image" else len(self._low)
        return Randomizer(randomize, self.task.scene, self.num_envs, self.action_space.shape[0], size)

    @property
    def control(self) -> str:
        """Meaning of actions: the name of a row of ``CONTROLS``."""
        return self.options.control

    @property
    def start_noise(self) -> float:
        """Half-width of the uniform noise on the start pose [rad; strokes of a prismatic joint]."""
        return self.options.start_noise

    @property
    def arm(self) -> ArmState | None:
        """The arms' newest state; None before the first reset."""
        return None if self.state is None else self.state.arm

    @property
    def tcp(self) -> TcpState:
        """The tools' newest position, rotation and velocity.

        Raises:
            UsageError: The arms were never reset.
        """
        return self.require_state().tcp

    def read_options(self, options: Mapping[str, Any] | None, mask: NDArray[np.bool_]) -> Start:
        """Return the start that reset options ask for.

        This changes nothing. It is called before a reset seeds or draws, so an invalid option leaves the environment as it was.

        Args:
            options: "q": start pose (dof,) or (n, dof) [rad], or (chain_dof,) or (n, chain_dof) without the fingers; "goal": a
                goal that the task accepts, or n rows.
            mask: (n,) arms to reset.

        Raises:
            InvalidArgumentError: An option has an invalid value.
            UnknownNameError: There is no such option.
        """
        if not options:
            return ANY_START
        for name in options:
            if name not in RESET_OPTIONS:
                raise UnknownNameError("reset option", name, RESET_OPTIONS)
        q = self._read_poses(options["q"]) if "q" in options else None
        if q is not None:
            self.backend.check_poses(q[mask])
        return Start(self._read_goals(options["goal"], mask) if "goal" in options else None, q)

    def reset(self, mask: NDArray[np.bool_], rngs: Sequence[np.random.Generator], start: Start = ANY_START) -> Outcome:
        """Start a new episode of the masked arms.

        Args:
            mask: (n,) bool, arms to reset.
            rngs: One generator per arm.
            start: Goals and poses to use in place of drawn ones.

        Returns:
            The outcome for all arms; rows outside the mask repeat the newest state.

        Raises:
            UsageError: The backend is closed.
            BackendError: The simulator failed.
        """
        goal, q = self.goal.copy(), np.tile(self.robot.home, (self.num_envs, 1))
        memory = {name: value.copy() for name, value in self._memory.items()}
        objects = self._make_placement()
        draws = {} if self.randomizer is None else self.randomizer.copy_draws()
        for i in np.flatnonzero(mask).tolist():
            # The order of the draws is fixed: goal, start pose, the task's memory, objects, randomize. Another order would make
            # another episode of the same seed, and a run that is resumed from a checkpoint would no longer be bit-equal.
            goal[i] = self.task.sample_goal(rngs[i]) if start.goal is None else start.goal[i]
            q[i] = self._sample_start(rngs[i]) if start.q is None else start.q[i]
            for name, value in self.task.start(rngs[i]).items():
                memory[name][i] = value
            if objects is not None:
                objects.index[i], objects.pose[i] = self._draw_objects(rngs[i], goal[i])
            if self.randomizer is not None:
                self.randomizer.draw(rngs[i], draws, i, objects)
        if objects is not None and self.randomizer is not None:
            objects = dataclasses.replace(objects, factors=self.randomizer.get_factors(draws))
        restarts = self.backend.num_restarts
        arm = self.backend.reset(mask, q) if objects is None else self.backend.reset(mask, q, objects)
        self.goal, self._memory = goal, memory  # only now: a backend that raises leaves the old episode in place
        if self.randomizer is not None:
            self.randomizer.draws = draws
        if self._park is not None:
            self._park = self._park & ~mask[:, None]
        self._show_goal()
        state = self._begin(arm, mask)
        # A restart during a partial reset also ended the episodes of the other arms. Their next step must report it, so
        # the count that this step compares with is not updated here.
        if mask.all():
            self._known_restarts = self.backend.num_restarts
        return self._start_from(state, restarts, mask)

    def _draw_objects(self, rng: np.random.Generator, goal: Array) -> tuple[NDArray[np.int64], Array]:
        """Return the members (k,) and poses (k, 7) that the task draws for one arm."""
        members, poses = self.task.place(rng, goal)
        index, pose, k = np.asarray(members), np.asarray(poses), self.backend.num_objects
        if index.shape != (k,) or pose.shape != (k, 7) or not np.issubdtype(index.dtype, np.integer):
            name = f"result of {type(self.task).__name__}.place"
            found = f"{index.dtype} {index.shape} and {pose.dtype} {pose.shape}"
            raise InvalidArgumentError(name, found, f"members ({k},) and poses ({k}, 7) of the {k} objects")
        return index, pose

    def _make_placement(self) -> Placement | None:
        """Return a placement to fill, with a row for each arm; None without objects."""
        n, k = self.num_envs, self.backend.num_objects
        return Placement(np.zeros((n, k), dtype=np.int64), np.zeros((n, k, 7))) if k else None

    def _begin(self, arm: ArmState, mask: NDArray[np.bool_]) -> TaskState:
        """Let the task complete the memory of the masked arms, whose start is known now, and return the state."""
        state = self._observe_arm(arm, self._no_action)
        for name, value in self.task.begin(state, self.goal).items():
            self._memory[name][mask] = value[mask]
        return state

    def step(self, action: ArrayLike) -> Outcome:
        """Advance every arm by one control period.

        Args:
            action: (n, size) between −1 and 1; values outside are clipped.

        Returns:
            The outcome at the end of the period.

        Raises:
            InvalidArgumentError: The action has another shape, or is not finite.
            UsageError: The arms were never reset, or the backend is closed.
            BackendError: The simulator failed.
        """
        # Action → joint targets (one row of CONTROLS) → limited set-points (one function for all rows) → backend → task.
        before = self.require_state()
        action = self._check_action(action)
        target = self._compute_target(before, action)
        arm, restarts = self._command(before.arm, target), self._known_restarts
        if self.randomizer is not None:
            self.randomizer.note(action)
        self._known_restarts = self.backend.num_restarts
        state = self._observe_arm(arm, action)
        after = self.task.advance(state, self.goal)
        self._memory, self._park = dict(after.memory), after.park
        self.state = state._replace(memory=after.memory)
        self.ended = self.state, self.goal
        return self._make_outcome(after, restarts)

    def _compute_target(self, state: TaskState, action: Array) -> Array:
        """Return joint targets (n, dof), or efforts, from the actions that arrive now."""
        action, waits = (action, None) if self.randomizer is None else self.randomizer.delay(action)
        target = compute_command(self._control, action, state.arm, state.tcp, self.kinematics, self._travel)
        if waits is None:
            return target
        # Until the first action arrives the arm stays where it is; an action of 0 would move it in position control.
        stay = np.zeros_like(target) if self._control.is_effort else state.arm.q_setpoint
        return np.where(waits[:, None], stay, target)

    def _command(self, arm: ArmState, target: Array) -> ArmState:
        """Advance the backend by one period towards joint targets (n, dof), or with efforts."""
        # Backends written for arms alone take no second argument.
        park = () if self._park is None else (self._park,)
        if self._control.is_effort:
            return self.backend.step_effort(target, *park)
        return self.backend.step(compute_setpoint(arm.q_setpoint, target, arm.q, self.robot, self._travel), *park)

    def compute_goal_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any = None) -> Any:
        """Return rewards for other goals than the episode's: ``compute_reward`` of goal environments.

        Hindsight experience replay (Andrychowicz et al. 2017) calls it with goals that were reached by chance.

        Args:
            achieved_goal: (g,) or (n, g) achieved goals, as in the observation.
            desired_goal: (g,) or (n, g) desired goals.
            info: Ignored; part of the interface of Gymnasium-Robotics' ``GoalEnv``.

        Returns:
            One reward, or (n,).
        """
        achieved, desired = np.asarray(achieved_goal, dtype=float), np.asarray(desired_goal, dtype=float)
        reward = self.task.compute_goal_reward(np.atleast_2d(achieved), np.atleast_2d(desired))
        return reward.item() if max(achieved.ndim, desired.ndim) == 1 else reward

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return everything that determines the future, except the random generators, as arrays by name.

        Raises:
            UnsupportedError: The backend cannot save its state.
        """
        memory = {MEMORY_PREFIX + name: value.copy() for name, value in self._memory.items()}
        backend = {BACKEND_PREFIX + name: value for name, value in self.backend.get_state().items()}
        park = {} if self._park is None else {"park": self._park.copy()}
        drawn = {} if self.randomizer is None else self.randomizer.copy_draws()
        return {
            "goal": self.goal.copy(), **park, **memory, **{RANDOMIZE_PREFIX + name: value for name, value in drawn.items()},
            **backend,
        }  # fmt: skip

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> Outcome:
        """Continue from a state that ``get_state`` returned.

        Raises:
            UnsupportedError: The backend cannot restore a state.
            InvalidArgumentError: The state was saved with another ``randomize``.
        """
        if self.randomizer is not None:
            self.randomizer.set_state(_take(state, RANDOMIZE_PREFIX))
        self.goal, self._memory = np.array(state["goal"]), _take(state, MEMORY_PREFIX)
        self._park = np.array(state["park"]) if "park" in state else None
        self._show_goal()
        arm = self.backend.set_state(_take(state, BACKEND_PREFIX))
        return self._start_from(self._observe_arm(arm, self._no_action))

    def _start_from(self, state: TaskState, restarts: int | None = None, mask: NDArray[np.bool_] | None = None) -> Outcome:
        """Return the outcome of a reset.

        Args:
            state: State after the reset.
            restarts: Number of the simulator's restarts before it; None: not known.
            mask: (n,) arms that were reset; None: all.
        """
        self.state = state
        measures = self.task.measure(self.state, self.goal)
        start = Advance(self._memory, measures, self._no_reward.copy(), self._not_terminated.copy())
        return self._make_outcome(start, restarts, mask)

    def _observe_arm(self, arm: ArmState, action: Array) -> TaskState:
        return TaskState(arm, self.kinematics.compute_tcp_state(arm.q, arm.dq), action, self._memory)

    def _make_outcome(self, after: Advance, restarts: int | None, moved: NDArray[np.bool_] | None = None) -> Outcome:
        state = self.require_state()
        # One simulator holds all arms, so a restart concerns all of them.
        restarted = np.full(self.num_envs, restarts not in (None, self.backend.num_restarts))
        info = {
            "time": state.arm.time * NANOSECOND,
            "is_success": self.task.compute_success(after.measures, state),
            **after.measures,
            "in_collision": state.arm.in_collision,
            "simulator_restarted": restarted,
        }
        # A restart truncates the episode. The state is the last one before the failure, and the task has judged it already.
        observation = self._observe(state, None if restarted.any() else moved)
        return Outcome(observation, after.reward, after.terminated & ~restarted, info)

    def require_state(self) -> TaskState:
        """Return the newest state.

        Raises:
            UsageError: The arms were never reset.
        """
        if self.state is None:
            raise UsageError("step() was called before reset(). Call reset() first.")
        return self.state

    def _start_memory(self, rngs: Sequence[np.random.Generator]) -> dict[str, NDArray[Any]]:
        """Return the memories of n arms as arrays with one row per arm."""
        rows = [self.task.start(rng) for rng in rngs]
        return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}

    def _show_goal(self) -> None:
        pose = self.task.get_goal_pose(self.goal)
        if pose is not None:
            self.backend.show_goal(pose)

    def _wrap(self, state: TaskState) -> TaskState:
        """Return the state with the positions of continuous joints between −π and π, for the observation.

        Whole turns make no difference to the tool. Sine and cosine would avoid the jump at ±π, but then the size of the
        observation, and the meaning of its numbers, would depend on the types of an arm's joints.
        """
        if not self._has_continuous:
            return state
        return state._replace(arm=dataclasses.replace(state.arm, q=self.robot.wrap(state.arm.q)))

    def compute_flat_observation(self) -> NDArray[np.float32]:
        """Return the flat observation (n, size) of the newest state, whatever the layout of the observations.

        It has no noise. A teacher of a policy that sees pictures sees it.

        Raises:
            UsageError: The arms were never reset.
        """
        return self._clip(self._compute_flat(self.require_state()))

    def _compute_flat(self, state: TaskState) -> NDArray[np.float32]:
        return self.task.compute_observation(self._wrap(state), self.goal).astype(np.float32)

    def _clip(self, flat: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return flat observations, clipped to their space.

        They can lie outside after a violent contact, or with a goal from ``reset(options=…)`` that is out of the task's range.
        """
        # np.clip does the same, slower on small arrays.
        return np.minimum(np.maximum(flat, self._low), self._high)

    def _take_pictures(self, moved: NDArray[np.bool_] | None) -> NDArray[np.uint8] | None:
        """Return the pictures (n, height, width, 3) of a layout with a camera; None for other layouts.

        Args:
            moved: (n,) arms that are not where they were in the last pictures; None: all. Drawing is what takes the time.
        """
        if self.task.layout not in CAMERAS:
            return None
        if self.options.blank_images:
            return np.zeros((self.num_envs, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        view = CAMERAS[self.task.layout], IMAGE_SIZE, IMAGE_SIZE
        if self._pictures is None or moved is None:
            self._pictures = self.backend.camera(*view)
        else:
            self._pictures[moved] = self.backend.camera(*view, np.flatnonzero(moved))
        return self._pictures.copy()  # observations belong to the caller

    def _observe(self, state: TaskState, moved: NDArray[np.bool_] | None = None) -> Observation:
        """Return the observation, clipped to its space; see ``_take_pictures`` for ``moved``."""
        layout, image = self.task.layout, self._take_pictures(moved)
        if image is not None and layout == "image":
            return image
        flat = self._compute_flat(state)
        flat = self._clip(flat if self.randomizer is None else self.randomizer.add_noise(flat))
        if layout == "vector":
            return flat
        if image is not None:
            return {"image": image, "proprioception": flat}
        achieved = self.task.compute_achieved(state).astype(np.float32)
        desired = np.minimum(np.maximum(self.task.compute_desired(self.goal), self._goal_low), self._goal_high)
        return {"observation": flat, "achieved_goal": achieved, "desired_goal": desired.astype(np.float32)}

    def _make_observation_space(self) -> spaces.Space[Any]:
        low, high = self.task.compute_bounds(self.kinematics)
        self._low, self._high = low.astype(np.float32), high.astype(np.float32)
        self.flat_observation_space = flat = spaces.Box(self._low, self._high, dtype=np.float32)
        if self.task.layout == "vector":
            return flat
        if self.task.layout in CAMERAS:
            image = spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
            return image if self.task.layout == "image" else spaces.Dict({"image": image, "proprioception": flat})
        self._goal_low, self._goal_high = self.task.compute_goal_bounds(self.kinematics)
        goal = spaces.Box(self._goal_low.astype(np.float32), self._goal_high.astype(np.float32), dtype=np.float32)
        return spaces.Dict({"observation": flat, "achieved_goal": goal, "desired_goal": goal})

    def _make_action_space(self) -> spaces.Box:
        size = self._control.compute_size(self.robot.chain) + self.task.uses_gripper
        return spaces.Box(-1.0, 1.0, (size,), dtype=np.float32)

    def _check_action(self, action: ArrayLike) -> Array:
        action = np.asarray(action, dtype=float)
        if action.shape != self._no_action.shape:
            raise InvalidArgumentError("shape of action", action.shape, f"{self._no_action.shape} (arms, components)")
        if not np.isfinite(action).all():
            raise InvalidArgumentError("action", action, "finite numbers between -1 and 1")
        return np.minimum(np.maximum(action, -1.0), 1.0)

    def _sample_start(self, rng: np.random.Generator) -> Array:
        """Return a start pose (dof,) [rad]. Without noise nothing is drawn, so the generator stays where it is."""
        if self.start_noise == 0.0:
            return self._start_pose
        # The noise does not move the fingers. They start at their home positions, that is, open.
        noise = np.zeros(self.robot.dof)
        noise[: self.robot.chain_dof] = rng.uniform(-self.start_noise, self.start_noise, self.robot.chain_dof)
        return np.clip(self._start_pose + noise * self.robot.scale, self.robot.lower, self.robot.upper)

    def _read_poses(self, value: ArrayLike) -> Array:
        q, robot = _to_array("options['q']", value), self.robot
        shape = (self.num_envs, robot.dof)
        if robot.gripper is not None and q.shape in ((self.num_envs, robot.chain_dof), (robot.chain_dof,)):
            # A pose of the arm alone: the gripper starts as at home, that is, open.
            fingers = robot.home[robot.chain_dof :]
            q = np.concatenate([q, np.broadcast_to(fingers, (*q.shape[:-1], len(fingers)))], axis=-1)
        if q.shape not in (shape, shape[1:]):
            raise InvalidArgumentError("shape of options['q']", q.shape, f"{shape[1:]} or {shape}")
        return np.broadcast_to(q, shape)

    def _read_goals(self, value: ArrayLike, mask: NDArray[np.bool_]) -> Array:
        rows = np.atleast_2d(_to_array("options['goal']", value))
        if len(rows) not in (1, self.num_envs):
            raise InvalidArgumentError("rows of options['goal']", len(rows), f"1 or {self.num_envs}")
        goals = [self.task.with_goal(row).sample_goal(np.random.default_rng(0)) for row in rows]
        chosen = np.broadcast_to(goals, (self.num_envs, len(goals[0])))
        for goal in np.unique(chosen[mask], axis=0):
            if self._warn_if_out_of_reach(goal):
                break  # one warning is enough: where there is no pose, the search takes its full 256 × 100 steps
        return chosen

    def _warn_if_out_of_reach(self, goal: Array) -> bool:
        """Warn if no pose brings the tool to the goal, and return whether it warned."""
        message = self.task.explain_out_of_reach(self.kinematics, goal)
        if message is not None:
            warnings.warn(message, stacklevel=4)  # the caller of ArmEnv(), ArmVectorEnv() or reset()
        return message is not None


def _take(state: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return copies of the arrays whose names begin with a prefix; the prefix is removed from the names."""
    return {name.removeprefix(prefix): np.array(value) for name, value in state.items() if name.startswith(prefix)}


def _to_array(name: str, value: ArrayLike) -> Array:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(name, value, "an array of numbers") from error
