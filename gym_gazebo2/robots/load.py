"""Make the specification of an arm from its row and its URDF."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.checks import read_number
from gym_gazebo2.errors import InvalidArgumentError, RobotError
from gym_gazebo2.robots.check import check_inertias, check_joints, check_masses, check_rotors, check_tree
from gym_gazebo2.robots.collisions import AT_HOME, CollisionModel, list_neighbours
from gym_gazebo2.robots.drive import choose_rotors, choose_speed
from gym_gazebo2.robots.elements import check_elements
from gym_gazebo2.robots.expand import HELD, Expanded, expand_urdf
from gym_gazebo2.robots.fingers import find_fingers, read_mimics
from gym_gazebo2.robots.gripper import add_gripper
from gym_gazebo2.robots.home import choose_home
from gym_gazebo2.robots.inertia import compute_mean_coupling, compute_mean_inertia
from gym_gazebo2.robots.packages import Packages
from gym_gazebo2.robots.rows import ROBOTS, RobotRow, find_row, find_urdf, is_built_in
from gym_gazebo2.robots.source import read_source
from gym_gazebo2.robots.spec import FLOOR, ExcludedPair, RobotSpec
from gym_gazebo2.robots.srdf import NO_SRDF, Srdf, find_srdf, read_srdf
from gym_gazebo2.robots.stored import is_stored, load_stored
from gym_gazebo2.robots.urdf import choose_tool_frame, find_chain, find_joint, fold_fixed_joints, parse_urdf, read_rotors

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["load_robot", "make_robot"]

Array = NDArray[np.float64]
LOG = logging.getLogger("gym_gazebo2.robots")
DEEPEST_BASE = 0.01
"""How far the base may reach into the floor without a remark [m]: bolts and a few millimetres of a hull do no harm."""


def make_robot(robot: str | RobotRow | RobotSpec, gripper: bool = False) -> RobotSpec:
    """Return the specification of a robot.

    Args:
        robot: Name of a row of ``ROBOTS``; path of a .urdf or .xacro file, or of the folder ``robot`` of a run; name of a
            module of the package ``robot_descriptions``, such as "ur5e_description"; "ros:/robot_description" for the topic or
            parameter of a running ROS 2; a row; or a specification, which is returned as it is.
        gripper: Whether the environment drives the fingers. Else they are held, and the specification does not list them.

    Raises:
        UnknownNameError: The table has no such row.
        RobotError: Its URDF does not describe a serial arm; or it has no gripper, and ``gripper`` asks for one.
        InvalidArgumentError: A value of the row does not fit the URDF.
    """
    if isinstance(robot, str) and robot not in ROBOTS and is_stored(robot):
        return load_stored(robot, gripper)
    if not isinstance(robot, RobotSpec):
        return load_robot(*find_row(robot), gripper)
    if gripper and robot.gripper is None:
        raise RobotError(f"The specification of {robot.name!r} has no gripper. Make it with make_robot(…, gripper=True).")
    return robot


@functools.cache
def load_robot(name: str, row: RobotRow, gripper: bool = False) -> RobotSpec:
    """Read a URDF into a specification. The result is cached: the URDF is read once per process.

    Args:
        name: Name of the robot.
        row: Its row.
        gripper: Whether the environment drives the fingers.

    Raises:
        RobotError: The URDF is missing, malformed, without the tool frame, or not a serial arm; or it has no gripper.
        InvalidArgumentError: A value of the row does not fit the URDF.
        WriteError: The cache cannot be written.
    """
    if gripper:
        return _load_with_gripper(name, row)
    file = _read_file(row)
    expanded = expand_urdf(file.root, file.chain, row, file.srdf, file.packages)
    urdf, chain = _parse_expanded(file)
    spec = _make_spec(name, row, expanded, urdf, chain, file.rotors)
    spec = _add_home_and_pairs(spec, row, urdf, file.srdf)
    if spec.assumptions and not is_built_in(row):  # what was assumed about the arms of this package is as it should be
        LOG.warning("%s (%s): %s", name, file.path, " ".join(spec.assumptions))
    return spec


def _load_with_gripper(name: str, row: RobotRow) -> RobotSpec:
    arm, file = load_robot(name, row), _read_file(row)
    fingers = find_fingers(file.root, file.chain, row.gripper, file.path)
    names, mimics = tuple(joint.get("name", "") for joint in fingers), read_mimics(fingers)
    expanded = expand_urdf(file.root, file.chain, row, file.srdf, file.packages, fingers)
    # Fewer joints are held when the fingers are driven. So the sentence about held joints is taken from the URDF with driven
    # fingers.
    others = tuple(sentence for sentence in arm.assumptions if not sentence.startswith(HELD))
    held = tuple(sentence for sentence in expanded.assumptions if sentence.startswith(HELD))
    arm = dataclasses.replace(arm, assumptions=(*held, *others))
    spec = add_gripper(arm, _parse_expanded(file)[0], expanded.path, names, mimics, row.gripper)
    if not is_built_in(row):
        LOG.warning("%s (%s): %s", name, file.path, spec.assumptions[-1])
    return spec


@dataclasses.dataclass(frozen=True)
class _File:
    """A URDF as its maker ships it, checked.

    Attributes:
        path: The file.
        packages: Where its meshes are.
        root: Its root element. ``expand_urdf`` changes it in place.
        chain: Its joints from the root to the tool, fixed ones included.
        rotors: Its rotor inertias, by joint.
        srdf: The SRDF beside it.
        tool_frame: Name of the tool's link.
    """

    path: Path
    packages: Packages
    root: ET.Element
    chain: Sequence[ET.Element]
    rotors: Mapping[str, float]
    srdf: Srdf
    tool_frame: str


def _read_file(row: RobotRow) -> _File:
    path = find_urdf(row.urdf)
    # abspath also removes "..", without which no file would seem to lie inside its folder.
    packages = Packages(path, tuple(Path(os.path.abspath(folder)) for folder in row.package_dirs))  # noqa: PTH100
    root = read_source(path, packages, dict(row.xacro_args))
    # The checks come before any computation: an invalid URDF must end in an error that names its element, not in a
    # LinAlgError or in an arm that explodes in the simulator.
    original, rotors = _check_source(root, path)
    tool_frame = choose_tool_frame(original, row.tool_frame, path)
    by_name = {joint.get("name"): joint for joint in root.findall("joint")}
    chain = [by_name[joint.name] for joint in find_chain(original, tool_frame, path)]
    return _File(path, packages, root, chain, rotors, _read_srdf(row, path, root.get("name", "")), tool_frame)


def _parse_expanded(file: _File) -> tuple[yourdfpy.Robot, list[yourdfpy.Joint]]:
    """Return the expanded URDF, and its joints from the root to the tool, checked."""
    urdf = parse_urdf(file.root, file.path)
    check_inertias(urdf, file.path)
    chain = find_chain(urdf, file.tool_frame, file.path)
    check_joints([joint for joint in chain if joint.type != "fixed"], file.path)
    return urdf, chain


def _check_source(root: ET.Element, path: Path) -> tuple[yourdfpy.Robot, dict[str, float]]:
    """Return the links and joints of a URDF, and its rotors' inertias by joint, after checking them."""
    check_elements(root, path)
    urdf, rotors = parse_urdf(root, path), read_rotors(root, path)
    check_tree(urdf, path)
    check_masses(urdf, path)
    check_rotors(rotors, path)
    return urdf, rotors


