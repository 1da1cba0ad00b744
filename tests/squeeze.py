"""Registers the small arm with a gripper and its task, for commands that import ``tests.squeeze:Squeeze-v0``."""

from __future__ import annotations

from gym_gazebo2.registration import EnvRow, register_env
from gym_gazebo2.robots import register_robot
from gym_gazebo2.tasks import register_task

from .pincer import ROW, Squeeze

register_robot("pincer", ROW)
register_task("squeeze", Squeeze())
register_env("Squeeze-v0", EnvRow(robot="pincer", task="squeeze"))
