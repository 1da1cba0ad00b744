"""Reach: bring the tool to a point, with an orientation where the task asks for one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UsageError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.tasks.base import Layout, Measures, Task, TaskState
from gym_gazebo2.tasks.measures import Measure
from gym_gazebo2.tasks.observations import COMPONENTS
from gym_gazebo2.tasks.rotations import compute_angle, compute_quat_error, make_rotation
from gym_gazebo2.tasks.workspace import Workspace

__all__ = ["SUCCESS_ANGLE", "SUCCESS_DISTANCE", "ReachTask", "compute_reach_reward"]

Array = NDArray[np.float64]
Vec3 = tuple[float, float, float]

SUCCESS_DISTANCE = 0.005
"""Largest distance of the tool to the goal that counts as success [m]."""
SUCCESS_ANGLE = float(np.deg2rad(5.0))
"""Largest angle to the goal's orientation that counts as success [rad], where the task asks for an orientation."""
OUT_OF_REACH = 1e-3
"""A goal is out of reach if the tool remains farther away than this in every pose [m]."""
BOX = "a lower and an upper corner (x, y, z) [m], finite, lower ≤ upper in each coordinate"
"""The valid values of ``goal_box``, for errors."""
NO_ROTATION = (1.0, 0.0, 0.0, 0.0)
"""Quaternion wxyz of goals that ask for no orientation."""

_POSITION = Measure("tool error", "mm", 1e3, threshold=SUCCESS_DISTANCE, target=0.001, summary="rms")
_ORIENTATION = Measure("angle to the goal", "°", 180.0 / math.pi, threshold=SUCCESS_ANGLE, summary="rms")

# The reward's two exponentials: a wide one that leads from afar (rate 5) and a narrow one, ten times as high, that rewards the
# last millimetres (rate 250). Each is scaled so that it is 0 at d = 1 m and its weight at d = 0.
_RATES = np.array([[-5.0], [-250.0]])
_WEIGHTS = np.array([1.0, 10.0])
_SCALES = _WEIGHTS / (1.0 - np.exp(_RATES[:, 0]))
_FLOOR = float(_SCALES @ np.exp(_RATES[:, 0]))


def compute_reach_reward(
    position_error: Array, angle: Array | None = None, in_collision: NDArray[np.bool_] | None = None
) -> Array:
    """Return the dense reward, from about −1 far away to 10 at the goal.

    It is the reward of the 2019 gym-gazebo2 (arXiv:1903.06278), batched:

    reward = D·O − 1 − C with d = error/√3,
    D = (e^(−5d) − e^(−5))/(1 − e^(−5)) + 10 (e^(−250d) − e^(−250))/(1 − e^(−250)),
    O = (2 − (angle/π)^1.5)/2, and in collision C = 3 (2 min(d, 0.5))^0.03.

    Args:
        position_error: (n,) distance of the tool to the goal [m].
        angle: (n,) angle to the goal's orientation [rad]; None: the orientation does not count, O = 1.
        in_collision: (n,) bool; None: contact does not count, C = 0.

    Returns:
        (n,) rewards.
    """
    # The 2019 toolkit takes the RMS of the three coordinates as the error, which is the distance over √3.
    d = position_error * (1.0 / math.sqrt(3.0))
    reward = _SCALES @ np.exp(_RATES * d) - _FLOOR
    if angle is not None:
        reward *= 1.0 - 0.5 * (angle / np.pi) ** 1.5
    reward -= 1.0
    if in_collision is not None and in_collision.any():
        reward -= np.where(in_collision, 3.0 * (2.0 * np.minimum(d, 0.5)) ** 0.03, 0.0)
    return reward


