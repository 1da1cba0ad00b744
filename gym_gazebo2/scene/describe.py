"""Describe a scene as JSON, and compare two descriptions. Client and provider must have built the same scene."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from gym_gazebo2.scene.parts import SHAPES
from gym_gazebo2.scene.scene import Scene

__all__ = ["describe_scene", "find_difference"]

TOLERANCE = 1e-9
"""Two numbers count as equal up to this difference. JSON keeps doubles exactly, but a provider may compute the numbers itself,
with other rounding."""


def describe_scene(scene: Scene, num_objects: int) -> str:
    """Return a scene as JSON: the members of its pool by name, its boxes by name, and its largest number of objects.

    Args:
        scene: The scene.
        num_objects: Largest number of objects that can be there at once.
    """
    pool = scene.pool
    members = {
        name: {
            "shape": SHAPES[pool.shape[i]],
            "half_size": pool.half_size[i].tolist(),
            "mass": float(pool.mass[i]),
            "friction": float(pool.friction[i]),
        }
        for i, name in enumerate(pool.names)
    }
    boxes = {
        box.name: {"center": list(box.center), "half_size": list(box.half_size), "friction": box.friction}
        for box in scene.boxes
    }
    return json.dumps({"num_objects": num_objects, "pool": members, "boxes": boxes})


def find_difference(own: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Return a sentence about the first difference between two descriptions, as dictionaries; None if the scenes are equal."""
    if other.get("num_objects", 0) < own["num_objects"]:
        return f"It can show {other.get('num_objects', 0)} objects at once, expected {own['num_objects']}."
    for part in ("pool", "boxes"):
        mine, theirs = own[part], other.get(part, {})
        if mine.keys() != theirs.keys():
            return f"Its {part} has {sorted(theirs)}, expected {sorted(mine)}."
        for name, values in mine.items():
            for key, value in values.items():
                if not _is_equal(value, theirs[name].get(key)):
                    return f"{key} of {name!r} is {theirs[name].get(key)} there, and {value} here."
    return None


def _is_equal(value: Any, other: Any) -> bool:
    if isinstance(value, str) or other is None:
        return bool(value == other)
    return np.shape(value) == np.shape(other) and bool(np.allclose(value, other, rtol=0.0, atol=TOLERANCE))
