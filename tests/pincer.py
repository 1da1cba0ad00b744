"""A small arm with a gripper, and a task that uses it, for tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from gym_gazebo2.robots import RobotRow, RobotSpec, make_robot
from gym_gazebo2.tasks import Task

URDF = Path(__file__).parent / "data" / "pincer.urdf"
ROW = RobotRow(str(URDF), tool_frame="tcp", home=(0.0, 0.5, 1.0))


def make_pincer(driven: bool = True, **changes: Any) -> RobotSpec:
    return make_robot(dataclasses.replace(ROW, **changes), driven)


class Squeeze(Task):
    """Close the gripper. The observation holds all joints, fingers included; the memory counts the periods."""

    uses_gripper = True

    def compute_bounds(self, kinematics):
        high = np.full(2 * kinematics.robot.dof + 1, 100.0)
        return -high, high

    def compute_observation(self, state, goal):
        return np.concatenate([state.arm.q, state.arm.dq, state.memory["count"]], axis=1)

    def compute_reward(self, measures, state):
        return -state.arm.q[:, -2:].sum(axis=1)

    def start(self, rng):
        return {"count": np.zeros(1)}

    def advance(self, state, goal):
        after = super().advance(state, goal)
        return dataclasses.replace(after, memory={"count": state.memory["count"] + 1.0})
