"""Write the Gazebo world of one robot: links, joints and shapes of its URDF as SDF, and the plug-in with its parameters."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gym_gazebo2.backends.base import count_substeps
from gym_gazebo2.checks import read_factor
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.links import Inertial, ModelLink, RobotModel
from gym_gazebo2.robots import RobotSpec

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["make_world"]

GREY = "0.7 0.7 0.7 1"
CONTACT_STIFFNESS, CONTACT_DAMPING = "5e3", "2e4"
"""Contact parameters of every shape [N/m], [N·s/m]; see ``_add_surface``."""
CAMERA_POSE = "1.2 -1.2 0.9 0 0.31 2.36"
"""Camera of gzclient's window, directed at the arm: x y z [m], roll pitch yaw [rad]."""
FRAME_MASS, FRAME_INERTIA = "1e-3", 1e-6
"""Mass and inertia of a link without any [kg], [kg·m²], such as the tool frame: ODE cannot move a body without mass."""
MESH_CONTACTS = "1"
"""Contacts between a mesh and another shape. Gazebo keeps the deepest of many points, and the first ones that it finds. Those are
often the same vertex of several triangles, and equal contacts make the direct solver fail now and then."""
EVERYTHING, FLOOR_BIT = 0xFFFF, 0x0001
"""Bits of SDF's collide_bitmask: two shapes collide if they have a bit in common. By default, a shape has all of them."""
JOINT_TYPES = {"continuous": "revolute"}
"""Types of URDF's joints that have another name in SDF."""


def make_world(
    robot: RobotSpec,
    plugin: Path,
    *,
    namespace: str | None = None,
    control_dt: float = 0.05,
    physics_dt: float = 0.001,
    real_time_factor: float | None = None,
    gazebo_topics: bool = False,
) -> str:
    """Return the world as SDF text.

    Args:
        robot: The arm.
        plugin: Path of the plug-in's library.
        namespace: ROS namespace; None is the robot's name.
        control_dt: Control period [s], a whole number of physics steps; in real time also the period of states.
        physics_dt: Physics step [s].
        real_time_factor: None for lock-step; else the speed of simulated time: 1 is real time, 0 is as fast as possible.
        gazebo_topics: Whether Gazebo's own topics are served, for gzclient, gz and sensors. A physics step takes twice as long.

    Raises:
        InvalidArgumentError: The period is not a whole number of physics steps.
        GazeboError: The plug-in does not exist; gzserver would start without it.
    """
    if not plugin.is_file():
        raise GazeboError(f"The plug-in {plugin} does not exist. Build it with build_plugin().")
    count_substeps(control_dt, physics_dt)
    root = ET.Element("sdf", version="1.6")
    world = _add(root, "world", name="gym_gazebo2")
    _add_physics(world, physics_dt, real_time_factor)
    model = RobotModel(robot)
    _add_surroundings(world, robot.mount_height, bool(model.ignoring_floor))
    _fill(_add(_add(world, "gui"), "camera", name="user_camera"), pose=CAMERA_POSE)
    _add_arm(_add(world, "model", name=robot.name), robot, model)
    served = _add(world, "plugin", name="gym_gazebo2", filename=str(plugin))
    _fill(served, model=robot.name, namespace=namespace or robot.name, control_dt=repr(control_dt))
    _fill(served, lock_step=_format_bool(real_time_factor is None), gazebo_topics=_format_bool(gazebo_topics))
    for index, name in enumerate(robot.joint_names):
        _add_drive(_add(served, "joint"), robot, index, name)
    for link1, link2 in model.excluded:
        _fill(_add(served, "excluded"), link1=_make_name(link1), link2=_make_name(link2))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _add_physics(world: ET.Element, physics_dt: float, real_time_factor: float | None) -> None:
    physics = _add(world, "physics", type="ode")
    # Gazebo limits itself to this many updates per second; 0 is no limit. In lock-step the plug-in paces it.
    rate = 0.0 if real_time_factor is None else read_factor("real_time_factor", real_time_factor) / physics_dt
    _fill(physics, max_step_size=repr(physics_dt), real_time_update_rate=repr(rate))
    _fill(physics, max_contacts="4")
    ode = _add(physics, "ode")
    # The direct solver ("world") is exact and does not start from its previous solution, so that a repeated run is bit-equal.
    # For one arm it is as fast as the iterative one ("quick").
    _fill(_add(ode, "solver"), type="world")
    _fill(_add(ode, "constraints"), cfm="0", erp="0.2")


