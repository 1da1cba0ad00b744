"""Goals from the whole workspace of an arm: the tool's positions in random poses that are free of collision."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError, RobotError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import sample_free_poses

__all__ = ["Workspace"]

Array = NDArray[np.float64]
Box = tuple[tuple[float, float, float], tuple[float, float, float]]

POSES = 4096
"""Poses free of collision, from which goals are made."""
NOISE = 0.03
"""Each joint of a drawn pose is moved by up to this [rad, or share of the stroke], so that no goal occurs twice."""
FEWEST = 50
"""Fewest poses with the tool inside a box of goals. With fewer, the same few places would come again and again."""
TRIES = 20
"""Draws until the moved pose has its tool inside the box; the last one uses the pose as it is."""
FLOOR_DISTANCE = 0.02
"""Lowest height of a goal above the floor [m]. Tool frames have no shape, so the collision test does not see them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Workspace:
    """Where the tool of an arm can be.

    Attributes:
        kinematics: The arm.
        poses: (k, dof) poses free of collision whose tools are above the floor and inside the box [rad or m].
        low, high: Corners of the box [m], (3,) each.
    """

    kinematics: Kinematics
    poses: Array
    low: Array
    high: Array

    @classmethod
    def make(cls, kinematics: Kinematics, box: Box | None = None) -> Workspace:
        """Return the workspace of an arm, or the part of it inside a box.

        Raises:
            InvalidArgumentError: The arm reaches hardly any point of the box.
            RobotError: Hardly any pose of the arm is free of collision, or has the tool above the floor.
        """
        robot = kinematics.robot
        low, high = np.array(box if box is not None else ((-np.inf,) * 3, (np.inf,) * 3), dtype=float)
        low[2] = max(low[2], FLOOR_DISTANCE - robot.mount_height)
        poses = sample_free_poses(robot, POSES)
        position = kinematics.compute_tcp_pose(poses)[:, :3, 3]
        inside = np.all((position >= low) & (position <= high), axis=1)
        if inside.sum() < FEWEST:
            if box is None:
                raise RobotError(
                    f"{robot.name!r} hardly lifts its tool more than {FLOOR_DISTANCE:g} m above the floor: no goals. "
                    "Give the height of the base above the floor as mount_height."
                )
            corners = f"{position.min(axis=0).round(2).tolist()} and {position.max(axis=0).round(2).tolist()}"
            expected = f"a box with more points that {robot.name!r} can reach. Its tool is always between {corners} m"
            raise InvalidArgumentError("goal_box", box, expected)
        return cls(kinematics, poses[inside], low, high)

    def sample(self, rng: np.random.Generator) -> Array:
        """Return one goal position (3,) [m], drawn uniformly over joint poses."""
        robot = self.kinematics.robot
        pose = self.poses[rng.integers(len(self.poses))]
        noise = rng.uniform(-NOISE, NOISE, (TRIES, robot.dof)) * robot.scale
        noise[-1] = 0.0
        q = np.clip(pose + noise, robot.lower, robot.upper)
        position = self.kinematics.compute_tcp_pose(q)[:, :3, 3]
        inside = np.all((position >= self.low) & (position <= self.high), axis=1)
        return position[np.argmax(inside)]
