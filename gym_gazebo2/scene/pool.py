"""The pool: shape, size, mass and inertia of every object that a scene may show, drawn once from a seed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.scene.parts import SHAPES, ObjectKind

__all__ = ["Pool", "make_pool"]

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """The p members of a pool.

    Attributes:
        names: Names of the members.
        kind: (p,) index of each member's kind in ``Scene.kinds``.
        shape: (p,) index of each member's shape in ``SHAPES``.
        half_size: (p, 3) half sizes [m]. A cylinder has its radius twice, then its half height; a sphere has its radius three
            times.
        mass: (p,) [kg].
        inertia: (p, 3) principal moments about the centre [kg·m²].
        friction: (p,) coefficients of sliding friction.
        color: (p, 3) red, green, blue, 0 to 1.
    """

    names: tuple[str, ...]
    kind: NDArray[np.int64]
    shape: NDArray[np.int64]
    half_size: Array
    mass: Array
    inertia: Array
    friction: Array
    color: Array

    def __len__(self) -> int:
        """Return the number of members p."""
        return len(self.names)


def make_pool(kinds: Sequence[ObjectKind], seed: int) -> Pool:
    """Return the pool of some kinds. The same seed gives the same pool, on every machine and in every engine."""
    rng = np.random.default_rng(seed)
    members = [(number, kind, _draw_half_size(kind, rng)) for number, kind in enumerate(kinds) for _ in range(kind.count)]
    masses = [kind.mass if kind.mass is not None else kind.density * _compute_volume(kind, h) for _, kind, h in members]
    return Pool(
        names=tuple(f"{kind.name}{i}" for kind in kinds for i in range(kind.count)),
        kind=np.array([number for number, _, _ in members], dtype=np.int64),
        shape=np.array([SHAPES.index(kind.shape) for _, kind, _ in members], dtype=np.int64),
        half_size=np.array([h for _, _, h in members]).reshape(-1, 3),
        mass=np.array(masses),
        inertia=np.array([m * _compute_unit_inertia(k, h) for (_, k, h), m in zip(members, masses, strict=True)]).reshape(
            -1, 3
        ),
        friction=np.array([kind.friction for _, kind, _ in members]),
        color=np.array([kind.color for _, kind, _ in members]).reshape(-1, 3),
    )


def _draw_half_size(kind: ObjectKind, rng: np.random.Generator) -> Array:
    x, y, z = rng.uniform(kind.smallest, kind.largest)
    if kind.shape == "sphere" or kind.is_cube:
        return np.array([x, x, x])
    return np.array([x, x, z] if kind.shape == "cylinder" else [x, y, z])


def _compute_volume(kind: ObjectKind, half_size: Array) -> float:
    """Return the volume [m³]."""
    factor = {"box": 8.0, "cylinder": 2.0 * math.pi, "sphere": 4.0 / 3.0 * math.pi}[kind.shape]
    return factor * float(np.prod(half_size))


def _compute_unit_inertia(kind: ObjectKind, half_size: Array) -> Array:
    """Return the principal moments of a homogeneous body of mass 1 [m²]."""
    x, y, z = half_size**2
    if kind.shape == "box":
        return np.array([y + z, x + z, x + y]) / 3.0
    if kind.shape == "sphere":
        return np.full(3, 0.4 * x)
    side = x / 4.0 + z / 3.0
    return np.array([side, side, x / 2.0])
