"""The movable objects and fixed boxes of a scene in MuJoCo. Each object is a free body with the shape of a member of the pool.

Objects have weight, and arm links do not (a real drive compensates theirs). Gravity is therefore off, and the weight is a
force on the free joint, whose first three coordinates are forces along the base's axes at the centre of mass.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from gym_gazebo2.scene import SHAPES, Pool, Scene

__all__ = [
    "GRAVITY",
    "SENSOR_SIZE",
    "ObjectBodies",
    "add_parts",
    "add_sensors",
    "compute_geometry",
    "damp_objects",
    "draw_parts",
]

Array = NDArray[np.float64]

GRAVITY = 9.81
"""Acceleration of free fall [m/s²]."""
LINK_FRICTION = 1.0
"""Coefficient of sliding friction of arm links. A contact takes the smaller one of its two bodies."""
TORSION, ROLLING = 0.005, 1e-4
"""Coefficients of torsional and rolling friction [m]."""
OBJECT_SOLREF = (0.01, 1.0)
"""Time constant [s] and damping ratio of an object's contacts: twice the physics step is the firmest that is stable."""
OBJECT_SOLIMP = (0.98, 0.99, 0.001, 0.5, 2.0)
"""Impedance of an object's contacts. MuJoCo's default of 0.9 is soft where a strong drive presses a light body: the fingers of
a Panda sink 5 mm into a sphere of 14 g, and 1.5 mm with this. A grasp that is shaken hard breaks sometimes above 0.999."""
CONDIM = 4
"""Dimension of an object's contacts: normal force, two directions of sliding, and torsion. Without torsion, two fingers hold a
box as a hinge does."""
SPIN_DAMPING = 1e-4
"""Damping of an object's rotation [N·m·s/rad]. It stands for rolling resistance: without it a sphere rolls for ever."""
PARK_HEIGHT, PARK_SPACING = 100.0, 5.0
"""Height at which parked objects wait, without weight, and the distance between them [m]. Nothing else is up there, and a floor
would be in the way below."""
BOX, OBJECT_CONTYPE, ARM_CONAFFINITY = "scene/boxes", 2, 3
"""Name of the body of the fixed boxes, and bits of the collision masks: objects collide with arm links by them."""
SENSOR_SIZE = 4
"""Numbers per contact sensor: how many contacts there are, and the largest force in the frame of its contact (3,) [N]."""
GEOM_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}


def get_object_name(slot: int) -> str:
    """Return the name of the body, joint and shape of an object, 0 … k − 1."""
    return f"scene/object{slot}"


def get_park_position(num_objects: int) -> Array:
    """Return where the k objects wait while they are parked, (k, 3) [m]."""
    return np.array([[0.0, 0.0, PARK_HEIGHT + PARK_SPACING * slot] for slot in range(num_objects)]).reshape(-1, 3)


def add_parts(spec: mujoco.MjSpec, scene: Scene) -> None:
    """Add the fixed boxes and k free bodies to the physics model of an arm with a floor.

    Objects collide with the arm by MuJoCo's collision masks, and with boxes, the floor and each other by listed pairs: only
    there the friction of both bodies counts, because MuJoCo itself takes the larger one.
    """
    arm = [geom for geom in spec.geoms if geom.name != "floor"]
    for geom in arm:
        geom.conaffinity = ARM_CONAFFINITY
    if scene.boxes:
        body = spec.worldbody.add_body(name=BOX)
        for box in scene.boxes:
            name = f"scene/{box.name}"
            # The box's friction counts where an arm link touches it: MuJoCo alone would take the larger one, that of the link.
            friction = [min(box.friction, LINK_FRICTION), TORSION, ROLLING]
            body.add_geom(
                name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=box.center, size=box.half_size, friction=friction,
                priority=1, solref=arm[0].solref, solimp=arm[0].solimp,
            )  # fmt: skip
    if not scene.num_objects:
        return
    spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    spec.option.solver, spec.option.iterations = mujoco.mjtSolver.mjSOL_NEWTON, 10
    for slot, position in enumerate(get_park_position(scene.num_objects)):
        _add_object(spec, scene, slot, position)
    for name1, name2 in list_pairs(scene):
        spec.add_pair(geomname1=name1, geomname2=name2, condim=CONDIM, solref=OBJECT_SOLREF, solimp=OBJECT_SOLIMP)


def _add_object(spec: mujoco.MjSpec, scene: Scene, slot: int, position: Array) -> None:
    name, pool = get_object_name(slot), scene.pool
    body = spec.worldbody.add_body(name=name, pos=position)
    # The inertia is given, not computed from the shape: ``ObjectBodies`` writes that of the member that the slot shows.
    body.mass, body.inertia, body.ipos, body.explicitinertial = pool.mass[slot], pool.inertia[slot], [0.0] * 3, True
    body.add_freejoint(name=name)
    body.add_geom(
        name=name, type=GEOM_TYPES[SHAPES[pool.shape[slot]]], size=compute_geometry(pool)["size"][slot], condim=CONDIM,
        priority=1, solref=OBJECT_SOLREF, solimp=OBJECT_SOLIMP, contype=OBJECT_CONTYPE, conaffinity=0,
    )  # fmt: skip