def _add_surroundings(world: ET.Element, mount_height: float, is_ignored: bool) -> None:
    """Add the light, and the floor below the base by ``mount_height`` [m]. ``is_ignored`` says whether some links ignore it."""
    light = _add(world, "light", name="sun", type="directional")
    _fill(light, pose="0 0 10 0 0 0", diffuse="0.8 0.8 0.8 1", specular="0.2 0.2 0.2 1", direction="-0.5 0.1 -0.9")
    floor = _add(world, "model", name="floor")
    _fill(floor, static="true")
    if mount_height:
        _fill(floor, pose=_format(np.array([0.0, 0.0, -mount_height, 0.0, 0.0, 0.0])))
    link = _add(floor, "link", name="floor")
    for kind in ("collision", "visual"):
        shape = _add(link, kind, name=kind)
        _fill(_add(_add(shape, "geometry"), "plane"), normal="0 0 1", size="20 20")
        if is_ignored and kind == "collision":
            _fill(_add(_add(shape, "surface"), "contact"), collide_bitmask=str(FLOOR_BIT))


def _add_arm(element: ET.Element, robot: RobotSpec, model: RobotModel) -> None:
    """Add every link and joint. Links that are fixed to the ground are kinematic: they stay where they are."""
    _fill(element, self_collide="true", allow_auto_disable="false")
    for link in model.links:
        _add_link(_add(element, "link", name=_make_name(link.name)), link, robot, link.name in model.ignoring_floor)
    for joint, parent, child in model.joints:
        row = _add(element, "joint", name=joint.name, type=JOINT_TYPES.get(joint.type, joint.type))
        _fill(row, parent=_make_name(parent), child=_make_name(child))
        if joint.type != "fixed":
            _fill(_add(row, "axis"), xyz=_format(joint.axis))


def _make_name(link: str) -> str:
    """Return the name of a link in SDF, where "world" is the ground itself."""
    return f"{link}_link" if link == "world" else link


def _add_link(element: ET.Element, link: ModelLink, robot: RobotSpec, ignores_floor: bool) -> None:
    _fill(element, pose=_format_pose(link.T_in_base), gravity="false", self_collide="true")
    _fill(element, kinematic=_format_bool(link.is_fixed))
    _add_inertial(element, link.inertial)
    for index, shape in enumerate(link.collisions):
        collision = _add(element, "collision", name=f"collision{index}")
        if shape.geometry.mesh is not None:
            _fill(collision, max_contacts=MESH_CONTACTS)
        _add_shape(collision, shape.origin, shape.geometry, robot)
    for index, (T, visual) in enumerate(link.visuals):
        shown = _add(element, "visual", name=f"visual{index}")
        _add_shape(shown, None if visual.origin is None and np.array_equal(T, np.eye(4)) else T, visual.geometry, robot)
        _add_colour(shown, visual)
    for collision in element.findall("collision"):
        _add_surface(collision, ignores_floor)


def _add_inertial(link: ET.Element, inertial: Inertial | None) -> None:
    element = _add(link, "inertial")
    if inertial is None:
        _fill(element, mass=FRAME_MASS)
        inertia = np.eye(3) * FRAME_INERTIA
    else:
        _fill(element, mass=repr(inertial.mass), pose=_format_pose(inertial.T_com_in_link))
        inertia = inertial.inertia
    entries = {f"i{a}{b}": repr(float(inertia[i, j])) for (i, a), (j, b) in _pairs()}
    _fill(_add(element, "inertia"), **entries)