def _read_srdf(row: RobotRow, path: Path, robot_name: str) -> Srdf:
    if row.srdf == "":
        return NO_SRDF
    srdf = find_srdf(path, robot_name) if row.srdf is None else Path(row.srdf)
    return NO_SRDF if srdf is None else read_srdf(srdf)


def _make_spec(
    name: str,
    row: RobotRow,
    expanded: Expanded,
    urdf: yourdfpy.Robot,
    chain: Sequence[yourdfpy.Joint],
    rotors: Mapping[str, float],
) -> RobotSpec:
    """Return the specification without home pose and excluded pairs."""
    moving = [joint for joint in chain if joint.type != "fixed"]
    offsets, T_tcp_to_last = fold_fixed_joints(chain)
    limits = {key: np.array([getattr(j.limit, key) for j in moving]) for key in ("lower", "upper", "velocity", "effort")}
    is_prismatic = np.array([joint.type == "prismatic" for joint in moving])
    links_inertia = compute_mean_inertia(urdf, moving, limits["lower"], limits["upper"])
    spec = RobotSpec(
        name=name,
        urdf=str(expanded.path),
        base_link=chain[0].parent,
        tool_frame=chain[-1].child,
        joint_names=tuple(joint.name for joint in moving),
        link_names=tuple(joint.child for joint in moving),
        lower=limits["lower"],
        upper=limits["upper"],
        velocity_limit=limits["velocity"],
        control_speed=limits["velocity"],
        effort_limit=limits["effort"],
        home=np.zeros(len(moving)),
        rotor_inertia=np.zeros(len(moving)),
        drive_inertia=links_inertia,
        T_joint_to_parent=offsets,
        axis=np.array([joint.axis / np.linalg.norm(joint.axis) for joint in moving]),
        T_tcp_to_last=T_tcp_to_last,
        is_prismatic=is_prismatic,
        is_continuous=np.array([joint.name in expanded.continuous for joint in moving]),
        mount_height=read_number("mount_height", row.mount_height, "a height of at least 0 m", lambda height: height >= 0.0),
        default_contacts=row.default_contacts,
        assumptions=expanded.assumptions,
    )
    rotor, assumed = choose_rotors(row, spec.joint_names, rotors, compute_mean_coupling(spec, urdf), spec.scale)
    spec = dataclasses.replace(spec, rotor_inertia=rotor, drive_inertia=rotor + links_inertia)
    speed, slower = choose_speed(row.control_speed, spec)
    return dataclasses.replace(spec, control_speed=speed, assumptions=(*spec.assumptions, *assumed, *slower))


