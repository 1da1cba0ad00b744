"""The motion to a start pose: inside the limits, no faster than asked for, wherever the arm begins."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.backends.ros2.pacing import Sample, Settings
from gym_gazebo2.backends.ros2.return_motion import return_to
from gym_gazebo2.robots import make_robot

MARA, PERIOD = make_robot("mara"), 50_000_000
OVER, UNDER = np.eye(MARA.dof)[0], -np.eye(MARA.dof)[3]


class Arm:
    """Goes straight to what is commanded, in the time that the command gives, from where it is."""

    def __init__(self, q: np.ndarray) -> None:
        self.q, self.rows = q, list[tuple[np.ndarray, float, np.ndarray]]()

    def advance(self, goal: np.ndarray, shortest: int = 0) -> Sample:
        seconds = 1e-9 * max(PERIOD, shortest)
        speed = (goal - self.q) / seconds
        self.q = self.q + speed * 1e-9 * PERIOD
        self.rows.append((goal, float(np.abs(speed / MARA.velocity_limit).max()), self.q))
        return Sample(PERIOD * len(self.rows), self.q, speed, goal, False)


@pytest.mark.parametrize("share", [0.2, 1.0])
@pytest.mark.parametrize("out", [0.3 * OVER, 0.01 * OVER, 0.49 * UNDER, 0.3 * OVER + 0.1 * UNDER])
def test_an_arm_outside_its_limits_comes_in_at_the_speed_asked_for(out: np.ndarray, share: float) -> None:
    start = np.where(out > 0, MARA.upper, np.where(out < 0, MARA.lower, 0.1)) + out
    arm, goal = Arm(start), np.clip(start, MARA.lower, MARA.upper) * 0.8
    sample = return_to(MARA, start, goal, arm.advance, Settings(PERIOD, 10.0, share, 1.0))
    goals, speeds, ways = zip(*arm.rows, strict=True)
    assert np.all((np.array(goals) >= MARA.lower) & (np.array(goals) <= MARA.upper)), "set-points are inside the limits"
    assert max(speeds) <= share * (1 + 1e-9) and np.abs(sample.q - goal).max() < 0.02
    assert np.all(np.diff([start, *ways], axis=0) * np.sign(out) <= 0), "it comes in all the way"
