"""The task whose goals are rotations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.tasks.base import Measures, TaskState
from gym_gazebo2.tasks.measures import Measure
from gym_gazebo2.tasks.panda_gym.task import P_WORLD_IN_BASE, PandaGymTask

__all__ = ["FlipTask"]

Array = NDArray[np.float64]

MARKER_HEIGHT = 0.06
"""Height above the table at which the goal is drawn [m]."""


@dataclasses.dataclass(frozen=True)
class FlipTask(PandaGymTask):
    """Turn an object to a rotation, a quaternion (4,) in panda-gym's order xyzw.

    The distance of two quaternions is 1 − ⟨a, b⟩², which is sin²(θ/2) for the angle θ between the rotations. Observations and
    goals have w ≥ 0: q and −q are one rotation.
    """

    @property
    def MEASURES(self) -> Mapping[str, Measure]:
        """The angle to the goal."""
        threshold = 2.0 * math.asin(math.sqrt(self.threshold))
        return {"rotation_error": Measure("angle to the goal", "°", 180.0 / math.pi, threshold=threshold)}

    def compute_rotation(self, quat: Array) -> Array:
        """Return how the observation describes rotations (…, 4) wxyz: as quaternions (…, 4) xyzw with w ≥ 0."""
        upper = np.where(quat[..., :1] < 0.0, -quat, quat)
        return np.concatenate([upper[..., 1:], upper[..., :1]], axis=-1)

    def compute_distance(self, achieved: Array, desired: Array) -> Array:
        """Return the distances (n,) of quaternions (n, 4), 0 to 1."""
        return 1.0 - np.add.reduce(achieved * desired, axis=1) ** 2

    def measure(self, state: TaskState, goal: Array) -> Measures:
        """Return "distance", 0 to 1, and "rotation_error" [rad]."""
        measures = super().measure(state, goal)
        # Rounding makes the distance of equal rotations slightly negative.
        angle = 2.0 * np.arcsin(np.sqrt(np.clip(measures["distance"], 0.0, 1.0)))
        return {**measures, "rotation_error": angle}

    def sample_goal(self, rng: np.random.Generator) -> Array:
        """Return one goal (4,) xyzw, uniform over all rotations; a fixed goal draws nothing."""
        if self.goal is not None:
            return np.array(self.goal)
        # Four normal numbers have no preferred direction, so their direction is a uniform rotation (Marsaglia 1972).
        quat = rng.normal(size=4)
        quat /= np.linalg.norm(quat)
        return np.copysign(1.0, quat[3]) * quat

    def with_goal(self, goal: Array) -> PandaGymTask:
        """Return the same task with a fixed goal (4,) xyzw.

        Raises:
            InvalidArgumentError: The goal has another shape, is not finite, or has length zero.
        """
        task = super().with_goal(goal)
        quat = np.array(task.goal)
        if not np.linalg.norm(quat) > 0.0:
            raise InvalidArgumentError("goal", goal, "a quaternion xyzw whose length is not zero")
        quat = np.copysign(1.0, quat[3]) * quat / np.linalg.norm(quat)
        return dataclasses.replace(task, goal=tuple(quat.tolist()))

    def get_goal_pose(self, goal: Array) -> Array:
        """Return the poses (n, 7) in the base frame: the rotation, above the middle of the table."""
        position = np.tile(P_WORLD_IN_BASE + np.array([0.0, 0.0, MARKER_HEIGHT]), (len(goal), 1))
        return np.concatenate([position, goal[:, 3:], goal[:, :3]], axis=1)

    def compute_achieved(self, state: TaskState) -> Array:
        """Return the rotations of the objects, (n, 4) xyzw."""
        if state.arm.objects is None:
            raise InvalidArgumentError("objects", None, "a state with the object that the task turns")
        return self.compute_rotation(state.arm.objects.pose[:, 0, 3:])
