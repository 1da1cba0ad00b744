"""Robots as data: a URDF and one row of a table give a frozen specification.

The URDF is the only place that holds a robot's geometry, limits and masses. A row of ``ROBOTS`` adds the values for which
the URDF format has no element. This package knows neither tasks nor simulators.
"""

from __future__ import annotations

from gym_gazebo2.robots.description import make_description
from gym_gazebo2.robots.fetched import fetch_urdf, is_fetched
from gym_gazebo2.robots.load import load_robot, make_robot
from gym_gazebo2.robots.rows import ROBOTS, GripperRow, RobotRow, find_row, find_urdf, is_built_in, register_robot
from gym_gazebo2.robots.sample import sample_free_poses
from gym_gazebo2.robots.spec import Gripper, RobotSpec
from gym_gazebo2.robots.stored import PackedRobot, is_stored, load_stored, pack_robot, store_robot, unpack_robot

__all__ = [
    "ROBOTS",
    "Gripper",
    "GripperRow",
    "PackedRobot",
    "RobotRow",
    "RobotSpec",
    "fetch_urdf",
    "find_row",
    "find_urdf",
    "is_built_in",
    "is_fetched",
    "is_stored",
    "load_robot",
    "load_stored",
    "make_description",
    "make_robot",
    "pack_robot",
    "register_robot",
    "sample_free_poses",
    "store_robot",
    "unpack_robot",
]
