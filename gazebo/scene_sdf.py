"""Write a scene as SDF: a model for each member of the pool, static boxes, and zones without collision shapes."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.gazebo.sdf import add, fill, format_numbers
from gym_gazebo2.scene import SHAPES, Pool, Scene, describe_scene
from gym_gazebo2.scene.physics import GRAVITY, LINK_FRICTION, SPIN_DAMPING, TORSION

__all__ = ["ARM_BIT", "FIRM", "FLOOR_BIT", "MAX_CONTACTS", "PREFIX", "add_floor_surface", "add_object_surface", "add_scene"]

FLOOR_BIT, ARM_BIT, GRIP_BIT, OBJECT_BIT = 1, 2, 4, 8
"""Bits of SDF's collide_bitmask: two shapes collide if they have a bit in common. Each bit is one sort of contact: arm with
floor; arm with arm or box; arm with object; object with object, box or floor."""
STIFFNESS, DAMPING = "1e5", "4e2"
"""Contact parameters of objects [N/m], [N·s/m]. Two fingers that press with 50 N enter an object by 1 mm each."""
CREEP = "1e-4"
"""Speed at which a contact slips, per newton of friction force [m/(s·N)]. Without any, ODE's direct solver finds its equations
singular. In DART the friction forces of two fingers would work against each other, and turn an object that they hold."""
PATCH_RADIUS = TORSION * 16.0 / (3.0 * math.pi)
"""Radius of a contact's area for which Gazebo's torsional friction, 3π/16 · radius · force, is that of the contract [m]."""
MAX_CONTACTS = "8"
"""Number of contacts between an object and another shape. For a cylinder that stands on a box, ODE makes 8 contacts along the
rim. If only 4 were kept, all of them could be on one side."""
PREFIX = "scene_"
"""Beginning of the names of a scene's models, which must differ from the robot's."""
FIRM = "_firm"
"""End of the names of an arm's collision shapes that only objects feel."""
SHELF_HEIGHT, SHELF_SPACING = -10.0, 1.0
"""Height at which parked objects are kept, and the distance between them [m]. Gazebo 11 does not simulate them there."""


def add_scene(world: ET.Element, served: ET.Element, scene: Scene, shelf_height: float = SHELF_HEIGHT) -> None:
    """Add a scene to a world.

    Args:
        world: The world.
        served: The element of the plug-in, which gets the names of the objects.
        scene: The scene.
        shelf_height: Height at which parked objects are kept [m].
    """
    for box in scene.boxes:
        shape = _add_fixed(world, f"{PREFIX}{box.name}", box.center, box.half_size, (*box.color, 1.0))
        collision = add(shape, "collision", name="collision")
        _add_box(collision, np.array(box.half_size))
        _add_surface(collision, box.friction, ARM_BIT | OBJECT_BIT)
    for zone in scene.zones:
        _add_fixed(world, f"{PREFIX}{zone.name}", zone.center, zone.half_size, zone.color)
    if scene.num_objects:
        for i, name in enumerate(scene.pool.names):
            model = f"{PREFIX}{name}"
            _add_object(add(world, "model", name=model), scene.pool, i, shelf_height)
            weight = GRAVITY * float(scene.pool.mass[i])  # for simulators whose world has no gravity
            fill(add(served, "object"), name=name, model=model, angular_damping=repr(SPIN_DAMPING), weight=repr(weight))
    fill(served, scene=describe_scene(scene, len(scene.pool)))


def add_object_surface(collision: ET.Element) -> None:
    """Set the contact parameters of a shape of an arm link that only objects feel."""
    if collision.find("max_contacts") is None:  # a mesh has its own number
        fill(collision, max_contacts=MAX_CONTACTS)
    _add_surface(collision, LINK_FRICTION, GRIP_BIT)


def add_floor_surface(collision: ET.Element, friction: float) -> None:
    """Set the contact parameters of the floor in a world with objects."""
    _add_surface(collision, friction, FLOOR_BIT | OBJECT_BIT)


def _add_fixed(
    world: ET.Element, name: str, center: Sequence[float], half_size: Sequence[float], color: Sequence[float]
) -> ET.Element:
    """Add a static model of one box, with its visual shape, and return its link."""
    model = add(world, "model", name=name)
    fill(model, static="true", pose=format_numbers(np.array([*center, 0.0, 0.0, 0.0])))
    link = add(model, "link", name="link")
    visual = add(link, "visual", name="visual")
    _add_box(visual, np.array(half_size))
    _add_color(visual, color)
    return link


def _add_object(model: ET.Element, pool: Pool, i: int, shelf_height: float) -> None:
    fill(model, pose=format_numbers(np.array([SHELF_SPACING * i, 0.0, shelf_height, 0.0, 0.0, 0.0])))
    # An object that falls asleep would have to be woken, and then a run would depend on when that happens.
    fill(model, allow_auto_disable="false")
    link = add(model, "link", name="link")
    inertial = add(link, "inertial")
    fill(inertial, mass=repr(float(pool.mass[i])))
    ixx, iyy, izz = (repr(float(moment)) for moment in pool.inertia[i])
    fill(add(inertial, "inertia"), ixx=ixx, iyy=iyy, izz=izz, ixy="0", ixz="0", iyz="0")
    visual, collision = add(link, "visual", name="visual"), add(link, "collision", name="collision")
    fill(collision, max_contacts={"box": "4", "cylinder": MAX_CONTACTS, "sphere": "1"}[SHAPES[pool.shape[i]]])
    for element in (visual, collision):
        _add_shape(element, SHAPES[pool.shape[i]], pool.half_size[i])
    _add_color(visual, (*pool.color[i].tolist(), 1.0))
    radius = PATCH_RADIUS if SHAPES[pool.shape[i]] == "sphere" else 0.0
    _add_surface(collision, float(pool.friction[i]), GRIP_BIT | OBJECT_BIT, radius)


def _add_shape(element: ET.Element, shape: str, half_size: NDArray[np.float64]) -> None:
    x, _, z = map(float, half_size)
    if shape == "box":
        _add_box(element, half_size)
    elif shape == "cylinder":
        fill(add(add(element, "geometry"), "cylinder"), radius=repr(x), length=repr(2.0 * z))
    else:
        fill(add(add(element, "geometry"), "sphere"), radius=repr(x))


def _add_box(element: ET.Element, half_size: NDArray[np.float64]) -> None:
    fill(add(add(element, "geometry"), "box"), size=format_numbers(2.0 * half_size))


def _add_color(visual: ET.Element, color: Sequence[float]) -> None:
    rgba = format_numbers(np.array(color))
    fill(add(visual, "material"), ambient=rgba, diffuse=rgba)
    fill(visual, transparency=repr(1.0 - float(color[3])))


def _add_surface(collision: ET.Element, friction: float, bits: int, patch_radius: float = 0.0) -> None:
    """Set the parameters of firm contacts. Gazebo takes the smaller friction and the larger patch of the two shapes."""
    surface = add(collision, "surface")
    rubbing = add(surface, "friction")
    fill(add(rubbing, "ode"), mu=repr(friction), mu2=repr(friction), slip1=CREEP, slip2=CREEP)
    fill(add(rubbing, "torsional"), coefficient="1", use_patch_radius="true", patch_radius=repr(patch_radius))
    contact = add(surface, "contact")
    fill(contact, collide_bitmask=str(bits))
    fill(add(contact, "ode"), kp=STIFFNESS, kd=DAMPING)