def list_pairs(scene: Scene) -> list[tuple[str, str]]:
    """Return the pairs of shapes that touch besides arm and objects: object and floor, object and box, two objects."""
    names = [get_object_name(slot) for slot in range(scene.num_objects)]
    fixed = ["floor", *(f"scene/{box.name}" for box in scene.boxes)]
    return [(name, other) for i, name in enumerate(names) for other in (*fixed, *names[i + 1 :])]


def add_sensors(spec: mujoco.MjSpec, root: str, scene: Scene) -> None:
    """Add sensors of the contacts that count as collisions: within the arm, and of the arm with floor and boxes.

    Each one gives ``SENSOR_SIZE`` numbers.
    """
    # intprm: the fields to report as bits, how contacts are reduced (2: the largest force), and how many.
    field, subtree, body = mujoco.mjtConDataField, mujoco.mjtObj.mjOBJ_XBODY, mujoco.mjtObj.mjOBJ_BODY
    bits = (1 << int(field.mjCONDATA_FOUND)) | (1 << int(field.mjCONDATA_FORCE))
    others = [(subtree, root), (body, "world"), *([(body, BOX)] if scene.boxes else [])]
    for kind, other in others:
        spec.add_sensor(
            name=f"scene/contact {other}", type=mujoco.mjtSensor.mjSENS_CONTACT, intprm=[bits, 2, 1],
            objtype=subtree, objname=root, reftype=kind, refname=other,
        )  # fmt: skip


def draw_parts(spec: mujoco.MjSpec, scene: Scene) -> None:
    """Add the members of the pool, boxes and zones to a visual model. Members are mocap bodies, hidden below the floor."""
    pool, box = scene.pool, mujoco.mjtGeom.mjGEOM_BOX
    for i, size in enumerate(compute_geometry(pool)["size"]):
        # Not at PARK_POSITION: MuJoCo's cameras see nothing nearer than a share of the model's extent.
        body = spec.worldbody.add_body(name=f"scene/{pool.names[i]}", mocap=True, pos=[0.0, 0.0, -1.0])
        body.add_geom(type=GEOM_TYPES[SHAPES[pool.shape[i]]], size=size, rgba=[*pool.color[i], 1.0], contype=0, conaffinity=0)
    colors = [(part, [*part.color, 1.0]) for part in scene.boxes] + [(part, list(part.color)) for part in scene.zones]
    for part, rgba in colors:
        spec.worldbody.add_geom(
            name=f"scene/{part.name}", type=box, pos=part.center, size=part.half_size, rgba=rgba, contype=0, conaffinity=0
        )


def damp_objects(model: mujoco.MjModel, dof: int) -> None:
    """Damp the rotation of objects, not their linear motion: a free joint of a specification has one damping for both."""
    model.dof_damping[dof:] = np.tile([0.0] * 3 + [SPIN_DAMPING] * 3, (model.nv - dof) // 6)


def compute_geometry(pool: Pool) -> dict[str, NDArray[Any]]:
    """Return MuJoCo's values of the members' shapes: type (p,), size (p, 3), rbound (p,), aabb (p, 6)."""
    half, names = pool.half_size, [SHAPES[i] for i in pool.shape]
    x, z, none = half[:, 0], half[:, 2], np.zeros(len(half))
    sizes = {"box": half, "cylinder": np.stack([x, z, none], 1), "sphere": np.stack([x, none, none], 1)}
    bounds = {"box": np.linalg.norm(half, axis=1), "cylinder": np.hypot(x, z), "sphere": x}
    return {
        "type": np.array([int(GEOM_TYPES[name]) for name in names]),
        "size": np.array([sizes[name][i] for i, name in enumerate(names)]),
        "rbound": np.array([bounds[name][i] for i, name in enumerate(names)]),
        "aabb": np.concatenate([np.zeros_like(half), half], axis=1),
    }


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
        self._pair_friction = batch.expand("pair_friction")
        self._pairs = _list_pair_members(model, scene)

    def show(self, arms: NDArray[np.int64], index: NDArray[np.int64]) -> None:
        """Give the bodies of some arms the shapes, masses and friction of members of the pool.

        Args:
            arms: Indices of the arms (m,).
            index: (m, k) members.
        """
        for array, table in self._fields:
            array[arms] = table[index]
        friction = self._scene.pool.friction[index]
        first, second, fixed = self._pairs
        other = np.where(second >= 0, friction[:, second], fixed)
        self._pair_friction[arms, :, :2] = np.minimum(friction[:, first], other)[..., None]

    def load(self, arms: NDArray[np.int64], is_parked: NDArray[np.bool_], index: NDArray[np.int64]) -> None:
        """Set the weights of some arms' objects; parked ones (m, k) have none."""
        self._applied[arms] = 0.0
        self._applied[arms, :, 2] = np.where(is_parked, 0.0, -GRAVITY * self._scene.pool.mass[index])

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
        t = 2.0 * _cross(u, spin)
        return np.concatenate([self.velocity[..., :3], spin + w * t + _cross(u, t)], axis=-1)


def _cross(a: Array, b: Array) -> Array:
    """Return the cross product of (…, 3) arrays; np.cross takes four times as long on small ones."""
    return a[..., (1, 2, 0)] * b[..., (2, 0, 1)] - a[..., (2, 0, 1)] * b[..., (1, 2, 0)]


def _expand(batch: Batch, model: mujoco.MjModel, scene: Scene, dof: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return pairs of a live array (n, k, …) of a batch and the table (p, …) of its values for the members of the pool."""
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
        fields.append((view, table))
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
