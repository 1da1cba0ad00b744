"""Write the Gazebo world of one robot: links, joints and shapes of its URDF as SDF, and the plug-in with its parameters."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from gym_gazebo2.backends.base import count_substeps
from gym_gazebo2.checks import read_factor
from gym_gazebo2.gazebo.arm_sdf import add_arm, make_name
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.links import RobotModel
from gym_gazebo2.gazebo.scene_sdf import FLOOR_BIT, MAX_CONTACTS, add_floor_surface, add_scene
from gym_gazebo2.gazebo.sdf import add, fill, format_bool, format_numbers
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.scene import Scene
from gym_gazebo2.scene.physics import GRAVITY

__all__ = ["add_drives", "add_surroundings", "make_world"]

CAMERA_POSE = "1.2 -1.2 0.9 0 0.31 2.36"
"""Camera of gzclient's window, directed at the arm: x y z [m], roll pitch yaw [rad]."""


def make_world(
    robot: RobotSpec,
    plugin: Path,
    *,
    namespace: str | None = None,
    control_dt: float = 0.05,
    physics_dt: float = 0.001,
    real_time_factor: float | None = None,
    gazebo_topics: bool = False,
    scene: Scene | None = None,
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
        scene: What stands around the arm; None: only the floor.

    Raises:
        InvalidArgumentError: The period is not a whole number of physics steps.
        GazeboError: The plug-in does not exist; gzserver would start without it.
    """
    if not plugin.is_file():
        raise GazeboError(f"The plug-in {plugin} does not exist. Build it with build_plugin().")
    count_substeps(control_dt, physics_dt)
    root = ET.Element("sdf", version="1.6")
    world = add(root, "world", name="gym_gazebo2")
    has_objects = scene is not None and scene.num_objects > 0
    _add_physics(world, physics_dt, real_time_factor, has_objects)
    model = RobotModel(robot)
    floor = add_surroundings(world, robot.mount_height)
    if scene is not None and has_objects:
        add_floor_surface(floor, scene.floor_friction)
    elif model.ignoring_floor:
        fill(add(add(floor, "surface"), "contact"), collide_bitmask=str(FLOOR_BIT))
    fill(add(add(world, "gui"), "camera", name="user_camera"), pose=CAMERA_POSE)
    add_arm(add(world, "model", name=robot.name), robot, model, has_objects)
    served = add(world, "plugin", name="gym_gazebo2", filename=str(plugin))
    fill(served, model=robot.name, namespace=namespace or robot.name, control_dt=repr(control_dt))
    fill(served, lock_step=format_bool(real_time_factor is None), gazebo_topics=format_bool(gazebo_topics))
    add_drives(served, robot)
    if scene is not None:
        add_scene(world, served, scene)
    for link1, link2 in model.excluded:
        fill(add(served, "excluded"), link1=make_name(link1), link2=make_name(link2))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _add_physics(world: ET.Element, physics_dt: float, real_time_factor: float | None, has_objects: bool) -> None:
    if has_objects:
        fill(world, gravity=f"0 0 {-GRAVITY!r}")  # arm links switch it off
    physics = add(world, "physics", type="ode")
    # Gazebo limits itself to this many updates per second; 0 is no limit. In lock-step the plug-in paces it.
    rate = 0.0 if real_time_factor is None else read_factor("real_time_factor", real_time_factor) / physics_dt
    fill(physics, max_step_size=repr(physics_dt), real_time_update_rate=repr(rate))
    fill(physics, max_contacts=MAX_CONTACTS if has_objects else "4")
    ode = add(physics, "ode")
    # The direct solver ("world") is exact and does not start from its previous solution, so that a repeated run is bit-equal.
    # For one arm it is as fast as the iterative one ("quick").
    fill(add(ode, "solver"), type="world")
    constraints = add(ode, "constraints")
    fill(constraints, cfm="0", erp="0.2")
    if has_objects:
        # By default bodies rest 1 mm inside each other, and leave a body in which they were placed at up to 100 m/s.
        fill(constraints, contact_surface_layer="0", contact_max_correcting_vel="1")


def add_surroundings(world: ET.Element, mount_height: float) -> ET.Element:
    """Add the light, and the floor below the base by ``mount_height`` [m]; return the floor's collision shape."""
    light = add(world, "light", name="sun", type="directional")
    fill(light, pose="0 0 10 0 0 0", diffuse="0.8 0.8 0.8 1", specular="0.2 0.2 0.2 1", direction="-0.5 0.1 -0.9")
    floor = add(world, "model", name="floor")
    fill(floor, static="true")
    if mount_height:
        fill(floor, pose=format_numbers(np.array([0.0, 0.0, -mount_height, 0.0, 0.0, 0.0])))
    link = add(floor, "link", name="floor")
    for kind in ("collision", "visual"):
        shape = add(link, kind, name=kind)
        fill(add(add(shape, "geometry"), "plane"), normal="0 0 1", size="20 20")
    return link[0]


def add_drives(plugin: ET.Element, robot: RobotSpec) -> None:
    """Add the constants of every driven joint to the plug-in's element."""
    for index, name in enumerate(robot.joint_names):
        _add_drive(add(plugin, "joint"), robot, index, name)


def _add_drive(row: ET.Element, robot: RobotSpec, index: int, name: str) -> None:
    columns = {
        "lower": robot.lower,
        "upper": robot.upper,
        "velocity": robot.velocity_limit,
        "effort": robot.effort_limit,
        "drive_inertia": robot.drive_inertia,
        "rotor_inertia": robot.rotor_inertia,
        "home": robot.home,
        "effort_damping": robot.effort_damping,
    }
    fill(row, name=name, finger=format_bool(index >= robot.chain_dof))  # the fingers come last
    fill(row, **{key: repr(float(values[index])) for key, values in columns.items()})
