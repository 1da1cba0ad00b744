"""Write the files with which Gazebo Sim (gz-sim), ros_gz and gz_ros2_control serve a robot: description, controllers, world.

They come from the same URDF and specification as every other backend's model. launch/gz_sim.launch.py starts Gazebo Sim.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from gym_gazebo2.backends.base import count_substeps
from gym_gazebo2.checks import read_factor
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.robots import make_description as make_robot_description
from gym_gazebo2.robots.spec import FLOOR

__all__ = ["WORLD", "make_controllers", "make_description", "make_lab", "write_gz_sim"]

WORLD = "lab"
POSITION_GAIN = 0.5
"""gz_ros2_control commands a joint speed of position error × gain × update rate. With a gain of 0.5 at 1 kHz, the time constant
is 2 ms."""
SYSTEMS = {
    "gz-sim-physics-system": "gz::sim::systems::Physics",
    "gz-sim-user-commands-system": "gz::sim::systems::UserCommands",
    "gz-sim-scene-broadcaster-system": "gz::sim::systems::SceneBroadcaster",
}


def make_description(robot: RobotSpec, controllers: Path, namespace: str | None = None) -> str:
    """Return the URDF with its base fixed to the world, its links without gravity, and its joints driven by ros2_control.

    Args:
        robot: The arm.
        controllers: Path of the file with the text of ``make_controllers``.
        namespace: ROS namespace; None is the robot's name.
    """
    root = make_robot_description(robot)
    for link in _list_bodies(root):
        ET.SubElement(ET.SubElement(root, "gazebo", reference=link), "gravity").text = "false"
    if not _is_touching_by_design(root, robot):
        ET.SubElement(ET.SubElement(root, "gazebo"), "self_collide").text = "true"
    if robot.base_link != "world":  # some makers have bolted the arm to the world already
        ET.SubElement(root, "link", name="world")
        bolt = ET.SubElement(root, "joint", name="bolted_to_world", type="fixed")
        ET.SubElement(bolt, "parent", link="world")
        ET.SubElement(bolt, "child", link=robot.base_link)
    _add_control(root, robot)
    plugin = {"filename": "gz_ros2_control-system", "name": "gz_ros2_control::GazeboSimROS2ControlPlugin"}
    element = ET.SubElement(ET.SubElement(root, "gazebo"), "plugin", plugin)
    ET.SubElement(element, "parameters").text = str(controllers)
    ET.SubElement(element, "position_proportional_gain").text = repr(POSITION_GAIN)
    ET.SubElement(ET.SubElement(element, "ros"), "namespace").text = namespace or robot.name
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def make_controllers(robot: RobotSpec, physics_dt: float = 0.001) -> str:
    """Return the parameters of the controllers as YAML, with one update per physics step, which lock-step needs.

    Args:
        robot: The arm.
        physics_dt: Physics step of the world [s].
    """
    manager = {
        "update_rate": round(1.0 / physics_dt),
        "joint_state_broadcaster": {"type": "joint_state_broadcaster/JointStateBroadcaster"},
        "joint_trajectory_controller": {"type": "joint_trajectory_controller/JointTrajectoryController"},
    }
    trajectory = {
        "joints": list(robot.joint_names),
        "command_interfaces": ["position"],
        "state_interfaces": ["position", "velocity"],
        # A command starts from the last set-point, not from the measured pose. The parameter was renamed: both names are given,
        # the older one first.
        "open_loop_control": True,
        "interpolate_from_desired_state": True,
    }
    nodes = {"/**/controller_manager": manager, "/**/joint_trajectory_controller": trajectory}
    return json.dumps({node: {"ros__parameters": values} for node, values in nodes.items()}, indent=2)  # JSON is YAML


def make_lab(physics_dt: float = 0.001, mount_height: float = 0.0, real_time_factor: float = 0.0) -> str:
    """Return a world with a floor and a light, as SDF.

    Args:
        physics_dt: Physics step [s].
        mount_height: Height of the arm's base above the floor [m].
        real_time_factor: Speed of simulated time: 1 is real time, 0 is as fast as possible. It also limits the steps of a
            client in lock-step.

    Raises:
        InvalidArgumentError: The factor is negative or not finite.
    """
    factor = read_factor("real_time_factor", real_time_factor)
    root = ET.Element("sdf", version="1.9")
    world = ET.SubElement(root, "world", name=WORLD)
    physics = ET.SubElement(world, "physics", name="physics", type="ignored")
    ET.SubElement(physics, "max_step_size").text = repr(physics_dt)
    ET.SubElement(physics, "real_time_factor").text = repr(factor)
    for filename, name in SYSTEMS.items():
        ET.SubElement(world, "plugin", filename=filename, name=name)
    light = ET.SubElement(world, "light", name="sun", type="directional")
    ET.SubElement(light, "direction").text = "-0.5 0.1 -0.9"
    floor = ET.SubElement(world, "model", name="floor")
    ET.SubElement(floor, "static").text = "true"
    if mount_height:
        ET.SubElement(floor, "pose").text = f"0 0 {-mount_height!r} 0 0 0"
    link = ET.SubElement(floor, "link", name="floor")
    for kind in ("collision", "visual"):
        plane = ET.SubElement(ET.SubElement(ET.SubElement(link, kind, name=kind), "geometry"), "plane")
        ET.SubElement(plane, "normal").text, ET.SubElement(plane, "size").text = "0 0 1", "20 20"
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def write_gz_sim(
    robot: RobotSpec,
    folder: Path,
    namespace: str | None = None,
    control_dt: float = 0.05,
    physics_dt: float = 0.001,
    real_time_factor: float = 0.0,
) -> str:
    """Write ``robot.urdf``, ``controllers.yaml`` and ``world.sdf`` into a folder, and return the robot's description.

    Args:
        robot: The arm.
        folder: The folder; it is made if it is missing.
        namespace: ROS namespace; None is the robot's name.
        control_dt: Control period [s], a whole number of physics steps.
        physics_dt: Physics step [s].
        real_time_factor: Speed of simulated time: 1 is real time, 0 is as fast as possible.

    Raises:
        InvalidArgumentError: The period is not a whole number of physics steps, or the factor is invalid.
    """
    count_substeps(control_dt, physics_dt)
    folder.mkdir(parents=True, exist_ok=True)
    controllers = folder.resolve() / "controllers.yaml"
    description = make_description(robot, controllers, namespace)
    for name, text in {
        controllers.name: make_controllers(robot, physics_dt),
        "robot.urdf": description,
        "world.sdf": make_lab(physics_dt, robot.mount_height, real_time_factor),
    }.items():
        (folder / name).write_text(text)
    return description


def _add_control(root: ET.Element, robot: RobotSpec) -> None:
    """Add the ros2_control element: a position command and the measured state of each joint."""
    control = ET.SubElement(root, "ros2_control", name=robot.name, type="system")
    ET.SubElement(ET.SubElement(control, "hardware"), "plugin").text = "gz_ros2_control/GazeboSimSystem"
    for name, lower, upper, home in zip(robot.joint_names, robot.lower, robot.upper, robot.home, strict=True):
        joint = ET.SubElement(control, "joint", name=name)
        command = ET.SubElement(joint, "command_interface", name="position")
        for key, value in {"min": lower, "max": upper}.items():
            ET.SubElement(command, "param", name=key).text = repr(float(value))
        position = ET.SubElement(joint, "state_interface", name="position")
        ET.SubElement(position, "param", name="initial_value").text = repr(float(home))
        ET.SubElement(joint, "state_interface", name="velocity")


def _list_bodies(root: ET.Element) -> list[str]:
    """Return the links that stay links in SDF.

    SDF merges a link that is fixed to another one into that link, with its <gravity>. That link would then have two of them.
    """
    fixed = {child for parent, child, kind in _list_joints(root) if kind == "fixed" and parent != "world"}
    return [name for name in (link.get("name", "") for link in root.findall("link")) if name not in fixed | {"world"}]


def _is_touching_by_design(root: ET.Element, robot: RobotSpec) -> bool:
    """Return whether the excluded pairs have one that no joint connects. If it touches, gz-sim would push its links apart.

    gz-sim never collides two links that a joint connects. For other pairs it has no list of exceptions.
    """
    merged = {child: parent for parent, child, kind in _list_joints(root) if kind == "fixed"}

    def find_body(link: str) -> str:
        while link in merged:
            link = merged[link]
        return link

    jointed = {frozenset(map(find_body, (parent, child))) for parent, child, _ in _list_joints(root)}
    pairs = [(pair.link1, pair.link2) for pair in robot.excluded_pairs if FLOOR not in (pair.link1, pair.link2)]
    return any(frozenset(map(find_body, pair)) not in jointed for pair in pairs)


def _list_joints(root: ET.Element) -> list[tuple[str, str, str]]:
    """Return parent, child and type of every joint."""
    joints = [(joint.find("parent"), joint.find("child"), joint.get("type", "")) for joint in root.findall("joint")]
    return [(p.get("link", ""), c.get("link", ""), kind) for p, c, kind in joints if p is not None and c is not None]
