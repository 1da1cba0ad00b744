"""Write the robot's model as SDF: its links with masses and shapes, and its joints."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gym_gazebo2.gazebo.links import Inertial, ModelLink, RobotModel
from gym_gazebo2.gazebo.rigid_bodies import MergedModel
from gym_gazebo2.gazebo.scene_sdf import ARM_BIT, FIRM, FLOOR_BIT, add_object_surface
from gym_gazebo2.gazebo.sdf import add, fill, format_bool, format_numbers, format_pose
from gym_gazebo2.robots import RobotSpec

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["FRAME_MASS", "add_arm", "make_name"]

GREY = "0.7 0.7 0.7 1"
CONTACT_STIFFNESS, CONTACT_DAMPING = "5e3", "2e4"
"""Contact parameters of every shape [N/m], [N·s/m]; see ``_add_surface``."""
FRAME_MASS, FRAME_INERTIA = "1e-3", 1e-6
"""Mass and inertia of a link without any [kg], [kg·m²], such as the tool frame: ODE cannot move a body without mass."""
MESH_CONTACTS = "1"
"""Number of contacts between a mesh and another shape. With 1, Gazebo keeps the deepest. With more, it keeps the first ones
that it finds. Those are often the same vertex of several triangles, and equal contacts make the direct solver fail at times."""
EVERYTHING = 0xFFFF
"""The bits of SDF's collide_bitmask that a shape has by default: two shapes collide if they have a bit in common."""
ARM_CONTACTS = "4"
"""Largest number of contacts between a shape of the arm and another one, where the world allows more for objects."""
JOINT_TYPES = {"continuous": "revolute"}
"""Types of URDF's joints that have another name in SDF."""


def add_arm(element: ET.Element, robot: RobotSpec, model: RobotModel | MergedModel, has_objects: bool = False) -> None:
    """Add every link and joint. Links that are fixed to the ground are kinematic: they stay where they are.

    Args:
        element: The model.
        robot: The arm.
        model: Its links and joints.
        has_objects: Whether the scene has movable objects. Then each shape is written twice: with soft contacts for the floor,
            boxes and other links, and with firm (stiff) contacts for objects.
    """
    fill(element, self_collide="true", allow_auto_disable="false")
    for link in model.links:
        _add_link(add(element, "link", name=make_name(link.name)), link, robot, link.name in model.ignoring_floor, has_objects)
    for joint, parent, child in model.joints:
        row = add(element, "joint", name=joint.name, type=JOINT_TYPES.get(joint.type, joint.type))
        fill(row, parent=make_name(parent), child=make_name(child))
        if joint.type != "fixed":
            fill(add(row, "axis"), xyz=format_numbers(joint.axis))


def make_name(link: str) -> str:
    """Return the name of a link in SDF, where "world" is the ground itself."""
    return f"{link}_link" if link == "world" else link


def _add_link(element: ET.Element, link: ModelLink, robot: RobotSpec, ignores_floor: bool, has_objects: bool) -> None:
    fill(element, pose=format_pose(link.T_in_base), gravity="false", self_collide="true")
    fill(element, kinematic=format_bool(link.is_fixed))
    _add_inertial(element, link.inertial)
    for index, shape in enumerate(link.collisions):
        collision = add(element, "collision", name=f"collision{index}")
        if shape.geometry.mesh is not None:
            fill(collision, max_contacts=MESH_CONTACTS)
        _add_shape(collision, shape.origin, shape.geometry, robot)
    for index, (T, visual) in enumerate(link.visuals):
        shown = add(element, "visual", name=f"visual{index}")
        _add_shape(shown, None if visual.origin is None and np.array_equal(T, np.eye(4)) else T, visual.geometry, robot)
        _add_colour(shown, visual)
    bits = ARM_BIT | FLOOR_BIT if has_objects else EVERYTHING
    for collision in element.findall("collision"):
        if has_objects:
            firm = copy.deepcopy(collision)
            firm.set("name", f"{collision.get('name')}{FIRM}")
            element.append(firm)
            add_object_surface(firm)
            if collision.find("max_contacts") is None:
                fill(collision, max_contacts=ARM_CONTACTS)
        _add_surface(collision, bits & ~FLOOR_BIT if ignores_floor else bits)


def _add_inertial(link: ET.Element, inertial: Inertial | None) -> None:
    element = add(link, "inertial")
    if inertial is None:
        fill(element, mass=FRAME_MASS)
        inertia = np.eye(3) * FRAME_INERTIA
    else:
        fill(element, mass=repr(inertial.mass), pose=format_pose(inertial.T_com_in_link))
        inertia = inertial.inertia
    entries = {f"i{a}{b}": repr(float(inertia[i, j])) for (i, a), (j, b) in _pairs()}
    fill(add(element, "inertia"), **entries)


def _pairs() -> list[tuple[tuple[int, str], tuple[int, str]]]:
    axes = list(enumerate("xyz"))
    return [(a, b) for a in axes for b in axes if a[0] <= b[0]]


def _add_shape(element: ET.Element, T: np.ndarray | None, given: yourdfpy.Geometry, robot: RobotSpec) -> None:
    if T is not None:
        fill(element, pose=format_pose(T))
    geometry = add(element, "geometry")
    if given.box is not None:
        fill(add(geometry, "box"), size=format_numbers(given.box.size))
    elif given.cylinder is not None:
        fill(add(geometry, "cylinder"), radius=repr(given.cylinder.radius), length=repr(given.cylinder.length))
    elif given.sphere is not None:
        fill(add(geometry, "sphere"), radius=repr(given.sphere.radius))
    else:
        # The specification's URDF names its meshes relative to itself, with their scale applied. Gazebo does not decode URIs.
        fill(add(geometry, "mesh"), uri=f"file://{Path(robot.urdf).parent / given.mesh.filename}")


def _add_colour(element: ET.Element, visual: yourdfpy.Visual) -> None:
    colour = getattr(visual.material, "color", None)
    rgba = GREY if colour is None else format_numbers(colour.rgba)
    fill(add(element, "material"), ambient=rgba, diffuse=rgba)


def _add_surface(collision: ET.Element, bits: int) -> None:
    """Set the contact parameters of a shape: no friction, soft, and strongly damped.

    A soft contact keeps the direct solver exact even if the arm is jammed between obstacles. The damping is for an arm that was
    placed inside the floor or itself: it moves out by a quarter of the depth per second (stiffness / damping = 0.25 / s), no
    joint faster than its limit. Without the damping, the contact would act as a spring and throw the arm out.
    """
    surface = add(collision, "surface")
    fill(add(add(surface, "friction"), "ode"), mu="0", mu2="0")
    contact = add(surface, "contact")
    if bits != EVERYTHING:
        fill(contact, collide_bitmask=str(bits))
    fill(add(contact, "ode"), kp=CONTACT_STIFFNESS, kd=CONTACT_DAMPING)
