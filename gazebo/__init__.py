"""Gazebo 11 on the ROS 2 contract: its installation, its plug-in, its worlds and the supervisor of its server.

Nothing here imports rclpy: the plug-in uses ROS 2's C library, and Gazebo can be installed before ROS 2 is.
"""

from __future__ import annotations

from gym_gazebo2.gazebo.build import build_plugin
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.install import install_gazebo
from gym_gazebo2.gazebo.locate import Gazebo, find_gazebo
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.gazebo.ports import find_port
from gym_gazebo2.gazebo.serve import start_robot
from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.ros.discovery import Domain
from gym_gazebo2.ros.installation import find_ros

__all__ = [
    "Domain",
    "Gazebo",
    "GazeboError",
    "GazeboServer",
    "build_plugin",
    "find_gazebo",
    "find_port",
    "find_ros",
    "install_gazebo",
    "make_world",
    "start_robot",
]
