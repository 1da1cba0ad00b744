"""The embedded physics on the ROS 2 contract, in lock-step or in real time: a simulator, or a stand-in for the robot."""

from __future__ import annotations

from gym_gazebo2.provider.arm import ServedArm
from gym_gazebo2.provider.server import serve

__all__ = ["ServedArm", "serve"]
