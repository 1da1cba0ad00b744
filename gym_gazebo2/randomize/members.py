"""Vary the sizes of objects: replace each by another member of the pool of the same kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.randomize.ranges import Range
from gym_gazebo2.scene import SHAPES, Pool, Scene

__all__ = ["draw_members"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def draw_members(rng: np.random.Generator, scene: Scene, index: Index, pose: Array, factors: Range) -> tuple[Index, Array]:
    """Return members and poses of the objects of one arm, with drawn sizes.

    The lowest point of an object keeps its height. A member that is larger than the task's choice is only taken where its
    bounding sphere touches no other object and no box beside it, because the task has left room for its own choice only.

    Args:
        rng: Generator of the arm.
        scene: The scene.
        index: (k,) members that the task chose.
        pose: (k, 7) their positions [m] and quaternions wxyz.
        factors: Range of the size relative to that of the task's choice. The size is the geometric mean of the half sizes.
    """
    pool, index, pose = scene.pool, index.copy(), pose.copy()
    size = np.cbrt(np.prod(pool.half_size, axis=1))
    for slot, chosen in enumerate(index.tolist()):
        ratio = size / size[chosen]
        same = (pool.kind == pool.kind[chosen]) & (factors[0] <= ratio) & (ratio <= factors[1])
        same[np.delete(index, slot)] = False  # an episode shows different members
        found = []
        for member in np.flatnonzero(same).tolist():
            moved = pose[slot].copy()
            moved[2] += _compute_height(pool, member, pose[slot, 3:]) - _compute_height(pool, chosen, pose[slot, 3:])
            is_smaller = (pool.half_size[member] <= pool.half_size[chosen]).all()
            if is_smaller or _has_room(scene, member, moved, slot, index, pose):
                found.append((member, moved))
        index[slot], pose[slot] = found[rng.integers(len(found))]
    return index, pose


def _compute_height(pool: Pool, member: int, quaternion: Array) -> float:
    """Return the height of a member's centre above its lowest point [m], turned by a quaternion wxyz."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    # The last row of the rotation matrix: the vertical components of the member's own axes.
    up = np.abs([2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)])
    half, shape = pool.half_size[member], SHAPES[pool.shape[member]]
    if shape == "sphere":
        return float(half[0])
    if shape == "cylinder":
        return float(half[2] * up[2] + half[0] * np.sqrt(max(0.0, 1.0 - up[2] ** 2)))
    return float(half @ up)


def _compute_radius(pool: Pool, members: Index) -> Array:
    """Return the radii of the bounding spheres of members (m,) [m]."""
    half, shape = pool.half_size[members], pool.shape[members]
    round_radius = np.where(shape == SHAPES.index("sphere"), half[:, 0], np.hypot(half[:, 0], half[:, 2]))
    return np.where(shape == SHAPES.index("box"), np.linalg.norm(half, axis=1), round_radius)


def _has_room(scene: Scene, member: int, pose: Array, slot: int, index: Index, poses: Array) -> bool:
    """Return whether the bounding sphere of a member at a pose (7,) touches no other object and no box beside it."""
    pool, p = scene.pool, pose[:3]
    radius = _compute_radius(pool, np.array([member]))[0]
    others, centers = np.delete(index, slot), np.delete(poses[:, :3], slot, axis=0)
    if (np.linalg.norm(centers - p, axis=1) < radius + _compute_radius(pool, others)).any():
        return False
    bottom = p[2] - _compute_height(pool, member, pose[3:])
    for box in scene.boxes:
        center, half = np.array(box.center), np.array(box.half_size)
        is_below = center[2] + half[2] <= bottom + 1e-6  # the object stands on it, or falls on it
        nearest = np.clip(p, center - half, center + half)
        if not is_below and np.linalg.norm(nearest - p) < radius:
            return False
    return True
