"""The free bodies of a batch of simulations. Each shows a member of the pool: its shape, size, mass, inertia and friction.

Objects have weight, and arm links do not (a real drive compensates theirs). Gravity is therefore off, and the weight is a
force on the free joint, whose first three coordinates are forces along the base's axes at the centre of mass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from gym_gazebo2.backends.mujoco.parts import ROLLING, compute_geometry, get_object_name, get_park_position
from gym_gazebo2.robots.motion import cross
from gym_gazebo2.scene import Scene
from gym_gazebo2.scene.physics import GRAVITY, LINK_FRICTION, TORSION

__all__ = ["ObjectBodies"]

Array = NDArray[np.float64]

BY_MASS = {
    "body_mass": 1, "body_subtreemass": 1, "body_inertia": 1, "dof_M0": 1, "body_invweight0": -1, "dof_invweight0": -1,
}  # fmt: skip
"""Values of the model that a factor on mass and inertia changes → its exponent."""
Factors = Mapping[str, Array]
"""Factors (m, k) on "mass" and "friction". A name that is missing means 1."""


class ObjectBodies:
    """The free bodies of a batch: their state, and the shapes, masses and friction of the members that they show.

    Attributes:
        pose: (n, k, 7) live positions [m] and quaternions wxyz.
        velocity: (n, k, 6) live velocities: linear in base axes [m/s], angular in the object's own axes [rad/s].
    """

    def __init__(self, batch: Batch, model: mujoco.MjModel, scene: Scene, dof: int) -> None:
        """Give every simulation of a batch values of its own.

        Args:
            batch: The batch.
            model: Its model.
            scene: The scene, with at least one object.
            dof: Number of the arm's joints, which come first.
        """
        self._scene, k = scene, scene.num_objects
        self._park_position = get_park_position(k)
        shape = (batch.nsim, k)
        self.pose = batch.bind("qpos")[:, dof:].reshape(*shape, 7)
        self.velocity = batch.bind("qvel")[:, dof:].reshape(*shape, 6)
        self._applied = batch.bind("qfrc_applied")[:, dof:].reshape(*shape, 6)
        self._warmstart = batch.bind("qacc_warmstart")[:, dof:].reshape(*shape, 6)
        self._fields = _expand(batch, model, scene, dof)
        self._link_friction = next(array for name, array, _ in self._fields if name == "geom_friction")
        self._pair_friction = batch.expand("pair_friction")
        self._pairs = _list_pair_members(model, scene)

    def show(self, arms: NDArray[np.int64], index: NDArray[np.int64], factors: Factors) -> None:
        """Give the bodies of some arms the shapes, masses and friction of members of the pool.

        Args:
            arms: Indices of the arms (m,).
            index: (m, k) members.
            factors: Factors on their masses and friction.
        """
        mass = factors.get("mass")
        for name, array, table in self._fields:
            values = table[index]
            if mass is not None and name in BY_MASS:
                values = values * mass.reshape(mass.shape + (1,) * (values.ndim - 2)) ** BY_MASS[name]
            array[arms] = values
        friction = self._scene.pool.friction[index]
        first, second, fixed = self._pairs
        other = np.where(second >= 0, friction[:, second], fixed)
        self._pair_friction[arms, :, :2] = np.minimum(friction[:, first], other)[..., None]
        if "friction" in factors:
            self._scale_friction(arms, index, factors["friction"])

    def _scale_friction(self, arms: NDArray[np.int64], index: NDArray[np.int64], factor: Array) -> None:
        """Multiply the friction of all contacts of some arms' objects (m, k).

        A factor acts on a contact, not on the object alone: a contact takes the smaller coefficient of its two bodies, which
        is often that of the table. Of two objects, it takes the smaller product.
        """
        pool, (first, second, fixed) = self._scene.pool.friction[index], self._pairs
        own = pool * factor
        alone = np.minimum(pool[:, first], fixed) * factor[:, first]
        both = np.where(second >= 0, np.minimum(own[:, first], own[:, second]), alone)
        self._pair_friction[arms, :, :2] = both[..., None]
        self._link_friction[arms, :, 0] = np.minimum(pool, LINK_FRICTION) * factor

    def load(self, arms: NDArray[np.int64], is_parked: NDArray[np.bool_], index: NDArray[np.int64], factors: Factors) -> None:
        """Set the weights of some arms' objects; parked ones (m, k) have none."""
        self._applied[arms] = 0.0
        weight = -GRAVITY * self._scene.pool.mass[index] * factors.get("mass", 1.0)
        self._applied[arms, :, 2] = np.where(is_parked, 0.0, weight)

    def park(self, park: NDArray[np.bool_]) -> None:
        """Take objects (n, k) away: far up, at rest, without weight."""
        arm, slot = np.nonzero(park)
        self.pose[arm, slot, :3], self.pose[arm, slot, 3:] = self._park_position[slot], (1.0, 0.0, 0.0, 0.0)
        for values in (self.velocity, self._applied, self._warmstart):
            values[arm, slot] = 0.0

    def get_motion(self) -> tuple[Array, Array]:
        """Return copies of poses and velocities."""
        return self.pose.copy(), self.velocity.copy()

    def set_motion(self, arms: NDArray[np.int64], pose: Array, velocity: Array) -> None:
        """Set the poses and velocities of some arms' objects to rows of what ``get_motion`` returned."""
        self.pose[arms], self.velocity[arms] = pose[arms], velocity[arms]

    def compute_twist(self) -> Array:
        """Return the velocities (n, k, 6) along the base's axes."""
        w, u, spin = self.pose[..., 3:4], self.pose[..., 4:], self.velocity[..., 3:]
        t = 2.0 * cross(u, spin)
        return np.concatenate([self.velocity[..., :3], spin + w * t + cross(u, t)], axis=-1)


