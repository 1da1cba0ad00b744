"""Mutated URDFs: each is a clear error of this package or a working arm, never another exception, and never a hang."""

from __future__ import annotations

import contextlib
import random
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import trimesh

from gym_gazebo2.backends import make_backend
from gym_gazebo2.errors import GymGazebo2Error
from gym_gazebo2.robots import RobotRow, load_robot

from .arms import ARMS, find_robots

SMALL = """<robot name="small">
  <material name="grey"><color rgba="0.5 0.5 0.5 1"/></material>
  <link name="base"><collision><geometry><box size="0.2 0.2 0.1"/></geometry></collision></link>
  <link name="carriage">
    <inertial><origin xyz="0 0 0.1" rpy="0 0 0"/><mass value="2"/>
      <inertia ixx="0.02" ixy="0" ixz="0" iyy="0.02" iyz="0" izz="0.01"/></inertial>
    <visual><geometry><mesh filename="part.stl" scale="1 1 1"/></geometry><material name="grey"/></visual>
    <collision><origin xyz="0 0 0.15"/><geometry><cylinder radius="0.05" length="0.2"/></geometry></collision>
  </link>
  <link name="arm">
    <inertial><origin xyz="0.15 0 0"/><mass value="1"/>
      <inertia ixx="0.001" ixy="0" ixz="0" iyy="0.01" iyz="0" izz="0.01"/></inertial>
    <collision><origin xyz="0.15 0 0"/><geometry><mesh filename="part.stl" scale="2 0.5 0.5"/></geometry></collision>
  </link>
  <link name="sensor"><inertial><mass value="0.01"/><inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial></link>
  <link name="tool"/>
  <link name="left"><inertial><mass value="0.05"/><inertia ixx="1e-5" ixy="0" ixz="0" iyy="1e-5" iyz="0" izz="1e-5"/></inertial>
    <collision><geometry><sphere radius="0.01"/></geometry></collision></link>
  <link name="right"><collision><geometry><sphere radius="0.01"/></geometry></collision></link>
  <joint name="lift" type="prismatic"><parent link="base"/><child link="carriage"/><origin xyz="0 0 0.1"/><axis xyz="0 0 1"/>
    <limit lower="0.2" upper="0.6" velocity="0.3" effort="200"/></joint>
  <joint name="turn" type="continuous"><parent link="carriage"/><child link="arm"/><origin xyz="0 0 0.3"/><axis xyz="0 0 1"/>
    <limit velocity="2" effort="30"/><dynamics damping="0.1" friction="0.2"/></joint>
  <joint name="mount" type="fixed"><parent link="arm"/><child link="tool"/><origin xyz="0.3 0 0" rpy="0 1.57 0"/></joint>
  <joint name="bracket" type="fixed"><parent link="arm"/><child link="sensor"/><origin xyz="0.2 0 0.05"/></joint>
  <joint name="finger" type="prismatic"><parent link="tool"/><child link="left"/><axis xyz="0 1 0"/>
    <limit lower="0" upper="0.04" velocity="0.1" effort="10"/></joint>
  <joint name="other" type="prismatic"><parent link="tool"/><child link="right"/><axis xyz="0 -1 0"/>
    <limit lower="0" upper="0.04" velocity="0.1" effort="10"/><mimic joint="finger" multiplier="1" offset="0"/></joint>
  <transmission name="t"><joint name="turn"/><actuator name="a"><mechanicalReduction>50</mechanicalReduction>
    <rotorInertia>1e-4</rotorInertia></actuator></transmission>
</robot>
"""
REAL = ("ur5", "panda", "so101", "jaco2")
VALUES = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e30",
    "1e-30",
    "",
    "wide",
    "1 2",
    "0 0 0",
    "1 1 1 1",
    "\u0663",
    "0x10",
    "base",
    "tool",
)
FILES = (
    "missing.stl",
    "../../../../../../etc/passwd",
    "file:///etc/passwd",
    "package://nowhere/part.stl",
    "package:///part.stl",
    "package://../part.stl",
    "http://example.com/part.stl",
    "broken.stl",
    "empty.obj",
    "entity.dae",
    "flat.stl",
    "part.STEP",
    ".",
)
TYPES = ("revolute", "continuous", "prismatic", "fixed", "floating", "planar", "screw", "")


def drop_element(root: ET.Element, draw: random.Random) -> None:
    parent, child = draw.choice(list_children(root))
    parent.remove(child)


def repeat_element(root: ET.Element, draw: random.Random) -> None:
    parent, child = draw.choice(list_children(root))
    parent.append(child)


def move_element(root: ET.Element, draw: random.Random) -> None:
    parent, child = draw.choice(list_children(root))
    parent.remove(child)
    draw.choice([e for e in root.iter() if e not in set(child.iter())]).append(child)


def drop_attribute(root: ET.Element, draw: random.Random) -> None:
    element = draw.choice([e for e in root.iter() if e.attrib])
    del element.attrib[draw.choice(sorted(element.attrib))]


def change_attribute(root: ET.Element, draw: random.Random) -> None:
    element = draw.choice([e for e in root.iter() if e.attrib])
    element.set(draw.choice(sorted(element.attrib)), draw.choice(VALUES))