def _add_home_and_pairs(spec: RobotSpec, row: RobotRow, urdf: yourdfpy.Robot, srdf: Srdf) -> RobotSpec:
    """Return the specification with its home pose and the pairs of links whose collisions do not count."""
    bodies = {link.name: find_joint(link.name, urdf, spec.joint_names)[0] for link in urdf.links}
    if bare := [link.name for link in urdf.links if link.visuals and not link.collisions and bodies[link.name] >= 0]:
        sentence = f"These links have no <collision>, so they touch nothing: {', '.join(bare)}."
        spec = dataclasses.replace(spec, assumptions=(*spec.assumptions, sentence))
    pairs = list_neighbours(urdf)
    pairs += [
        ExcludedPair(a, b, f"disabled in the SRDF ({reason or 'no reason given'})")
        for a, b, reason in srdf.disabled
        if {a, b} <= bodies.keys()
    ]
    # Links of one rigid body never touch, so they are no pair.
    spec = _exclude(spec, [pair for pair in pairs if bodies[pair.link1] != bodies[pair.link2]])
    spec = _exclude(spec, _refuse_floor(spec, CollisionModel(spec, urdf).list_always_touching(), bodies))
    model = CollisionModel(spec, urdf)
    if not is_built_in(row):
        spec = dataclasses.replace(spec, assumptions=(*spec.assumptions, *_describe_floor(spec, model)))
    if row.home is not None:
        spec = dataclasses.replace(spec, home=_check_home(row.home, spec))
    else:
        home, assumptions = choose_home(spec, model, srdf.list_homes(spec.joint_names))
        spec = dataclasses.replace(spec, home=home, assumptions=(*spec.assumptions, *assumptions))
    return _exclude(spec, _refuse_floor(spec, model.list_touching_at(spec.home), bodies))


def _refuse_floor(spec: RobotSpec, pairs: list[ExcludedPair], bodies: Mapping[str, int]) -> list[ExcludedPair]:
    """Return the pairs as they are if no link but the base is in the floor.

    Two links may touch by design. A link in the floor shows that the base is too low. If that did not count as a collision, a
    policy could move the arm through the floor. The base link may stand on the floor: it never moves. So may a carriage, which
    only slides along a rail.

    Args:
        spec: The arm.
        pairs: Links that touch each other or ``FLOOR``, which comes first in a pair.
        bodies: Link → index of the last joint that moves it, −1 for the base.

    Raises:
        RobotError: Another link is in the floor.
    """
    at_floor = [pair for pair in pairs if pair.link1 == FLOOR]
    if sunk := [pair for pair in at_floor if not spec.is_prismatic[: bodies[pair.link2] + 1].all()]:
        links, reason = ", ".join(repr(pair.link2) for pair in sunk), sunk[0].reason
        raise RobotError(
            f"Links of {spec.name!r} are in the floor ({reason}), with the base {spec.mount_height:g} m above it: {links}. "
            f"Give the height of the base above the floor as mount_height{'' if reason != AT_HOME else ', or another home'}."
        )
    return pairs


def _describe_floor(spec: RobotSpec, model: CollisionModel) -> list[str]:
    """Return a sentence if the height of the base was not given, or is too small for the base."""
    lowest = model.compute_lowest_of_base()
    if lowest + spec.mount_height < -DEEPEST_BASE:
        return [f"The base reaches {-lowest - spec.mount_height:.2f} m into the floor (mount_height {-lowest:.2f} raises it)."]
    return ["The base stands on the floor (set mount_height to raise it)."] if spec.mount_height == 0.0 else []


def _exclude(spec: RobotSpec, pairs: Sequence[ExcludedPair]) -> RobotSpec:
    """Return the specification with more excluded pairs. A pair is listed once, with its first reason."""
    known = {frozenset((pair.link1, pair.link2)): pair for pair in spec.excluded_pairs}
    for pair in pairs:
        known.setdefault(frozenset((pair.link1, pair.link2)), pair)
    return dataclasses.replace(spec, excluded_pairs=tuple(known.values()))


def _check_home(home: tuple[float, ...], spec: RobotSpec) -> Array:
    q = np.array(home, dtype=float)
    if q.shape != spec.lower.shape or not np.all((q >= spec.lower) & (q <= spec.upper)):
        raise InvalidArgumentError("home", home, f"{spec.dof} joint positions between {spec.lower} and {spec.upper}")
    return q
