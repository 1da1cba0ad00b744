"""A scripted hand that grips, lifts, carries and shakes an object, and how far the object moves in it meanwhile."""

from __future__ import annotations

import numpy as np

from gym_gazebo2 import Kinematics, compute_tool_step
from gym_gazebo2.backends.base import Backend
from gym_gazebo2.setpoint import WINDUP_PERIODS
from gym_gazebo2.tasks.rotations import make_rotation

from .scenes import place, reset

START, HIGH = np.array([0.5, 0.05]), np.array([0.45, -0.2, 0.3])
CLOSED, OPEN = 0.0, 0.04


class Hand:
    """Moves a Panda's tool and fingers by set-points inside their limits."""

    def __init__(self, backend: Backend) -> None:
        self.backend, robot = backend, backend.robot
        self.kinematics = Kinematics(robot)
        self._travel = backend.control_dt * robot.control_speed

    def start(self, member: int) -> None:
        self.state = reset(self.backend, place(self.backend, [member], [START]))

    def move(self, goal: np.ndarray, fingers: float, periods: int, step: float = 0.02) -> None:
        """Move the tool towards ``goal`` (3,) by at most ``step`` [m] per period, and the fingers to a position [m]."""
        robot, n = self.backend.robot, self.backend.robot.chain_dof
        for _ in range(periods):
            setpoint = self.state.q_setpoint
            way = goal - self.kinematics.compute_tcp_pose(setpoint)[0, :3, 3]
            way *= min(1.0, step / max(np.linalg.norm(way), 1e-9))
            arm = compute_tool_step(self.kinematics.chain, setpoint[:, :n], way[None], travel=self._travel[:n])
            window = WINDUP_PERIODS * self._travel[n:]
            finger = np.clip(np.full((1, robot.dof - n), fingers), self.state.q[:, n:] - window, self.state.q[:, n:] + window)
            finger = np.clip(finger, setpoint[:, n:] - self._travel[n:], setpoint[:, n:] + self._travel[n:])
            goal_q = np.concatenate([arm, finger], axis=1)
            self.state = self.backend.step(np.clip(goal_q, robot.lower, robot.upper))
            assert not self.state.in_collision[0]

    def locate(self) -> np.ndarray:
        """Return the object's position (3,) in the tool's frame [m], with the mean of the fingers as its origin."""
        T = self.kinematics.compute_tcp_pose(self.state.q)[0]
        p = T[:3, :3].T @ (self.state.objects.pose[0, 0, :3] - T[:3, 3])
        # Fingers that close with the same force hold an object wherever they are, so it may move along y with both of them.
        left, right = self.state.q[0, -2:]
        return p - np.array([0.0, 0.5 * (left - right), 0.0])

    def get_turn(self) -> np.ndarray:
        """Return the object's rotation (3, 3) in the tool's frame."""
        T = self.kinematics.compute_tcp_pose(self.state.q)[0]
        return T[:3, :3].T @ make_rotation(self.state.objects.pose[0, 0, 3:])


def measure_slip(hand: Hand, member: int, max_turn: float = 2.0) -> float:
    """Return the largest distance [m] that an object moves in the hand while it is shaken for 2 s, after lift and carry.

    At the end the object may be turned by ``max_turn`` [°].
    """
    height = max(0.016, hand.backend.scene.pool.half_size[member, 2] - 0.005)
    low = np.array([*START, height])
    hand.start(member)
    hand.move(np.array([*START, 0.15]), OPEN, 12, 0.03)
    hand.move(low, OPEN, 14)
    hand.move(low, CLOSED, 12)
    hand.move(np.array([*START, 0.25]), CLOSED, 14)
    hand.move(HIGH, CLOSED, 16)
    held, turned, slips = hand.locate(), hand.get_turn(), []
    for k in range(40):
        side = np.array([0.04 if k % 4 < 2 else -0.04, 0.03 if k % 8 < 4 else -0.03, 0.0])
        hand.move(HIGH + side, CLOSED, 1)
        slips.append(np.linalg.norm(hand.locate() - held))
    assert hand.state.objects.pose[0, 0, 2] > 0.2, "the object was dropped"
    angle = np.arccos(np.clip((np.trace(turned.T @ hand.get_turn()) - 1.0) / 2.0, -1.0, 1.0))
    assert angle < np.radians(max_turn), "the object turned in the hand"
    return float(max(slips))
