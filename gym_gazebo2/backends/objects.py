"""What every backend does with the objects of a scene: check placements, and keep which objects are there or parked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import BackendError, InvalidArgumentError, UsageError
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import PARK_POSITION, ObjectState, Placement

__all__ = ["PARK_POSE", "SceneObjects"]

Array = NDArray[np.float64]

WORLD_SIZE = 20.0
"""An object is lost when a coordinate of it is farther than this from the base [m], after a throw or an endless fall."""
PARK_POSE = np.array([*PARK_POSITION, 1.0, 0.0, 0.0, 0.0])
"""Reported pose of a parked object: position [m], quaternion wxyz."""


class SceneObjects:
    """Which members of the pool the arms' scenes show, and which of them are parked.

    Attributes:
        index: (n, k) int64, members of the pool.
        is_parked: (n, k) bool.
    """

    def __init__(self, scene: Scene, num_envs: int) -> None:
        """Start without any object placed."""
        self.scene, shape = scene, (num_envs, scene.num_objects)
        self.index = np.tile(np.arange(scene.num_objects), (num_envs, 1))
        self.is_parked = np.ones(shape, dtype=bool)
        self._was_placed = np.zeros(num_envs, dtype=bool)

    def place(self, mask: NDArray[np.bool_], objects: Placement | None) -> Placement | None:
        """Check a placement, and note the members of the masked arms.

        Returns:
            The placement with quaternions of length 1; None if the objects stay where they are.

        Raises:
            InvalidArgumentError: A shape is wrong; a masked row is not finite, names no member of the pool, or names one twice.
            UsageError: An arm's objects were never placed.
        """
        if objects is None:
            if not self._was_placed[mask].all():
                raise UsageError("reset() was called without objects, but the scene's objects were never placed. Place them.")
            return None
        index, pose = np.asarray(objects.index), np.asarray(objects.pose, dtype=float)
        if index.shape != self.index.shape or pose.shape != (*self.index.shape, 7):
            raise InvalidArgumentError(
                "shape of objects", (index.shape, pose.shape), f"{self.index.shape} and {(*self.index.shape, 7)}"
            )
        self._check_members(index[mask])
        norm = np.linalg.norm(pose[..., 3:], axis=-1, keepdims=True)
        if not (np.isfinite(pose[mask]).all() and (norm[mask] > 1e-6).all()):
            raise InvalidArgumentError("objects.pose", pose[mask], "finite positions [m] and quaternions wxyz")
        self.index[mask], self.is_parked[mask] = index[mask], False
        self._was_placed |= mask
        unit = np.concatenate([pose[..., :3], pose[..., 3:] / np.where(norm > 0.0, norm, 1.0)], axis=-1)
        return Placement(self.index.copy(), unit)

    def _check_members(self, index: NDArray[Any]) -> None:
        size = len(self.scene.pool)
        ordered = np.sort(index, axis=1)
        if not (np.issubdtype(index.dtype, np.integer) and ((index >= 0) & (index < size)).all()):
            raise InvalidArgumentError("objects.index", index, f"whole numbers from 0 to {size - 1}, the members of the pool")
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            raise InvalidArgumentError("objects.index", index, "different members of the pool for the objects of an arm")

    def park(self, park: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Note that objects are taken away, and return those that were not parked before, (n, k) bool.

        Raises:
            InvalidArgumentError: The array has another shape or type.
        """
        if park is None:
            return np.zeros_like(self.is_parked)
        if park.shape != self.is_parked.shape or park.dtype != bool:
            raise InvalidArgumentError("park", park, f"booleans of shape {self.is_parked.shape} (arms, objects)")
        new: NDArray[np.bool_] = park & ~self.is_parked
        self.is_parked |= park
        return new

    def take_lost(self, pose: Array) -> NDArray[np.bool_] | None:
        """Note objects that have left the world as parked, as if the task had taken them away, and return them.

        Args:
            pose: (n, k, 7) positions [m] and quaternions wxyz.

        Returns:
            (n, k) bool, the objects that are lost now; None if there are none.

        Raises:
            BackendError: A pose is not finite.
        """
        inside = (np.abs(pose[..., :3]) <= WORLD_SIZE).all(axis=2) | self.is_parked  # false for NaN
        if np.logical_and.reduce(inside, axis=None):
            return None
        self._check_finite(pose)
        new: NDArray[np.bool_] = ~inside
        self.is_parked |= new
        return new if new.any() else None

    def _check_finite(self, pose: Array) -> None:
        bad = np.argwhere(~np.isfinite(pose).all(axis=2) & ~self.is_parked)
        if len(bad):
            arm, slot = bad[0]
            name = self.scene.pool.names[self.index[arm, slot]]
            raise BackendError(
                f"Arm {arm}, object {name!r} reports the pose {pose[arm, slot]}. The simulation is unstable: reset it, or use "
                "a smaller physics step or a heavier object."
            )

    def make_state(self, pose: Array, twist: Array) -> ObjectState:
        """Return the state, with parked objects at ``PARK_POSE`` and at rest.

        Args:
            pose: (n, k, 7) positions [m] and quaternions wxyz in the base frame.
            twist: (n, k, 6) linear [m/s] and angular velocities [rad/s].
        """
        parked = self.is_parked[..., None]
        return ObjectState(
            self.index.copy(), np.where(parked, PARK_POSE, pose), np.where(parked, 0.0, twist), self.is_parked.copy()
        )

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays, by name."""
        return {"object_index": self.index.copy(), "is_parked": self.is_parked.copy()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from arrays that ``get_state`` returned."""
        self.index, self.is_parked = state["object_index"].copy(), state["is_parked"].copy()
        self._was_placed[:] = True
