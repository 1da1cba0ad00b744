"""Scenes as data: movable objects, fixed boxes, and zones that are only drawn. Nothing here knows a robot, task or simulator.

A scene has k objects. Their shapes and sizes are those of members of a pool, which is drawn once from the scene's seed. It is
therefore the same in every engine: Gazebo cannot resize a body, so it holds one body for each member. An episode chooses k
different members.
"""

from __future__ import annotations

from gym_gazebo2.scene.describe import describe_scene, find_difference
from gym_gazebo2.scene.parts import SHAPES, FixedBox, ObjectKind, Shape, Zone
from gym_gazebo2.scene.pool import Pool, make_pool
from gym_gazebo2.scene.scene import Scene

__all__ = [
    "SHAPES",
    "FixedBox",
    "ObjectKind",
    "Pool",
    "Scene",
    "Shape",
    "Zone",
    "describe_scene",
    "find_difference",
    "make_pool",
]