@dataclasses.dataclass(frozen=True)
class ReachTask(Task):
    """Bring the tool to a goal: a pose (7,) in the base frame, position [m] and quaternion wxyz.

    Attributes:
        goal: Goal position in the base frame [m].
        goal_box: Lower and upper corner of the box from which each reset draws a goal [m], in place of ``goal``.
        in_workspace: Whether goals are tool positions of random poses of the arm that are free of collision; with a
            ``goal_box``, of those with the tool inside it.
        quat_goal: Orientation of the tool at the goal, wxyz; None: any orientation will do.
        collision_penalty: Whether every control period with contact costs reward.
        reward: "dense", the shaped reward; "sparse", 0 at the goal and −1 elsewhere (for hindsight replay).
        components: Names of the observation's components, rows of ``observations.COMPONENTS``, in order.
        layout: "vector", "goal" (dictionary for HER) or "camera" (dictionary with the wrist image).
        kinematics: The arm, set by ``bind`` where the task needs it.
        workspace: The arm's workspace, set by ``bind`` for ``in_workspace``.
    """

    goal: Vec3 | None = None
    goal_box: tuple[Vec3, Vec3] | None = None
    quat_goal: tuple[float, float, float, float] | None = None
    collision_penalty: bool = False
    reward: Literal["dense", "sparse"] = "dense"
    components: tuple[str, ...] = ("q", "position_error", "velocity")
    layout: Layout = "vector"
    in_workspace: bool = False
    kinematics: Kinematics | None = dataclasses.field(default=None, repr=False, compare=False)
    workspace: Workspace | None = dataclasses.field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Reject invalid values.

        Raises:
            InvalidArgumentError: Not exactly one source of goals, an invalid box, or an orientation or a
                collision penalty in layout "goal", whose achieved goals are positions alone.
            UnknownNameError: An unknown component, reward or layout.
        """
        if (self.goal is None) == (self.goal_box is None and not self.in_workspace):
            given = (self.goal, self.goal_box)
            raise InvalidArgumentError("goal, goal_box", given, "exactly one of the two, or goals in_workspace")
        if self.goal_box is not None and not _is_box(self.goal_box):
            raise InvalidArgumentError("goal_box", self.goal_box, BOX)
        for name in self.components:
            if name not in COMPONENTS:
                raise UnknownNameError("observation component", name, COMPONENTS)
        if self.reward not in ("dense", "sparse"):
            raise UnknownNameError("reward", self.reward, ("dense", "sparse"))
        if self.layout not in ("vector", "goal", "camera"):
            raise UnknownNameError("observation layout", self.layout, ("vector", "goal", "camera"))
        if self.layout == "goal" and self.quat_goal is not None:
            sentence = f"quat_goal is {self.quat_goal}, but achieved goals of layout 'goal' are positions. Leave it out."
            raise InvalidArgumentError("quat_goal", self.quat_goal, sentence=sentence)
        if self.layout == "goal" and self.collision_penalty:
            # The reward of another goal is computed from achieved and desired goal alone. With a penalty it would differ from
            # the step's reward, and HER would learn from wrong rewards.
            sentence = "collision_penalty is True, but the reward of layout 'goal' depends on goals alone. Set it to False."
            raise InvalidArgumentError("collision_penalty", True, sentence=sentence)

    @property
    def MEASURES(self) -> Mapping[str, Measure]:
        """The tool's distance to the goal; where the task asks for an orientation, also the angle to it."""
        both = {"position_error": _POSITION, "orientation_error": _ORIENTATION}
        return both if self.quat_goal is not None else {"position_error": _POSITION}

    def compute_bounds(self, kinematics: Kinematics) -> tuple[Array, Array]:
        """Return finite bounds of the flat observation, (size,) each."""
        farthest = self._compute_farthest()
        bounds = [COMPONENTS[name].compute_bounds(kinematics, farthest) for name in self.components]
        return np.concatenate([low for low, _ in bounds]), np.concatenate([high for _, high in bounds])

    def compute_observation(self, state: TaskState, goal: Array) -> Array:
        """Return the flat observations, (n, size)."""
        return np.concatenate([COMPONENTS[name].compute(state, goal, self.kinematics) for name in self.components], axis=1)

    def measure(self, state: TaskState, goal: Array) -> Measures:
        """Return "position_error" [m] and "orientation_error" [rad], zero if the task asks for no orientation."""
        # np.linalg.norm computes the same, but takes 1.5 times as long for 8 arms; this runs in every step.
        difference = state.tcp.position - goal[:, :3]
        position = np.sqrt(np.add.reduce(difference * difference, axis=1))
        if self.quat_goal is None:
            return {"position_error": position, "orientation_error": np.zeros(len(position))}
        quat_error = compute_quat_error(state.tcp.rotation, make_rotation(goal[:, 3:]))
        return {"position_error": position, "orientation_error": compute_angle(quat_error)}

    def compute_reward(self, measures: Measures, state: TaskState) -> Array:
        """Return the rewards, (n,)."""
        if self.reward == "sparse":
            return self._is_at_goal(measures["position_error"], measures["orientation_error"]).astype(float) - 1.0
        angle = None if self.quat_goal is None else measures["orientation_error"]
        in_collision = state.arm.in_collision if self.collision_penalty else None
        return compute_reach_reward(measures["position_error"], angle, in_collision)

    def compute_success(self, measures: Measures, state: TaskState) -> NDArray[np.bool_]:
        """Return which arms are within 5 mm of the goal, and within 5° if the task asks for an orientation."""
        return self._is_at_goal(measures["position_error"], measures["orientation_error"])

    def compute_goal_bounds(self, kinematics: Kinematics) -> tuple[Array, Array]:
        """Return bounds of a position [m], (3,) each."""
        high = np.full(3, max(kinematics.compute_reach(), self._compute_farthest()))
        return -high, high

    def compute_achieved(self, state: TaskState) -> Array:
        """Return the tools' positions, (n, 3) [m]."""
        return state.tcp.position

    def compute_desired(self, goal: Array) -> Array:
        """Return the goals' positions, (n, 3) [m]."""
        return goal[:, :3]

    def compute_goal_reward(self, achieved: Array, desired: Array) -> Array:
        """Return the rewards (n,) of achieved and desired positions, (n, 3) [m] each."""
        distance = np.linalg.norm(achieved - desired, axis=1)
        if self.reward == "sparse":
            return self._is_at_goal(distance, np.zeros(len(distance))).astype(float) - 1.0
        return compute_reach_reward(distance)

    def compute_offset(self, state: TaskState, goal: Array) -> Array:
        """Return tool minus goal, (n, 3) [m]."""
        return state.tcp.position - goal[:, :3]

    def get_goal_pose(self, goal: Array) -> Array:
        """Return the goals as they are: poses (n, 7)."""
        return goal

    def explain_out_of_reach(self, kinematics: Kinematics, goal: Array) -> str | None:
        """Return a sentence if no pose reaches the goal's position, or its position and orientation together."""
        name = kinematics.robot.name
        # The position first: this search is cheaper, and its answer names the distance.
        distance = kinematics.compute_distance_to_reach(goal[:3])
        if distance > OUT_OF_REACH:
            return f"The goal {goal[:3]} is {1e3 * distance:.0f} mm out of reach of {name!r}."
        if self.quat_goal is None:
            return None
        distance = kinematics.compute_distance_to_reach(goal[:3], make_rotation(goal[3:]))
        return f"The goal {goal} is out of reach of {name!r} in that orientation." if distance > OUT_OF_REACH else None

    def describe(self) -> dict[str, str]:
        """Return short descriptions of reward and goal."""
        where = " to ".join(map(_format, self.goal_box)) if self.goal_box else _format(self.goal or ())
        if self.in_workspace:
            where = f"workspace within {where}" if self.goal_box else "anywhere in the workspace"
        goal = where if self.quat_goal is None else f"{where}, wxyz {_format(self.quat_goal)}"
        return {"reward": f"{self.reward}, contact costs" if self.collision_penalty else self.reward, "goal": goal}

    def _is_at_goal(self, distance: Array, angle: Array) -> NDArray[np.bool_]:
        return (distance <= SUCCESS_DISTANCE) & (angle <= SUCCESS_ANGLE)

    def _compute_farthest(self) -> float:
        """Return the largest coordinate of any goal [m]."""
        if self.kinematics is not None:  # the space of observations must not depend on where in the workspace goals are
            return self.kinematics.compute_reach()
        return float(np.abs(np.array(self.goal_box or self.goal, dtype=float)).max())

    def bind(self, kinematics: Kinematics) -> ReachTask:
        """Return the task for one arm: with its workspace, where goals come from there.

        Raises:
            InvalidArgumentError: The arm reaches hardly any point of ``goal_box``.
            RobotError: Hardly any pose of the arm is free of collision.
        """
        if not self.in_workspace:
            return self
        return dataclasses.replace(self, kinematics=kinematics, workspace=Workspace.make(kinematics, self.goal_box))

    def with_goal_box(self, box: Any) -> ReachTask:
        """Return the same task with goals from a box ((x, y, z), (x, y, z)) [m]; in the workspace, from its part in the box.

        Raises:
            InvalidArgumentError: The box is invalid.
        """
        try:
            (x1, y1, z1), (x2, y2, z2) = np.asarray(box, dtype=float).tolist()
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError("goal_box", box, BOX) from error
        return dataclasses.replace(self, goal=None, goal_box=((x1, y1, z1), (x2, y2, z2)))

    def sample_goal(self, rng: np.random.Generator) -> Array:
        """Return one goal (7,); a fixed goal draws nothing."""
        # A goal is always a pose (7,), so that batches of tasks with and without orientation have one shape.
        if self.in_workspace:
            if self.workspace is None:
                raise UsageError("Goals in the workspace need an arm. Call bind(kinematics) of the task first.")
            position = self.workspace.sample(rng)
        else:
            position = np.asarray(self.goal if self.goal_box is None else rng.uniform(*self.goal_box))
        return np.concatenate([position, self.quat_goal or NO_ROTATION])

    def with_goal(self, goal: Array) -> ReachTask:
        """Return the same task with a fixed goal.

        Args:
            goal: (3,) position [m], or (7,) with a quaternion wxyz where the task asks for an orientation.

        Raises:
            InvalidArgumentError: The goal has another shape, is not finite, or has a quaternion of length zero.
        """
        values = np.asarray(goal, dtype=float)
        shapes = [(3,)] if self.quat_goal is None else [(3,), (7,)]
        if values.shape not in shapes or not np.all(np.isfinite(values)):
            raise InvalidArgumentError("goal", goal, f"finite numbers of shape {' or '.join(map(str, shapes))}")
        quat = self.quat_goal
        if len(values) == 7:
            norm = np.linalg.norm(values[3:])
            if norm < 1e-6:
                raise InvalidArgumentError("goal[3:]", values[3:], "a quaternion wxyz of positive length")
            w, x, y, z = (values[3:] / norm).tolist()
            quat = (w, x, y, z)
        px, py, pz = values[:3].tolist()
        return dataclasses.replace(self, goal=(px, py, pz), goal_box=None, in_workspace=False, workspace=None, quat_goal=quat)


def _is_box(corners: Sequence[Sequence[float]]) -> bool:
    if [len(corner) for corner in corners] != [3, 3]:
        return False
    return all(-math.inf < low <= high < math.inf for low, high in zip(*corners, strict=True))


def _format(numbers: Sequence[float]) -> str:
    return f"({', '.join(f'{number:.3g}' for number in numbers)})"