def change_number(root: ET.Element, draw: random.Random) -> None:
    names = ("xyz", "rpy", "lower", "upper", "velocity", "effort", "value", "ixx", "izz", "size", "radius", "length", "scale")
    element, name = draw.choice([(e, n) for e in root.iter() for n in names if n in e.attrib])
    words = element.get(name, "").split() or ["0"]
    words[draw.randrange(len(words))] = draw.choice(("nan", "inf", "-1e9", "1e9", "0", "-0.5", "7"))
    element.set(name, " ".join(words))


def swap_attribute(root: ET.Element, draw: random.Random) -> None:
    """Give an element the value that another one has: cycles, links with two parents, several roots, repeated names."""
    name = draw.choice(("link", "name", "joint"))
    one, other = (draw.choice([e for e in root.iter() if name in e.attrib]) for _ in range(2))
    one.set(name, other.get(name, ""))


def change_type(root: ET.Element, draw: random.Random) -> None:
    draw.choice(root.findall("joint")).set("type", draw.choice(TYPES))


def change_file(root: ET.Element, draw: random.Random) -> None:
    meshes = list(root.iter("mesh"))
    if meshes:
        draw.choice(meshes).set("filename", draw.choice(FILES))


MUTATIONS = (
    drop_element,
    repeat_element,
    move_element,
    drop_attribute,
    change_attribute,
    change_number,
    change_number,
    swap_attribute,
    swap_attribute,
    change_type,
    change_file,
)


def list_children(root: ET.Element) -> list[tuple[ET.Element, ET.Element]]:
    return [(parent, child) for parent in root.iter() for child in parent]


def damage_text(text: str, draw: random.Random) -> bytes:
    """Return a damaged text: cut off, with bytes changed, or with a declaration that reads a file."""
    data = text.encode()
    kind = draw.randrange(6)
    if kind == 0:
        return data[: draw.randrange(len(data))]
    if kind == 1:
        spot = draw.randrange(len(data))
        return data[:spot] + draw.randbytes(3) + data[spot + 3 :]
    if kind == 2:
        name = draw.choice(('SYSTEM "file:///etc/passwd"', '"lol"'))
        return f"<!DOCTYPE robot [<!ENTITY e {name}>]>".encode() + data.replace(b"<link", b"&e;<link", 1)
    if kind == 3:
        encoding = draw.choice(("utf-16", "ascii", "no-such-code", "utf-7", "zlib", "idna"))
        return f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + data
    if kind == 4:
        depth = draw.choice((50, 5000))
        return data.replace(b"<geometry>", b"<geometry>" * depth, 1).replace(b"</geometry>", b"</geometry>" * depth, 1)
    return data.replace(
        b"<robot", draw.choice((b"<sdf", b"<robot xmlns:xacro='x'", b"\x00<robot", b"<!DOCTYPE robot><robot")), 1
    )


def mutate(text: str, draw: random.Random) -> bytes:
    if draw.random() < 0.15:
        return damage_text(text, draw)
    root = ET.fromstring(text)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        with contextlib.suppress(IndexError):  # nothing is left that this mutation could change
            draw.choice(MUTATIONS)(root, draw)
    return ET.tostring(root)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a mesh, and with meshes that are none."""
    folder = tmp_path_factory.mktemp("fuzz")
    trimesh.creation.box((0.15, 0.1, 0.1)).export(folder / "part.stl")
    (folder / "broken.stl").write_bytes((folder / "part.stl").read_bytes()[:200])
    (folder / "empty.obj").write_text("")
    (folder / "part.STEP").write_text("ISO-10303-21;")
    entity = '<?xml version="1.0"?><!DOCTYPE COLLADA [<!ENTITY e SYSTEM "file:///etc/passwd">]><COLLADA>&e;</COLLADA>'
    (folder / "entity.dae").write_text(entity)
    trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]).export(folder / "flat.stl")
    return folder


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("mutations")))


def test_a_mutation_is_an_error_or_an_arm(seed, files):
    draw = random.Random(seed)
    name = draw.choice(REAL) if draw.random() < 0.3 else None
    urdf, tool_frame, more = ARMS[name] if name else ("", "tool", {})
    text = (find_robots() / urdf).read_text() if name else SMALL
    path = files / f"arm{seed}.urdf"
    path.write_bytes(mutate(text, draw))
    row = RobotRow(str(path), tool_frame=tool_frame, package_dirs=(str(find_robots().parents[1]),), **more)
    try:
        robot = load_robot("fuzzed", row)
    except GymGazebo2Error as error:
        message = str(error)
        assert len(message) > 30 and message.count("\n") == 0 and message.endswith((".", ">")), message
        assert "root:" not in message  # the first line of /etc/passwd
        return
    for backend in ("fake", "mujoco"):
        step_a_little(backend, robot)


def step_a_little(backend, robot):
    arm = make_backend(backend, robot)
    try:
        state = arm.reset(np.ones(1, dtype=bool), robot.home[None])
        for _ in range(3):
            state = arm.step(np.clip(state.q_setpoint + 0.1 * robot.control_speed * arm.control_dt, robot.lower, robot.upper))
        assert np.isfinite(state.q).all()
    finally:
        arm.close()


def test_the_unchanged_arm_works(files):
    (files / "small.urdf").write_text(SMALL)
    robot = load_robot("small", RobotRow(str(files / "small.urdf"), tool_frame="tool"))
    assert robot.joint_names == ("lift", "turn")
    step_a_little("mujoco", robot)