def _pairs() -> list[tuple[tuple[int, str], tuple[int, str]]]:
    axes = list(enumerate("xyz"))
    return [(a, b) for a in axes for b in axes if a[0] <= b[0]]


def _add_shape(element: ET.Element, T: np.ndarray | None, given: yourdfpy.Geometry, robot: RobotSpec) -> None:
    if T is not None:
        _fill(element, pose=_format_pose(T))
    geometry = _add(element, "geometry")
    if given.box is not None:
        _fill(_add(geometry, "box"), size=_format(given.box.size))
    elif given.cylinder is not None:
        _fill(_add(geometry, "cylinder"), radius=repr(given.cylinder.radius), length=repr(given.cylinder.length))
    elif given.sphere is not None:
        _fill(_add(geometry, "sphere"), radius=repr(given.sphere.radius))
    else:
        # The specification's URDF names its meshes relative to itself, with their scale applied. Gazebo does not decode URIs.
        _fill(_add(geometry, "mesh"), uri=f"file://{Path(robot.urdf).parent / given.mesh.filename}")


def _add_colour(element: ET.Element, visual: yourdfpy.Visual) -> None:
    colour = getattr(visual.material, "color", None)
    rgba = GREY if colour is None else _format(colour.rgba)
    _fill(_add(element, "material"), ambient=rgba, diffuse=rgba)


def _add_surface(collision: ET.Element, ignores_floor: bool) -> None:
    """Set the contact parameters of a shape: no friction, soft, and strongly damped.

    A soft contact keeps the direct solver exact even if the arm is jammed between obstacles. The damping is for an arm that was
    placed inside the floor or itself: it moves out by a quarter of the depth per second (stiffness / damping = 0.25 / s), no
    joint faster than its limit. Without the damping, the contact would act as a spring and throw the arm out.
    """
    surface = _add(collision, "surface")
    _fill(_add(_add(surface, "friction"), "ode"), mu="0", mu2="0")
    contact = _add(surface, "contact")
    if ignores_floor:
        _fill(contact, collide_bitmask=str(EVERYTHING ^ FLOOR_BIT))
    _fill(_add(contact, "ode"), kp=CONTACT_STIFFNESS, kd=CONTACT_DAMPING)


def _add_drive(row: ET.Element, robot: RobotSpec, index: int, name: str) -> None:
    columns = {
        "lower": robot.lower,
        "upper": robot.upper,
        "velocity": robot.velocity_limit,
        "effort": robot.effort_limit,
        "drive_inertia": robot.drive_inertia,
        "rotor_inertia": robot.rotor_inertia,
        "home": robot.home,
    }
    _fill(row, name=name, **{key: repr(float(values[index])) for key, values in columns.items()})


def _add(parent: ET.Element, tag: str, /, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, attributes)


def _fill(element: ET.Element, /, **texts: str) -> None:
    for tag, text in texts.items():
        ET.SubElement(element, tag).text = text


def _format_bool(value: bool) -> str:
    return "true" if value else "false"


def _format(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in values)


def _format_pose(T: np.ndarray) -> str:
    """Return a pose (4, 4) as "x y z roll pitch yaw" [m], [rad]; at pitch ±90° roll is set to zero (gimbal lock)."""
    R = T[:3, :3]
    pitch = np.arctan2(-R[2, 0], np.hypot(R[0, 0], R[1, 0]))
    if abs(R[2, 0]) > 1 - 1e-12:
        roll, yaw = 0.0, np.arctan2(-R[0, 1], R[1, 1])
    else:
        roll, yaw = np.arctan2(R[2, 1], R[2, 2]), np.arctan2(R[1, 0], R[0, 0])
    return _format(np.array([*T[:3, 3], roll, pitch, yaw]))
