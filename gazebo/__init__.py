"""What brings Gazebo 11 to the contract: its installation, its plug-in, its worlds and its supervisor.

Nothing here imports rclpy; the plug-in talks ROS 2 by itself.
"""

from __future__ import annotations

from gym_gazebo2.gazebo.build import build_plugin
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.install import install_gazebo
from gym_gazebo2.gazebo.locate import Gazebo, find_gazebo
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.gazebo.ports import Domain, find_port
from gym_gazebo2.gazebo.ros import Ros, find_ros
from gym_gazebo2.gazebo.serve import start_robot
from gym_gazebo2.gazebo.server import GazeboServer

__all__ = [
    "Domain",
    "Gazebo",
    "GazeboError",
    "GazeboServer",
    "Ros",
    "build_plugin",
    "find_gazebo",
    "find_port",
    "find_ros",
    "install_gazebo",
    "make_world",
    "start_robot",
]
