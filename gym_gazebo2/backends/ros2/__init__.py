"""A client of the ROS 2 contract: one arm, wherever it moves. What it finds decides how it is paced.

``backend`` is the face, ``link`` the topics, ``feed`` the newest state; ``lock_step``, ``control_world`` and
``free_running`` are the three ways of pacing, each with ``place``, ``advance`` and ``hold``.
"""

from __future__ import annotations

from gym_gazebo2.backends.ros2.backend import Ros2Backend

__all__ = ["Ros2Backend"]
