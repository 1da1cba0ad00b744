"""Write the gz-sim world of one robot: the same model as for Gazebo 11, changed where DART needs it, and the plug-in."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from gym_gazebo2.backends.base import count_substeps
from gym_gazebo2.checks import read_factor
from gym_gazebo2.gazebo.arm_sdf import add_arm, make_name
from gym_gazebo2.gazebo.collide_bits import NUM_BITS, Pair, color_apart, find_masks
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.gz_sim import SYSTEMS
from gym_gazebo2.gazebo.links import RobotModel
from gym_gazebo2.gazebo.model import add_drives, add_surroundings
from gym_gazebo2.gazebo.rigid_bodies import MergedModel, merge_rigid
from gym_gazebo2.gazebo.scene_sdf import FIRM, PREFIX, add_floor_surface, add_scene
from gym_gazebo2.gazebo.sdf import add, fill, format_bool
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.robots.spec import FLOOR
from gym_gazebo2.scene import Scene

__all__ = ["make_gz_world"]

PLUGIN_CLASS = "gym_gazebo2::GzSimPlugin"
PHYSICS_SYSTEM = "gz-sim-physics-system"
BEYOND_LIMIT = 0.1
"""How far beyond its limits DART stops a joint [rad, or strokes]. Up to there, only the soft stop of the drive acts."""
BOXES = "a fixed box"
"""Stands for the boxes of a scene where links and the floor are named."""
OBJECT = 1 << NUM_BITS - 1
"""Bit of collide_bitmask in a world with objects: object with object, box or floor. The next lower bits: arm with object."""
MAX_PAIR_CONTACTS = "12"
"""Number of contacts between two shapes. Meshes that touch have many: with gz-sim's own limit of 20, one physics step took more
than 20 s. With 4 to 8, arms that were placed in contact were pushed out faster."""
SHELF_IN_AIR = 10.0
"""Height at which parked objects are kept [m]. Below the floor, DART would push them out of it."""


def make_gz_world(
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
        gazebo_topics: Whether gz-sim's own topics are served, for its window. A physics step takes longer with them.
        scene: What stands around the arm; None: only the floor.

    Raises:
        InvalidArgumentError: The period is not a whole number of physics steps.
        GazeboError: The plug-in does not exist, or the excluded pairs of links cannot be written.
    """
    if not plugin.is_file():
        raise GazeboError(f"The plug-in {plugin} does not exist. Build it with build_plugin().")
    count_substeps(control_dt, physics_dt)
    root = ET.Element("sdf", {"version": "1.9", "xmlns:gz": "http://gazebosim.org/schema"})
    world = add(root, "world", name="gym_gazebo2")
    # From Ionic on, gz-sim would load its default systems besides those of this world.
    fill(add(world, "gz:policies"), include_server_config_plugins="false")
    physics = add(world, "physics", name="physics", type="ignored")
    # gz-sim holds simulated time back to this multiple of real time; 0 is no limit. In lock-step the plug-in paces it.
    factor = 0.0 if real_time_factor is None else read_factor("real_time_factor", real_time_factor)
    fill(physics, max_step_size=repr(physics_dt), real_time_factor=repr(factor))
    fill(physics, max_contacts=MAX_PAIR_CONTACTS)
    # A real drive compensates gravity, and before gz-physics 7.4 links cannot be freed from it one by one. So the world has
    # none, and the plug-in adds the weight of objects.
    fill(world, gravity="0 0 0")
    for filename, name in SYSTEMS.items():
        if gazebo_topics or filename == PHYSICS_SYSTEM:
            add(world, "plugin", filename=filename, name=name)
    model = RobotModel(robot)
    merged = merge_rigid(model)
    has_objects = scene is not None and scene.num_objects > 0
    floor = add_surroundings(world, robot.mount_height)
    if scene is not None and has_objects:
        add_floor_surface(floor, scene.floor_friction)
    arm = add(world, "model", name=robot.name)
    add_arm(arm, robot, merged, has_objects)
    _bolt_down(arm, merged)
    _add_axes(arm, robot, physics_dt)
    served = add(world, "plugin", name=PLUGIN_CLASS, filename=str(plugin))
    fill(served, model=robot.name, namespace=namespace or robot.name, control_dt=repr(control_dt))
    fill(served, physics_dt=repr(physics_dt), lock_step=format_bool(real_time_factor is None))
    add_drives(served, robot)
    if scene is not None:
        add_scene(world, served, scene, SHELF_IN_AIR)
    _set_masks(world, robot, model, merged, scene)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _bolt_down(arm: ET.Element, model: MergedModel) -> None:
    """Fix links to the ground by joints: DART does not read ``<kinematic>``."""
    for link in arm.findall("link"):
        link.remove(next(iter(link.findall("kinematic"))))
    for fixed in model.links:
        if fixed.is_fixed:
            name = make_name(fixed.name)
            fill(add(arm, "joint", name=f"ground_{name}", type="fixed"), parent="world", child=name)


