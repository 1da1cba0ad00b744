"""Scenes as data: movable objects, fixed boxes, and zones that are only drawn. Nothing here knows a robot, task or simulator.

The pool of a scene is a list of objects, its members. Their sizes are drawn once, from the scene's seed, so the pool is the
same in every engine. An episode shows k different members. Gazebo cannot resize a body, so it has one body for each member.
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
