"""The tasks whose goals are points: reach, push, slide, pick and place, stack."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.scene import Scene
from gym_gazebo2.tasks.base import Advance, Measures, Task, TaskState
from gym_gazebo2.tasks.measures import Measure
from gym_gazebo2.tasks.rotations import compute_roll_pitch_yaw

__all__ = ["P_WORLD_IN_BASE", "PandaGymTask"]

Array = NDArray[np.float64]
Vec3 = tuple[float, float, float]

P_WORLD_IN_BASE = np.array([0.6, 0.0, 0.0])
"""Origin of panda-gym's world frame in the base frame [m]. The axes are parallel."""
BOUND = 10.0
"""All observations and goals are in a box of this half-width [m, rad, m/s, rad/s]."""
OBJECT_AREA = 0.15
"""Objects start at |x| and |y| up to this [m, world frame]."""
NO_TURN = (1.0, 0.0, 0.0, 0.0)
"""Quaternion wxyz of objects at the start."""


@dataclasses.dataclass(frozen=True)
class PandaGymTask(Task):
    """Bring the tool, or the objects, to points (g,) in panda-gym's world frame [m].

    Without objects the tool is to reach the goal. With k objects the goal has 3k components: a point for the first object, and
    points above it for the others, stacked on each other. The observation has the tool's position and velocity, the width
    between the fingers where the task uses them, and twelve numbers per object: position, roll, pitch and yaw, velocities.
    An episode ends at success.

    Attributes:
        summary: What is to be done, for the list of environments.
        start_heights: Heights of the objects' centres at the start [m].
        goal_lower: Lower corner of the box from which the goal is drawn [m, world frame].
        goal_upper: Upper corner.
        ground_share: Share of the goals that are put at the lower corner's height.
        threshold: Distance to the goal below which the task is done [m].
        reward: "sparse", 0 near the goal and −1 elsewhere; "dense", the negative distance.
        goal: A fixed goal (g,); None: each reset draws one.
    """

    summary: str = ""
    start_heights: tuple[float, ...] = ()
    goal_lower: Vec3 = (-0.15, -0.15, 0.0)
    goal_upper: Vec3 = (0.15, 0.15, 0.3)
    ground_share: float = 0.0
    threshold: float = 0.05
    reward: Literal["sparse", "dense"] = "sparse"
    uses_gripper: bool = False
    scene: Scene | None = None
    goal: tuple[float, ...] | None = None

    layout = "goal"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UnknownNameError: There is no such reward.
            InvalidArgumentError: The scene has another number of objects than ``start_heights``.
        """
        if self.reward not in ("sparse", "dense"):
            raise UnknownNameError("reward", self.reward, ("sparse", "dense"))
        objects = 0 if self.scene is None else self.scene.num_objects
        if len(self.start_heights) != objects:
            raise InvalidArgumentError("start_heights", self.start_heights, f"{objects} heights, one per object")

    @property
    def MEASURES(self) -> Mapping[str, Measure]:
        """The distance to the goal; of several objects the root of the summed squares."""
        return {"distance": Measure("distance to the goal", "mm", 1e3, threshold=self.threshold)}

    def compute_bounds(self, kinematics: Kinematics) -> tuple[Array, Array]:
        """Return the bounds of the flat observation, ±10 for every component."""
        size = 6 + self.uses_gripper + len(self.start_heights) * (9 + len(self.compute_rotation(np.array([NO_TURN]))[0]))
        return np.full(size, -BOUND), np.full(size, BOUND)

    def compute_observation(self, state: TaskState, goal: Array) -> Array:
        """Return the flat observations (n, size) [m, m/s, rad, rad/s; world frame]."""
        parts = [state.tcp.position - P_WORLD_IN_BASE, state.tcp.velocity]
        if self.uses_gripper:
            # The width between the Panda's fingers is the sum of their positions.
            parts.append(state.arm.q[:, -2:].sum(axis=1, keepdims=True))
        objects = state.arm.objects
        if objects is not None:
            pose, twist = objects.pose, objects.twist
            rotation = self.compute_rotation(pose[..., 3:])
            rows = np.concatenate([pose[..., :3] - P_WORLD_IN_BASE, rotation, twist], axis=2)
            parts.append(rows.reshape(len(rows), -1))
        return np.concatenate(parts, axis=1)

    def compute_rotation(self, quat: Array) -> Array:
        """Return how the observation describes rotations (…, 4) wxyz: roll, pitch and yaw (…, 3) [rad]."""
        return compute_roll_pitch_yaw(quat)

    def compute_distance(self, achieved: Array, desired: Array) -> Array:
        """Return the distances (n,) of achieved to desired goals (n, g) [m]."""
        difference = achieved - desired
        return np.sqrt(np.add.reduce(difference * difference, axis=1))

    def measure(self, state: TaskState, goal: Array) -> Measures:
        """Return "distance" [m]."""
        # Rounded as in the observation: the reward that HER computes from the observation then equals the step's to the bit.
        achieved, desired = self.compute_achieved(state).astype(np.float32), goal.astype(np.float32)
        return {"distance": self.compute_distance(achieved.astype(float), desired.astype(float))}

    def compute_reward(self, measures: Measures, state: TaskState) -> Array:
        """Return the rewards, (n,)."""
        return self._reward(measures["distance"])

    def compute_success(self, measures: Measures, state: TaskState) -> NDArray[np.bool_]:
        """Return which arms are nearer to the goal than the threshold, (n,)."""
        return measures["distance"] < self.threshold

    def advance(self, state: TaskState, goal: Array) -> Advance:
        """Return the result of a control period. Success ends the episode."""
        measures = self.measure(state, goal)
        return Advance(state.memory, measures, self.compute_reward(measures, state), self.compute_success(measures, state))

    def place(self, rng: np.random.Generator, goal: Array) -> tuple[NDArray[np.int64], Array]:
        """Return the objects in their order, each anywhere on the table's middle."""
        k = len(self.start_heights)
        pose = np.tile(np.array([0.0, 0.0, 0.0, *NO_TURN]), (k, 1))
        # The height is drawn as well, from a range of zero. The same seed then gives the same episode as in panda-gym.
        pose[:, :3] = P_WORLD_IN_BASE + rng.uniform(-OBJECT_AREA, OBJECT_AREA, (k, 3)) * [1.0, 1.0, 0.0]
        pose[:, 2] += self.start_heights
        return np.arange(k), pose

    def sample_goal(self, rng: np.random.Generator) -> Array:
        """Return one goal (g,) [m]; a fixed goal draws nothing."""
        if self.goal is not None:
            return np.array(self.goal)
        point = rng.uniform(self.goal_lower, self.goal_upper)
        if self.ground_share and rng.random() < self.ground_share:
            point[2] = self.goal_lower[2]
        if len(self.start_heights) < 2:
            return point
        above = np.array(self.start_heights) - self.start_heights[0]
        return np.concatenate([point + np.array([0.0, 0.0, height]) for height in above])

    def with_goal(self, goal: Array) -> PandaGymTask:
        """Return the same task with a fixed goal (g,).

        Raises:
            InvalidArgumentError: The goal has another shape, or is not finite.
        """
        values, size = np.asarray(goal, dtype=float), len(self.sample_goal(np.random.default_rng(0)))
        if values.shape != (size,) or not np.isfinite(values).all():
            raise InvalidArgumentError("goal", goal, f"finite numbers of shape ({size},), in panda-gym's world frame")
        return dataclasses.replace(self, goal=tuple(values.tolist()))

    def get_goal_pose(self, goal: Array) -> Array:
        """Return the poses (n, 7) of the first points in the base frame."""
        return np.concatenate([goal[:, :3] + P_WORLD_IN_BASE, np.tile(NO_TURN, (len(goal), 1))], axis=1)

    def compute_goal_bounds(self, kinematics: Kinematics) -> tuple[Array, Array]:
        """Return the bounds of a goal, ±10 for every component."""
        size = len(self.sample_goal(np.random.default_rng(0)))
        return np.full(size, -BOUND), np.full(size, BOUND)

    def compute_achieved(self, state: TaskState) -> Array:
        """Return the positions of the tools (n, 3), or of the objects (n, 3k) [m, world frame]."""
        if state.arm.objects is None:
            return state.tcp.position - P_WORLD_IN_BASE
        position = state.arm.objects.pose[..., :3] - P_WORLD_IN_BASE
        return position.reshape(len(position), -1)

    def compute_goal_reward(self, achieved: Array, desired: Array) -> Array:
        """Return the rewards (n,) of achieved and desired goals, (n, g) each."""
        return self._reward(self.compute_distance(achieved, desired))

    def describe(self) -> dict[str, str]:
        """Return short descriptions of reward and goal."""
        return {"reward": self.reward, "goal": self.summary}

    def _reward(self, distance: Array) -> Array:
        return -distance if self.reward == "dense" else np.where(distance > self.threshold, -1.0, 0.0)