def _expand(batch: Batch, model: mujoco.MjModel, scene: Scene, dof: int) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Return names, live arrays (n, k, …) of a batch, and the tables (p, …) of their values for the members of the pool."""
    pool, k = scene.pool, scene.num_objects
    geometry, ones = compute_geometry(pool), np.ones((1, 3))
    # MuJoCo computes these constants from mass and inertia when it compiles a model. They are not computed again when a mass is
    # written, and a wrong dof_M0 silently gives a wrong mass, since free bodies take their mass matrix from it.
    inverse = np.stack([1.0 / pool.mass, (1.0 / pool.inertia).mean(axis=1)], axis=1)
    friction = np.stack(
        [np.minimum(pool.friction, LINK_FRICTION), np.full(len(pool), TORSION), np.full(len(pool), ROLLING)], axis=1
    )
    bodies = [model.body(get_object_name(slot)).id for slot in range(k)]
    geoms = [model.geom(get_object_name(slot)).id for slot in range(k)]
    tables = {
        "body_mass": pool.mass, "body_subtreemass": pool.mass, "body_inertia": pool.inertia, "body_invweight0": inverse,
        "geom_type": geometry["type"], "geom_size": geometry["size"], "geom_rbound": geometry["rbound"],
        "geom_aabb": geometry["aabb"], "geom_friction": friction, "bvh_aabb": geometry["aabb"],
        "dof_M0": np.concatenate([pool.mass[:, None] * ones, pool.inertia], axis=1),
        "dof_invweight0": np.concatenate([inverse[:, :1] * ones, inverse[:, 1:] * ones], axis=1),
    }  # fmt: skip
    rows = {"body": bodies, "geom": geoms, "bvh": [int(model.body_bvhadr[body]) for body in bodies]}
    fields = []
    for name, table in tables.items():
        array, kind = batch.expand(name), name.split("_")[0]
        if kind == "dof":
            view = array[:, dof:].reshape(batch.nsim, k, 6)
        else:
            first = rows[kind][0]
            if rows[kind] != list(range(first, first + k)):
                raise RuntimeError(f"MuJoCo numbers the {kind} of the objects {rows[kind]}, expected consecutive numbers.")
            view = array[:, first : first + k]
        fields.append((name, view, table))
    return fields


def _list_pair_members(model: mujoco.MjModel, scene: Scene) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Return, per contact pair of the model: its object, its second object or −1, and the friction of what is fixed."""
    slots = {model.geom(get_object_name(slot)).id: slot for slot in range(scene.num_objects)}
    friction = {model.geom(f"scene/{box.name}").id: box.friction for box in scene.boxes}
    friction[model.geom("floor").id] = scene.floor_friction
    rows = []
    for pair in zip(model.pair_geom1.tolist(), model.pair_geom2.tolist(), strict=True):
        objects = [slots[geom] for geom in pair if geom in slots]
        fixed = [friction[geom] for geom in pair if geom in friction]
        rows.append((objects[0], objects[1] if len(objects) > 1 else -1, fixed[0] if fixed else 0.0))
    first, second, fixed_friction = zip(*rows, strict=True)
    return np.array(first), np.array(second), np.array(fixed_friction)
