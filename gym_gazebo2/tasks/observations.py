"""The components of observations: one row of ``COMPONENTS`` each, with a pure function and its finite bounds.

Bounds are finite so that ``observation_space.sample()`` and networks that scale by the bounds work. They hold for any motion
within the limits, with a margin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import UsageError
from gym_gazebo2.inverse_kinematics import compute_joint_step
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.state import CONTROL_DT
from gym_gazebo2.tasks.base import TaskState
from gym_gazebo2.tasks.rotations import compute_quat_error, make_rotation

__all__ = ["COMPONENTS", "Component"]

Array = NDArray[np.float64]
Bounds = tuple[Array, Array]

POSITION_MARGIN = 0.1
"""Joint limits of physics engines are soft: a joint may pass its limit by less than this [rad]."""
SPEED_MARGIN = 1.5
"""Drives may overshoot the commanded speed by this factor."""
LONGEST_WAY = 0.1
"""The component "joint_step" is computed for at most this way of the tool [m]."""
STEP_DAMPING = 0.05
"""λ of its damped least squares [m]."""
LARGEST_STEP = 3.0
"""Its largest value, in periods of ``CONTROL_DT`` at full speed. An action cannot ask for more than one such period."""


@dataclasses.dataclass(frozen=True)
class Component:
    """One component of an observation.

    Attributes:
        compute: (state, goal (n, 7), kinematics or None) → (n, size). None before ``Task.bind``; only "joint_step" needs them.
        compute_bounds: (kinematics, farthest goal coordinate [m]) → lower and upper bounds, (size,) each.
    """

    compute: Callable[[TaskState, Array, Kinematics | None], Array]
    compute_bounds: Callable[[Kinematics, float], Bounds]


def _make_symmetric(bound: float, size: int) -> Bounds:
    high = np.full(size, float(bound))
    return -high, high


def _compute_joint_bounds(kinematics: Kinematics, farthest_goal: float) -> Bounds:
    robot = kinematics.robot
    margin = POSITION_MARGIN * robot.scale
    return robot.range_lower - margin, robot.range_upper + margin


def _compute_joint_speed_bounds(kinematics: Kinematics, farthest_goal: float) -> Bounds:
    high = SPEED_MARGIN * kinematics.robot.control_speed
    return -high, high


def _compute_tool_speed_bounds(kinematics: Kinematics, farthest_goal: float) -> Bounds:
    """Bound the tool's speed by every joint at full speed with the whole arm as its lever."""
    bound = SPEED_MARGIN * kinematics.robot.chain.control_speed.sum() * kinematics.compute_reach()
    return _make_symmetric(bound, 3)


def _compute_quat_error(state: TaskState, goal: Array, kinematics: Kinematics | None) -> Array:
    return compute_quat_error(state.tcp.rotation, make_rotation(goal[:, 3:]))


def _compute_joint_step(state: TaskState, goal: Array, kinematics: Kinematics | None) -> Array:
    """Return the motion of the joints that brings the tool nearer to the goal, from inverse kinematics [full-speed periods].

    It is the damped least squares step within the joint limits. It knows neither speed, drives nor collisions. With it, a
    network need not learn the geometry of the arm for the whole workspace.
    """
    if kinematics is None:
        raise UsageError("The observation 'joint_step' needs an arm. Call bind(kinematics) of the task first.")
    way = goal[:, :3] - state.tcp.position
    # Far from the goal only the direction counts: one linear step cannot lead there.
    way = way * (LONGEST_WAY / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), LONGEST_WAY))
    step = compute_joint_step(kinematics, state.arm.q, way, damping=STEP_DAMPING)
    return np.clip(step / (kinematics.robot.control_speed * CONTROL_DT), -LARGEST_STEP, LARGEST_STEP)


COMPONENTS: dict[str, Component] = {
    "q": Component(lambda s, goal, k: s.arm.q, _compute_joint_bounds),
    "dq": Component(lambda s, goal, k: s.arm.dq, _compute_joint_speed_bounds),
    "position_error": Component(
        lambda s, goal, k: s.tcp.position - goal[:, :3], lambda k, far: _make_symmetric(k.compute_reach() + far, 3)
    ),
    "joint_step": Component(_compute_joint_step, lambda k, far: _make_symmetric(LARGEST_STEP, k.robot.dof)),
    "velocity": Component(lambda s, goal, k: s.tcp.velocity, _compute_tool_speed_bounds),
    # Entries of rotation matrices and unit quaternions lie between −1 and 1; the 0.001 covers rounding to float32.
    "position": Component(lambda s, goal, k: s.tcp.position, lambda k, far: _make_symmetric(k.compute_reach(), 3)),
    "rotation": Component(lambda s, goal, k: s.tcp.rotation.reshape(-1, 9), lambda k, far: _make_symmetric(1.001, 9)),
    "quat_error": Component(_compute_quat_error, lambda k, far: (np.array([-0.001] + 3 * [-1.001]), np.full(4, 1.001))),
}