def _add_axes(arm: ET.Element, robot: RobotSpec, physics_dt: float) -> None:
    """Give each joint its limits, and an arm's joint its rotor's inertia A, which DART lacks, as the damping A / physics_dt.

    DART takes damping d at the end of the step: it solves (M + d·h)·a = τ − d·v − c for the acceleration a, with the step h,
    the joint's speed v at its beginning and the torque τ. The plug-in adds d·v to τ, and (M + A)·a = τ − c is left. A finger
    gets none: the plug-in drives it by its speed.

    DART's limits act only if a contact pushes a joint. Without contact, the drive's soft stop keeps it within ``BEYOND_LIMIT``.
    A contact does not feel the rotor, so it could push a light link far beyond.
    """
    margin = BEYOND_LIMIT * robot.scale
    limits = {"lower": robot.lower - margin, "upper": robot.upper + margin}
    for index, name in enumerate(robot.joint_names):
        axis = arm.find(f"joint[@name='{name}']/axis")
        if axis is not None:
            fill(add(axis, "limit"), **{key: repr(float(values[index])) for key, values in limits.items()})
            if index < robot.chain_dof:  # the fingers come last
                fill(add(axis, "dynamics"), damping=repr(float(robot.rotor_inertia[index]) / physics_dt))


def _set_masks(world: ET.Element, robot: RobotSpec, model: RobotModel, merged: MergedModel, scene: Scene | None) -> None:
    """Let exactly the pairs of links collide that are not excluded, and objects with everything."""
    static = {FLOOR: ["floor"], BOXES: [f"{PREFIX}{box.name}" for box in scene.boxes] if scene is not None else []}
    fixed = {link.name for link in model.links if link.is_fixed} | set(static)
    ignored = set(_list_ignored(merged.body_of, fixed, merged.jointed))
    excluded = {frozenset(pair) for pair in model.excluded}
    objects = scene.pool.names if scene is not None and scene.num_objects else ()
    few = color_apart(list(merged.body_of), excluded - ignored)
    masks = find_masks(
        [*merged.body_of, *(name for name, models in static.items() if models)],
        excluded | {frozenset((FLOOR, name)) for name in model.ignoring_floor},
        ignored,
        NUM_BITS - 1 - len(set(few.values())) if objects else NUM_BITS,
    )
    # Firm shapes are for objects alone: no two of them should collide. If bits are few, those of excluded pairs do not.
    many = color_apart(list(merged.body_of), {frozenset(pair) for pair in itertools.combinations(merged.body_of, 2)} - ignored)
    num_free = NUM_BITS - 1 - max(masks.values()).bit_length()
    colors = many if len(set(many.values())) <= num_free else few
    grips = {name: OBJECT >> 1 + color for name, color in colors.items()}
    for body, owners in merged.owners.items():
        shapes = _find_shapes(world, robot.name, make_name(body))
        soft = [shape for shape in shapes if not str(shape.get("name")).endswith(FIRM)]
        firm = [shape for shape in shapes if str(shape.get("name")).endswith(FIRM)]
        for shape, owner in zip(soft, owners, strict=True):
            _set_mask(shape, masks[owner])
        for shape, owner in zip(firm, owners if objects else (), strict=True):
            _set_mask(shape, grips[owner])
    for name, models in static.items():
        for shape in (shape for static_model in models for shape in _find_shapes(world, static_model)):
            _set_mask(shape, masks[name] | (OBJECT if objects else 0))
    for name in objects:
        for shape in _find_shapes(world, f"{PREFIX}{name}"):
            _set_mask(shape, OBJECT | sum(set(grips.values())))


def _find_shapes(world: ET.Element, model: str, link: str | None = None) -> list[ET.Element]:
    """Return the collision shapes of a link, or of all links."""
    links = "link" if link is None else f"link[@name='{link}']"
    return world.findall(f"model[@name='{model}']/{links}/collision")


def _list_ignored(body_of: dict[str, str], fixed: set[str], jointed: set[Pair]) -> Iterator[Pair]:
    """Yield the pairs for which masks do not matter.

    DART never collides shapes of one body, or of two bodies that a joint connects. Two shapes that are fixed to the ground do
    not push each other, and the plug-in does not report them.
    """
    for one, other in itertools.combinations([*body_of, FLOOR, BOXES], 2):
        bodies = frozenset((body_of.get(one, one), body_of.get(other, other)))
        if len(bodies) == 1 or bodies in jointed or {one, other} <= fixed:
            yield frozenset((one, other))


def _set_mask(shape: ET.Element, mask: int) -> None:
    contact = _get(_get(shape, "surface"), "contact")
    _get(contact, "collide_bitmask").text = str(mask)


def _get(element: ET.Element, tag: str) -> ET.Element:
    """Return the child with this tag; it is added if it is missing."""
    child = element.find(tag)
    return add(element, tag) if child is None else child
