"""MuJoCo as a provider of the ROS 2 contract: a simulator in lock-step or real time, or a stand-in for the robot.

``arm`` is the arm and its physics, ``messages`` reads what clients send, and ``server`` holds the topics and the pacing.
"""

from __future__ import annotations

from gym_gazebo2.provider.arm import ServedArm
from gym_gazebo2.provider.server import serve

__all__ = ["ServedArm", "serve"]
