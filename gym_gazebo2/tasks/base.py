"""The base class of tasks: pure, batched functions of state, goal and memory.

Nothing here knows a simulator, ROS or Gymnasium.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.kinematics import Kinematics, TcpState
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import ArmState
from gym_gazebo2.tasks.measures import Measure

__all__ = ["Advance", "Layout", "Measures", "Memory", "Task", "TaskState"]

Array = NDArray[np.float64]
Layout = Literal["vector", "goal", "camera", "image"]
Measures = Mapping[str, Array]
"""Name of a measure → values (n,) [SI units]."""
Memory = Mapping[str, NDArray[Any]]
"""Memory of a task within an episode: name → array with one row per arm."""
TaskT = TypeVar("TaskT", bound="Task")


class TaskState(NamedTuple):
    """The state of n arms at the end of a control period, as a task gets it.

    Attributes:
        arm: Measured state of the arms.
        tcp: Position, rotation and velocity of the tools, computed from ``arm``.
        action: (n, size) action of the period, clipped to −1 … 1; zeros after a reset.
        memory: The task's memory; empty for tasks without memory.
    """

    arm: ArmState
    tcp: TcpState
    action: Array
    memory: Memory


@dataclasses.dataclass(frozen=True, slots=True)
class Advance:
    """A task's result of one control period.

    Attributes:
        memory: The memory after the period.
        measures: The measures at the end of the period [SI units].
        reward: (n,) rewards.
        terminated: (n,) bool, episodes that the task ends here.
        park: (n, k) bool, objects to take away before the next period begins; None: none.
    """

    memory: Memory
    measures: Measures
    reward: Array
    terminated: NDArray[np.bool_]
    park: NDArray[np.bool_] | None = None


class Task(ABC):
    """Base class of tasks. Read ``ReachTask`` first. docs/custom_task.md and docs/custom_robot.md have one more example each.

    A subclass must define three functions: the observation, its bounds and the reward. All functions are pure and batched:
    they take n arms at once and change nothing. Goals are arrays (n, g); the task chooses g, 0 for a task without goals.

    Attributes:
        layout: Form of the observation: "vector", a flat array; "goal", a dictionary for hindsight replay (HER); "camera",
            a dictionary of the wrist camera's image and the flat array; "image", the image of the scene's camera alone.
        OPTIONS: Names of the fields that keywords of the environment may set, in a task that is a frozen dataclass:
            ``gym.make(id, num_objects=2)``, or ``--env.num_objects 2`` on the command line.
        uses_gripper: Whether the environment drives the robot's gripper. An action then has one more component, and the joints
            of ``state.arm`` are those of the arm with the fingers behind them.
        scene: What stands around the arm; None: only the floor. A task with a scene must define ``place``.
    """

    layout: Layout = "vector"
    OPTIONS: ClassVar[tuple[str, ...]] = ()
    uses_gripper: bool = False
    scene: Scene | None = None

    @property
    def MEASURES(self) -> Mapping[str, Measure]:
        """The measures that evaluations, logs and reports show. The first one decides which model is the best.

        A class attribute of this name works as well. The default is empty: reports then show the reward, and the success rate
        of a task that overrides ``compute_success``.
        """
        return {}

    @abstractmethod
    def compute_bounds(self, kinematics: Kinematics) -> tuple[Array, Array]:
        """Return finite lower and upper bounds of the flat observation, (size,) each."""

    @abstractmethod
    def compute_observation(self, state: TaskState, goal: Array) -> Array:
        """Return the flat observations, (n, size)."""

    @abstractmethod
    def compute_reward(self, measures: Measures, state: TaskState) -> Array:
        """Return the rewards, (n,)."""

    def measure(self, state: TaskState, goal: Array) -> Measures:
        """Return the measures (n,) [SI units], at least one per name of ``MEASURES``. All of them appear in ``info``."""
        return {}

    def compute_success(self, measures: Measures, state: TaskState) -> NDArray[np.bool_]:
        """Return which arms have done the task, (n,).

        The default is success where every measure that has a threshold meets it. If no measure has one, nothing is a success.
        """
        judged = {name: row.threshold for name, row in self.MEASURES.items() if row.threshold is not None}
        success = np.full(state.arm.num_envs, bool(judged))
        for name, threshold in judged.items():
            success &= self.MEASURES[name].is_met(measures[name], threshold)
        return success

    def start(self, rng: np.random.Generator) -> Memory:
        """Return the memory of one arm at the start of an episode, as arrays without the batch dimension.

        The default is an empty memory, and draws nothing from ``rng``.
        """
        return {}

    def place(self, rng: np.random.Generator, goal: Array) -> tuple[NDArray[np.int64], Array]:
        """Return the objects of one arm at the start of an episode (tasks with a scene only).

        Args:
            rng: Generator of the arm. It has drawn the goal, the start pose and the memory before.
            goal: (g,) goal of the episode.

        Returns:
            (k,) different members of the scene's pool, and their poses (k, 7) in the base frame: position [m], quaternion wxyz.

        Raises:
            NotImplementedError: The task has a scene but does not define this function.
        """
        raise NotImplementedError(f"{type(self).__name__} has a scene but no place.")

    def begin(self, state: TaskState, goal: Array) -> Memory:
        """Return the memory (n rows) at the start of an episode, when the state is known. The default keeps that of ``start``.

        A task whose reward compares a quantity with its value one period earlier stores the first value here.
        """
        return state.memory

    def advance(self, state: TaskState, goal: Array) -> Advance:
        """Return the result of a control period. The default has no memory and never ends an episode.

        Args:
            state: The state at the end of the period, with its action and the memory before it.
            goal: (n, g) goals.
        """
        measures = self.measure(state, goal)
        reward = self.compute_reward(measures, state)
        return Advance(state.memory, measures, reward, np.zeros(len(reward), dtype=bool))

    def with_options(self: TaskT, options: Mapping[str, Any]) -> TaskT:
        """Return the same task with other values of fields that ``OPTIONS`` names. It is called before ``bind``.

        Raises:
            UnknownNameError: The task has no such option, or a table has no row of a given name.
            InvalidArgumentError: A value is invalid.
        """
        for name in options:
            if name not in self.OPTIONS:
                raise UnknownNameError(f"option of {type(self).__name__}", name, self.OPTIONS)
        # A type checker cannot know that a task with options is a dataclass.
        return cast(TaskT, dataclasses.replace(cast(Any, self), **options)) if options else self

    def bind(self, kinematics: Kinematics) -> Task:
        """Return the task, prepared for a robot. The environment calls it once, before everything else.

        The default returns the task itself: most tasks do not depend on the robot.
        """
        return self

    def compute_start_pose(self, kinematics: Kinematics) -> Array | None:
        """Return the joint pose (dof,) at which episodes start; None, the default: the robot's home pose.

        The environment's keyword ``home`` and the reset option ``q`` win over it.
        """
        return None

    def with_goal_box(self, box: Any) -> Task:
        """Return the same task with goals from a box.

        Raises:
            InvalidArgumentError: The box is invalid. The default refuses every box.
        """
        sentence = f"{type(self).__name__} draws no goals from a box, so goal_box={box!r} cannot be set. Leave it out."
        raise InvalidArgumentError("goal_box", box, sentence=sentence)

    def sample_goal(self, rng: np.random.Generator) -> Array:
        """Return one goal (g,). The default is a task without goals, g = 0."""
        return np.empty(0)

    def with_goal(self, goal: Array) -> Task:
        """Return the same task with a fixed goal.

        Raises:
            InvalidArgumentError: The goal is invalid. The default refuses every goal.
        """
        sentence = f"{type(self).__name__} has no goal, so the goal {goal!r} cannot be set. Leave it out."
        raise InvalidArgumentError("goal", goal, sentence=sentence)

    def get_goal_pose(self, goal: Array) -> Array | None:
        """Return the poses (n, 7) to draw for goals: position [m], quaternion wxyz. The default draws nothing."""
        return None

    def explain_out_of_reach(self, kinematics: Kinematics, goal: Array) -> str | None:
        """Return a sentence if no pose of the arm reaches one goal (g,), else None. The default checks nothing."""
        return None

    def compute_offset(self, state: TaskState, goal: Array) -> Array | None:
        """Return tool minus goal (n, 3) [m] in the base frame, from which accuracy and repeatability of ISO 9283 are computed.

        The default is None: the task does not place the tool.
        """
        return None

    def describe(self) -> dict[str, str]:
        """Return short descriptions under the keys "reward" and "goal", for the list of environments."""
        return {"reward": type(self).__name__, "goal": ""}

    def compute_goal_bounds(self, kinematics: Kinematics) -> tuple[Array, Array]:
        """Return lower and upper bounds of an achieved goal (layout "goal" only).

        Raises:
            NotImplementedError: The task has the layout "goal" but does not define this function.
        """
        raise NotImplementedError(f"{type(self).__name__} has layout 'goal' but no compute_goal_bounds.")

    def compute_achieved(self, state: TaskState) -> Array:
        """Return the achieved goals of n arms (layout "goal" only).

        Raises:
            NotImplementedError: The task has the layout "goal" but does not define this function.
        """
        raise NotImplementedError(f"{type(self).__name__} has layout 'goal' but no compute_achieved.")

    def compute_desired(self, goal: Array) -> Array:
        """Return goals (n, g) in the form of achieved ones (layout "goal" only). The default returns them unchanged."""
        return goal

    def compute_goal_reward(self, achieved: Array, desired: Array) -> Array:
        """Return the rewards (n,) of achieved and desired goals, equal to the step's rewards (layout "goal" only).

        Raises:
            NotImplementedError: The task has the layout "goal" but does not define this function.
        """
        raise NotImplementedError(f"{type(self).__name__} has layout 'goal' but no compute_goal_reward.")
