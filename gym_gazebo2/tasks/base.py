"""What every task is: pure, batched functions of (state, goal). No simulator, no ROS, no Gymnasium here."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.kinematics import Kinematics, TcpState
from gym_gazebo2.state import ArmState

__all__ = ["Errors", "GOAL_DIM", "Layout", "Task", "TaskState"]

Array = NDArray[np.float64]
Layout = Literal["vector", "goal", "camera"]

GOAL_DIM = 7
"""A goal is a pose in the base frame: position xyz [m], quaternion wxyz."""


class TaskState(NamedTuple):
    """What a task sees of n arms: the measured state and the tool's kinematics."""

    arm: ArmState
    tcp: TcpState


@dataclasses.dataclass(frozen=True, slots=True)
class Errors:
    """Distances of n arms to their goals.

    Attributes:
        position: (n,) distance of the tool to the goal [m].
        orientation: (n,) angle between tool and goal [rad]; zero where the task does not ask for an orientation.
    """

    position: Array
    orientation: Array


class Task(Protocol):
    """The interface of a task; ``ReachTask`` is the one to read first."""

    @property
    def layout(self) -> Layout:
        """Form of the observation: "vector", a flat array; "goal", a dictionary for HER; "camera", image and proprioception."""
        ...

    def compute_bounds(self, kinematics: Kinematics) -> tuple[Array, Array]:
        """Return finite lower and upper bounds of the flat observation, (size,) each."""
        ...

    def compute_observation(self, state: TaskState, goal: Array) -> Array:
        """Return the flat observations, (n, size), for goals (n, 7)."""
        ...

    def compute_errors(self, state: TaskState, goal: Array) -> Errors:
        """Return the distances to the goals (n, 7)."""
        ...

    def compute_reward(self, errors: Errors, in_collision: NDArray[np.bool_]) -> Array:
        """Return the rewards, (n,)."""
        ...

    def compute_success(self, errors: Errors) -> NDArray[np.bool_]:
        """Return which arms are at their goal, (n,)."""
        ...

    def sample_goal(self, rng: np.random.Generator) -> Array:
        """Return one goal (7,), drawn where the task draws goals."""
        ...

    def with_goal(self, goal: Array) -> Task:
        """Return the same task with a fixed goal, (3,) or (7,)."""
        ...
