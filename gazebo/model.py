"""Write the Gazebo world of one robot: links, joints and shapes of its URDF as SDF, and the plug-in with its parameters."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gym_gazebo2.backends.base import count_substeps
from gym_gazebo2.checks import read_factor
from gym_gazebo2.errors import RobotError
from gym_gazebo2.gazebo.collisions import find_hosts, make_bitmasks
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.robots.spec import FLOOR

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["make_world"]

GREY = "0.7 0.7 0.7 1"
CONTACT_STIFFNESS, CONTACT_DAMPING = "5e3", "2e4"
"""Contact parameters of every shape [N/m], [N·s/m]; see ``_add_surface``."""
CAMERA_POSE = "1.2 -1.2 0.9 0 0.31 2.36"
"""Camera of gzclient's window, directed at the arm: x y z [m], roll pitch yaw [rad]."""
FRAME_MASS, FRAME_INERTIA = "1e-3", 1e-6
"""Mass and inertia of a link without an inertial element [kg], [kg·m²]: ODE cannot move a body without mass."""


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
        RobotError: A joint is prismatic, or the pairs of links that may touch need more bits than Gazebo has.
        GazeboError: The plug-in does not exist; gzserver would start without it.
    """
    if not plugin.is_file():
        raise GazeboError(f"The plug-in {plugin} does not exist. Build it with build_plugin().")
    count_substeps(control_dt, physics_dt)
    if robot.is_prismatic.any():
        names = [name for name, slides in zip(robot.joint_names, robot.is_prismatic, strict=True) if slides]
        raise RobotError(f"{robot.name!r} has the prismatic joints {', '.join(names)}. Gazebo 11 drives revolute joints only.")
    root = ET.Element("sdf", version="1.6")
    world = _add(root, "world", name="gym_gazebo2")
    _add_physics(world, physics_dt, real_time_factor)
    _add_surroundings(world, robot)
    _fill(_add(_add(world, "gui"), "camera", name="user_camera"), pose=CAMERA_POSE)
    masks = _add_arm(_add(world, "model", name=robot.name), robot)
    if FLOOR in masks:
        surface = _add(_get(world, "model[@name='floor']/link/collision"), "surface")
        _fill(_add(surface, "contact"), collide_bitmask=str(masks[FLOOR]))
    served = _add(world, "plugin", name="gym_gazebo2", filename=str(plugin))
    _fill(served, model=robot.name, namespace=namespace or robot.name, control_dt=repr(control_dt))
    _fill(served, lock_step=_format_bool(real_time_factor is None), gazebo_topics=_format_bool(gazebo_topics))
    for index, name in enumerate(robot.joint_names):
        _add_drive(_add(served, "joint"), robot, index, name)
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


def _add_surroundings(world: ET.Element, robot: RobotSpec) -> None:
    light = _add(world, "light", name="sun", type="directional")
    _fill(light, pose="0 0 10 0 0 0", diffuse="0.8 0.8 0.8 1", specular="0.2 0.2 0.2 1", direction="-0.5 0.1 -0.9")
    floor = _add(world, "model", name="floor")
    _fill(floor, static="true")
    if robot.mount_height:
        _fill(floor, pose=_format([0.0, 0.0, -robot.mount_height, 0.0, 0.0, 0.0]))
    link = _add(floor, "link", name="floor")
    for kind in ("collision", "visual"):
        shape = _add(link, kind, name=kind)
        _fill(_add(_add(shape, "geometry"), "plane"), normal="0 0 1", size="20 20")


def _add_arm(model: ET.Element, robot: RobotSpec) -> dict[str, int]:
    """Add every link and joint of the URDF, and return the masks of links and floor. The base link is fixed where it is.

    Links without a mass that a fixed joint connects are fused into the link before them: ODE would need a mass for each, and a
    fixed joint is six more rows for its solver. The tool frame stays a link of its own.
    """
    import yourdfpy

    urdf = yourdfpy.URDF.load(robot.urdf, load_meshes=False, build_collision_scene_graph=False)
    _fill(model, self_collide="true", allow_auto_disable="false")
    urdf.update_cfg(np.zeros(robot.dof))  # SDF describes the model in its zero pose
    hosts = find_hosts(urdf.robot, robot)
    masks = make_bitmasks(urdf.robot, robot, hosts)
    elements = {}
    for link in urdf.robot.links:
        if hosts[link.name] == link.name:
            elements[link.name] = element = _add(model, "link", name=link.name)
            _fill(element, pose=_format_pose(urdf.get_transform(link.name)), gravity="false", self_collide="true")
            _fill(element, kinematic="true" if link.name == robot.base_link else "false")
            _add_inertial(element, link.inertial)
    for link in urdf.robot.links:
        host = hosts[link.name]
        prefix, T = ("", None) if host == link.name else (f"{link.name}_", urdf.get_transform(link.name, host))
        for kind, shapes in (("collision", link.collisions), ("visual", link.visuals)):
            for index, shape in enumerate(shapes):
                element = _add(elements[host], kind, name=f"{prefix}{kind}{index}")
                _add_shape(element, shape, robot, T)
                if kind == "collision":
                    _add_surface(element, masks.get(link.name))
    for joint in urdf.robot.joints:
        if hosts[joint.child] != joint.child:
            continue
        element = _add(model, "joint", name=joint.name, type="fixed" if joint.type == "fixed" else "revolute")
        _fill(element, parent=hosts[joint.parent], child=joint.child)
        if joint.type != "fixed":
            _fill(_add(element, "axis"), xyz=_format(joint.axis))
    return masks


def _add_inertial(link: ET.Element, inertial: yourdfpy.Inertial | None) -> None:
    element = _add(link, "inertial")
    if inertial is None:
        _fill(element, mass=FRAME_MASS)
        inertia = np.eye(3) * FRAME_INERTIA
    else:
        origin = np.eye(4) if inertial.origin is None else inertial.origin
        _fill(element, mass=repr(float(inertial.mass)), pose=_format_pose(origin))
        inertia = inertial.inertia
    entries = {f"i{a}{b}": repr(float(inertia[i, j])) for (i, a), (j, b) in _pairs()}
    _fill(_add(element, "inertia"), **entries)


def _pairs() -> list[tuple[tuple[int, str], tuple[int, str]]]:
    axes = list(enumerate("xyz"))
    return [(a, b) for a in axes for b in axes if a[0] <= b[0]]


def _add_shape(
    element: ET.Element, shape: yourdfpy.Collision | yourdfpy.Visual, robot: RobotSpec, T_link_to_host: np.ndarray | None
) -> None:
    pose = shape.origin
    if T_link_to_host is not None:
        pose = T_link_to_host if pose is None else T_link_to_host @ pose
    if pose is not None:
        _fill(element, pose=_format_pose(pose))
    geometry, given = _add(element, "geometry"), shape.geometry
    if given.box is not None:
        _fill(_add(geometry, "box"), size=_format(given.box.size))
    elif given.cylinder is not None:
        _fill(_add(geometry, "cylinder"), radius=repr(given.cylinder.radius), length=repr(given.cylinder.length))
    elif given.sphere is not None:
        _fill(_add(geometry, "sphere"), radius=repr(given.sphere.radius))
    else:
        _fill(_add(geometry, "mesh"), uri=(Path(robot.urdf).parent / given.mesh.filename).as_uri())
    colour = getattr(getattr(shape, "material", None), "color", None)
    if element.tag == "visual":
        rgba = GREY if colour is None else _format(colour.rgba)
        _fill(_add(element, "material"), ambient=rgba, diffuse=rgba)


def _add_surface(collision: ET.Element, mask: int | None) -> None:
    """Set the contact parameters of a shape: no friction, soft, and strongly damped. Shapes without a common bit do not touch.

    A soft contact keeps the direct solver exact even if the arm is jammed between obstacles. The damping is for an arm that was
    placed inside the floor or itself: it moves out by a quarter of the depth per second (stiffness / damping = 0.25 / s), no
    joint faster than its limit. Without the damping, the contact would act as a spring and throw the arm out.
    """
    surface = _add(collision, "surface")
    _fill(_add(_add(surface, "friction"), "ode"), mu="0", mu2="0")
    contact = _add(surface, "contact")
    _fill(_add(contact, "ode"), kp=CONTACT_STIFFNESS, kd=CONTACT_DAMPING)
    if mask is not None:
        _fill(contact, collide_bitmask=str(mask))


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


def _get(parent: ET.Element, path: str) -> ET.Element:
    element = parent.find(path)
    if element is None:
        raise KeyError(path)
    return element


def _add(parent: ET.Element, tag: str, /, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, attributes)


def _fill(element: ET.Element, /, **texts: str) -> None:
    for tag, text in texts.items():
        ET.SubElement(element, tag).text = text


def _format_bool(value: bool) -> str:
    return "true" if value else "false"


def _format(values: Iterable[float]) -> str:
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
