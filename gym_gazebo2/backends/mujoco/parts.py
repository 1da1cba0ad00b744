"""The parts of a scene in a MuJoCo model: free bodies, fixed boxes, sensors of collisions, and what is only drawn."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.scene import SHAPES, Pool, Scene
from gym_gazebo2.scene.physics import LINK_FRICTION, SPIN_DAMPING, TORSION

__all__ = [
    "ROLLING", "SENSOR_SIZE", "add_parts", "add_sensors", "compute_geometry", "damp_objects", "draw_parts", "get_object_name",
    "get_park_position",
]  # fmt: skip

Array = NDArray[np.float64]

ROLLING = 1e-4
"""Coefficient of rolling friction [m]. MuJoCo's own; contacts of dimension 4 do not use it."""
OBJECT_SOLREF = (0.01, 1.0)
"""Time constant [s] and damping ratio of an object's contacts: twice the physics step is the firmest that is stable."""
OBJECT_SOLIMP = (0.9, 0.99, 0.002, 0.5, 2.0)
"""Impedance of an object's contacts. MuJoCo's default of 0.9 is soft where a strong drive presses a light body: the fingers of
a Panda sink 5 mm into a sphere of 14 g, and 1.8 mm with this. Contacts that are firm at every depth (0.98 and more) shoot
objects away where fingers squeeze them hard: at up to 20 m/s with random actions."""
ITERATIONS = 30
"""Largest number of the solver's iterations. Few steps need more than 4, but with 10 an object is sometimes shot away."""
CONDIM = 4
"""Dimension of an object's contacts: normal force, two directions of sliding, and torsion. Without torsion, two fingers hold a
box as a hinge does."""
PARK_HEIGHT, PARK_SPACING = 100.0, 5.0
"""Height at which parked objects wait, without weight, and the distance between them [m]. Nothing else is up there, and a floor
would be in the way below."""
BOX, OBJECT_CONTYPE, ARM_CONAFFINITY = "scene/boxes", 2, 3
"""Name of the body of the fixed boxes, if they have one, and bits of the collision masks: objects collide with arm links by
them."""
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
        # With boxes in the world's body, as the floor is, a physics step takes a tenth less. But MuJoCo excludes pairs of
        # bodies: a link that may touch the floor would then pass through the boxes, too.
        may_touch_floor = any("world" in (pair.bodyname1, pair.bodyname2) for pair in spec.excludes)
        body = spec.worldbody.add_body(name=BOX) if may_touch_floor else spec.worldbody
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
    spec.option.solver, spec.option.iterations = mujoco.mjtSolver.mjSOL_NEWTON, ITERATIONS
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


def add_sensors(spec: mujoco.MjSpec, root: str) -> None:
    """Add sensors of the contacts that count as collisions: within the arm, and of the arm with floor and boxes.

    Each one gives ``SENSOR_SIZE`` numbers.
    """
    # intprm: the fields to report as bits, how contacts are reduced (2: the largest force), and how many.
    field, subtree, body = mujoco.mjtConDataField, mujoco.mjtObj.mjOBJ_XBODY, mujoco.mjtObj.mjOBJ_BODY
    bits = (1 << int(field.mjCONDATA_FOUND)) | (1 << int(field.mjCONDATA_FORCE))
    others = [(subtree, root), (body, "world"), *([(body, BOX)] if spec.body(BOX) else [])]
    for i, (kind, other) in enumerate(others):
        spec.add_sensor(
            name=f"scene/contact {i}", type=mujoco.mjtSensor.mjSENS_CONTACT, intprm=[bits, 2, 1],
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
