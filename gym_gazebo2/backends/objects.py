"""What every backend does with the objects of a scene: check placements, and record which objects are present or parked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import BackendError, InvalidArgumentError, UsageError
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import PARK_POSITION, ObjectState, Placement

__all__ = ["PARK_POSE", "SceneObjects"]

Array = NDArray[np.float64]

WORLD_SIZE = 20.0
"""An object is lost when it is farther than this from the base along any axis [m], after a throw or an endless fall."""
OVERLAP_TOLERANCE = 1e-3
"""Objects may be placed this deep inside each other [m]."""
PARK_POSE = np.array([*PARK_POSITION, 1.0, 0.0, 0.0, 0.0])
"""Reported pose of a parked object: position [m], quaternion wxyz."""
FACTOR_PREFIX = "object_factor."
"""Prefix of the names of factors in a saved state."""


class SceneObjects:
    """Which members of the pool the arms' scenes show, and which of them are parked.

    Attributes:
        index: (n, k) int64, members of the pool.
        is_parked: (n, k) bool.
        factors: Factors (n, k) on the members' properties, by name. A missing name means the factor 1.
    """

    def __init__(self, scene: Scene, num_envs: int, floor: float) -> None:
        """Start without any object placed.

        Args:
            scene: The scene, with at least one object.
            num_envs: Number of arms n.
            floor: Height of the floor [m].
        """
        self.scene, self._floor, shape = scene, floor, (num_envs, scene.num_objects)
        self.index = np.tile(np.arange(scene.num_objects), (num_envs, 1))
        self.is_parked = np.ones(shape, dtype=bool)
        self._was_placed = np.zeros(num_envs, dtype=bool)
        self.factors: dict[str, Array] = {}

    def check(self, mask: NDArray[np.bool_], objects: Placement | None) -> Placement | None:
        """Check a placement of the masked arms' objects, and change nothing.

        Returns:
            The placement with quaternions of length 1; None if the objects stay where they are.

        Raises:
            InvalidArgumentError: A shape is wrong; a masked row is not finite, names no member of the pool, or names one twice;
                a factor is not positive; or an object would be inside another one, inside a box, or below the floor.
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
        factors = self._read_factors(mask, objects.factors)
        norm = np.linalg.norm(pose[..., 3:], axis=-1, keepdims=True)
        if not (np.isfinite(pose[mask]).all() and (norm[mask] > 1e-6).all()):
            raise InvalidArgumentError("objects.pose", pose[mask], "finite positions [m] and quaternions wxyz")
        self._check_overlaps(index, pose, np.flatnonzero(mask))
        unit = np.concatenate([pose[..., :3], pose[..., 3:] / np.where(norm > 0.0, norm, 1.0)], axis=-1)
        return Placement(index, unit, factors)

    def place(self, mask: NDArray[np.bool_], objects: Placement | None) -> Placement | None:
        """Check a placement as ``check`` does, and record the members of the masked arms."""
        placed = self.check(mask, objects)
        if placed is not None:
            self.index[mask], self.is_parked[mask] = placed.index[mask], False
            self._was_placed |= mask
            self._note_factors(mask, placed.factors or {})
        return placed

    def _read_factors(self, mask: NDArray[np.bool_], factors: Mapping[str, Any] | None) -> dict[str, Array]:
        read = {name: np.asarray(value, dtype=float) for name, value in (factors or {}).items()}
        for name, value in read.items():
            if value.shape != self.index.shape or not ((value[mask] > 0.0) & (value[mask] < np.inf)).all():
                expected = f"positive factors of shape {self.index.shape} (arms, objects)"
                raise InvalidArgumentError(f"objects.factors[{name!r}]", value, expected)
        return read

    def _note_factors(self, mask: NDArray[np.bool_], given: Mapping[str, Array]) -> None:
        ones = np.ones(self.index.shape)
        for name in {**self.factors, **given}:
            self.factors[name] = np.where(mask[:, None], given.get(name, ones), self.factors.get(name, ones))

    def get_factors(self, arms: NDArray[np.int64]) -> dict[str, Array]:
        """Return the factors of some arms, (m, k) by name."""
        return {name: value[arms] for name, value in self.factors.items()}

    def _check_members(self, index: NDArray[Any]) -> None:
        size = len(self.scene.pool)
        ordered = np.sort(index, axis=1)
        if not (np.issubdtype(index.dtype, np.integer) and ((index >= 0) & (index < size)).all()):
            raise InvalidArgumentError("objects.index", index, f"whole numbers from 0 to {size - 1}, the members of the pool")
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            raise InvalidArgumentError("objects.index", index, "different members of the pool for the objects of an arm")

    def _check_overlaps(self, index: NDArray[np.int64], pose: Array, arms: NDArray[np.int64]) -> None:
        """Refuse certain overlaps: a centre in a box or below the floor, or two objects whose inscribed spheres overlap."""
        p, radius = pose[arms, :, :3], self.scene.pool.half_size[index[arms]].min(axis=2)
        found: list[tuple[str, Any]] = [("below the floor", p[..., 2] < self._floor)]
        for box in self.scene.boxes:
            found.append((f"inside the box {box.name!r}", (np.abs(p - box.center) < box.half_size).all(axis=2)))
        for slot in range(1, p.shape[1]):
            distance = np.linalg.norm(p[:, slot:] - p[:, :-slot], axis=2)
            near = np.zeros(radius.shape, dtype=bool)
            near[:, slot:] = distance < radius[:, slot:] + radius[:, :-slot] - OVERLAP_TOLERANCE
            found.append(("inside another object", near))
        for place, bad in found:
            if bad.any():
                row, slot = np.argwhere(bad)[0]
                name = self.scene.pool.names[index[arms[row], slot]]
                sentence = f"Object {name!r} of arm {arms[row]} is placed at {p[row, slot]} m, {place}. Place it elsewhere."
                raise InvalidArgumentError("objects.pose", p[row, slot], sentence=sentence)

    def park(self, park: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Record that objects are taken away, and return those that were not parked before, (n, k) bool.

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
        """Record objects that have left the world as parked, as if the task had taken them away, and return them.

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
        factors = {FACTOR_PREFIX + name: value.copy() for name, value in self.factors.items()}
        return {"object_index": self.index.copy(), "is_parked": self.is_parked.copy(), **factors}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from arrays that ``get_state`` returned."""
        self.index, self.is_parked = state["object_index"].copy(), state["is_parked"].copy()
        names = [name for name in state if name.startswith(FACTOR_PREFIX)]
        self.factors = {name.removeprefix(FACTOR_PREFIX): state[name].copy() for name in names}
        self._was_placed[:] = True
