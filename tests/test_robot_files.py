"""Files that a URDF names, and files that describe robots: where they are looked for, and what is refused."""

from __future__ import annotations

import logging
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import trimesh

from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, RobotError, UnknownNameError, WriteError
from gym_gazebo2.robots import RobotRow, load_robot, make_robot
from gym_gazebo2.robots.meshes import read_stl_vertices

URDF = """<robot name="one">
  <link name="base"/>
  <link name="arm">
    <inertial><mass value="1"/><inertia ixx="0.01" ixy="0" ixz="0" iyy="0.01" iyz="0" izz="0.01"/></inertial>
    <visual><geometry><mesh filename="{0}"/></geometry></visual>
    <collision><geometry><mesh filename="{0}" scale="1 2 1"/></geometry></collision>
  </link>
  <link name="tool"/>
  <joint name="turn" type="revolute"><parent link="base"/><child link="arm"/><origin xyz="0 0 0.5"/><axis xyz="0 0 1"/>
    <limit lower="-2" upper="2" velocity="1" effort="10"/></joint>
  <joint name="mount" type="fixed"><parent link="arm"/><child link="tool"/><origin xyz="0.3 0 0"/></joint>
</robot>
"""
XACRO = URDF.replace('<robot name="one">', '<robot name="one" xmlns:xacro="http://www.ros.org/wiki/xacro">').replace(
    '<origin xyz="0.3 0 0"/>', '<origin xyz="$(arg length) 0 0"/>'
)


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    """A cache of the test's own, and no ROS around it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    monkeypatch.delenv("ROS_PACKAGE_PATH", raising=False)


def write_mesh(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box((0.2, 0.1, 0.1)).export(path)


def write_urdf(path: Path, uri: str, text: str = URDF) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(uri))
    return str(path)


def read_collision(urdf: str) -> np.ndarray:
    """Return the size of the hull that an expanded URDF names [m]."""
    mesh = ET.parse(urdf).getroot().find("link/collision/geometry/mesh")
    return np.ptp(read_stl_vertices(Path(urdf).parent / mesh.get("filename")), axis=0)


PLACES = {
    "beside the file": ("arm.urdf", "part.stl", "part.stl"),
    "in the package, relative": ("arm/urdf/arm.urdf", "../meshes/part.stl", "arm/meshes/part.stl"),
    "in a folder above, of the package's name": ("arm/urdf/arm.urdf", "package://arm/meshes/part.stl", "arm/meshes/part.stl"),
    "in a package beside its own": ("arm/urdf/arm.urdf", "package://parts/part.stl", "parts/part.stl"),
    "in the folder above urdf/, under another name": (
        "clone/urdf/arm.urdf", "package://arm/meshes/part.stl", "clone/meshes/part.stl",
    ),
    "by its whole path": ("arm/urdf/arm.urdf", "file://{root}/arm/meshes/part.stl", "arm/meshes/part.stl"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_mesh_is_found(place, tmp_path):
    urdf, uri, mesh = PLACES[place]
    write_mesh(tmp_path / mesh)
    robot = load_robot(place, RobotRow(write_urdf(tmp_path / urdf, uri.format(root=tmp_path))))
    np.testing.assert_allclose(read_collision(robot.urdf), [0.2, 0.2, 0.1], atol=1e-6)


@pytest.mark.parametrize("variable", ["AMENT_PREFIX_PATH", "ROS_PACKAGE_PATH", "package_dirs", "package_dirs from here"])
def test_a_package_is_found_where_ros_looks(variable, tmp_path, monkeypatch):
    folder = tmp_path / "ros" / "share" if variable == "AMENT_PREFIX_PATH" else tmp_path / "ros"
    write_mesh(folder / "parts/part.stl")
    row = RobotRow(write_urdf(tmp_path / "work/arm.urdf", "package://parts/part.stl"))
    with pytest.raises(RobotError, match="link 'arm'.*package://parts/part.stl.*not found.*package_dirs"):
        load_robot("arm", row)
    if variable == "package_dirs":
        row = RobotRow(row.urdf, package_dirs=(str(tmp_path / "ros"),))
    elif variable == "package_dirs from here":
        monkeypatch.chdir(tmp_path / "work")
        row = RobotRow(row.urdf, package_dirs=("../ros",))
    else:
        monkeypatch.setenv(variable, f"/nowhere{os.pathsep}{tmp_path / 'ros'}")
    assert load_robot("arm", row).dof == 1


OUTSIDE = {
    "relative": "../secret/part.stl",
    "by its whole path": "file://{root}/secret/part.stl",
    "out of a package": "package://arm/../secret/part.stl",
    "over a scheme": "http://localhost/part.stl",
}


@pytest.mark.parametrize("way", OUTSIDE)
def test_a_file_outside_of_the_packages_is_not_read(way, tmp_path):
    write_mesh(tmp_path / "secret/part.stl")
    (tmp_path / "secret/part.stl").chmod(0)
    urdf = write_urdf(tmp_path / "arm/arm.urdf", OUTSIDE[way].format(root=tmp_path))
    with pytest.raises(RobotError, match=r"outside of the URDF's package|was not found|names 'http") as caught:
        load_robot("arm", RobotRow(urdf))
    assert "permission" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["stl", "obj", "dae", "ply"])
def test_formats_and_their_scale(suffix, tmp_path):
    write_mesh(tmp_path / f"part.{suffix}")
    robot = load_robot(suffix, RobotRow(write_urdf(tmp_path / "arm.urdf", f"part.{suffix}")))
    np.testing.assert_allclose(read_collision(robot.urdf), [0.2, 0.2, 0.1], atol=1e-6)


def test_collada_has_a_unit(tmp_path):
    path = tmp_path / "part.dae"
    write_mesh(path)
    text = re.sub("<unit[^>]*>", "", path.read_text()).replace("</asset>", '<unit name="cm" meter="0.01"/></asset>')
    path.write_text(text)
    robot = load_robot("dae", RobotRow(write_urdf(tmp_path / "arm.urdf", "part.dae")))
    np.testing.assert_allclose(read_collision(robot.urdf), [0.002, 0.002, 0.001], atol=1e-6)


def test_a_hull_keeps_few_points_within_a_millimetre(tmp_path):
    trimesh.creation.icosphere(subdivisions=4, radius=0.05).export(tmp_path / "part.stl")
    robot = load_robot("ball", RobotRow(write_urdf(tmp_path / "arm.urdf", "part.stl", URDF.replace("1 2 1", "1 1 1"))))
    mesh = ET.parse(robot.urdf).getroot().find("link/collision/geometry/mesh").get("filename")
    hull = trimesh.load_mesh(Path(robot.urdf).parent / mesh)
    assert len(hull.vertices) <= 128
    distances = np.linalg.norm(hull.triangles_center, axis=1)
    assert distances.min() > 0.05 - 1.5e-3 and np.linalg.norm(hull.vertices, axis=1).max() < 0.05 + 1e-6


def test_a_flat_mesh_collides_as_a_thin_plate(tmp_path):
    corners = [[0, 0, 0], [0.2, 0, 0], [0, 0.1, 0], [0.2, 0.1, 0]]
    trimesh.Trimesh(corners, [[0, 1, 2], [1, 3, 2]]).export(tmp_path / "part.stl")
    robot = load_robot("plate", RobotRow(write_urdf(tmp_path / "arm.urdf", "part.stl")))
    np.testing.assert_allclose(read_collision(robot.urdf), [0.2, 0.2, 0.001], atol=1e-6)


def test_the_expanded_urdf_can_be_moved(tmp_path):
    write_mesh(tmp_path / "part.stl")
    robot = load_robot("arm", RobotRow(write_urdf(tmp_path / "arm.urdf", "part.stl")))
    moved = Path(robot.urdf).parent.rename(tmp_path / "moved") / "robot.urdf"
    again = load_robot("moved", RobotRow(str(moved)))
    np.testing.assert_array_equal(again.home, robot.home)
    assert again.excluded_pairs == robot.excluded_pairs


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    write_mesh(tmp_path / "part.stl")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(WriteError, match="XDG_CACHE_HOME"):
        load_robot("arm", RobotRow(write_urdf(tmp_path / "arm.urdf", "part.stl")))


def test_xacro_with_arguments_and_find(tmp_path):
    write_mesh(tmp_path / "arm/meshes/part.stl")
    path = write_urdf(tmp_path / "arm/urdf/arm.urdf.xacro", "file://$(find arm)/meshes/part.stl", XACRO)
    robot = load_robot("arm", RobotRow(path, xacro_args={"length": "0.7"}))
    np.testing.assert_allclose(robot.T_tcp_to_last[:3, 3], [0.7, 0, 0])


@pytest.mark.parametrize(
    ("uri", "args", "message"),
    [
        ("part.stl", {}, "xacro cannot expand.*length.*xacro_args"),
        ("part.stl", {"lenght": "1"}, "length.*did not use: lenght"),
        ("$(find nothing)/part.stl", {"length": "1"}, "'nothing'"),
    ],
)
def test_xacro_that_cannot_be_expanded(uri, args, message, tmp_path):
    write_mesh(tmp_path / "part.stl")
    with pytest.raises(RobotError, match=message):
        load_robot("arm", RobotRow(write_urdf(tmp_path / "arm.xacro", uri, XACRO), xacro_args=args))


def test_a_misspelt_argument_is_an_error(tmp_path):
    """xacro itself ignores it, and the arm would silently have the default."""
    write_mesh(tmp_path / "part.stl")
    path = write_urdf(tmp_path / "arm.xacro", "part.stl", XACRO)
    with pytest.raises(UnknownNameError, match="no xacro argument 'lenght'. Did you mean 'length'"):
        load_robot("arm", RobotRow(path, xacro_args={"length": 0.7, "lenght": 0.8}))
    with pytest.raises(InvalidArgumentError, match="'arm.urdf' is not a .xacro file"):
        load_robot("arm", RobotRow(write_urdf(tmp_path / "arm.urdf", "part.stl"), xacro_args={"length": 0.7}))


def test_xacro_reads_booleans_in_lower_case(tmp_path):
    write_mesh(tmp_path / "part.stl")
    text = XACRO.replace("$(arg length)", "${{0.7 if '$(arg long)' == 'true' else 0.1}}")
    robot = load_robot("arm", RobotRow(write_urdf(tmp_path / "arm.xacro", "part.stl", text), xacro_args={"long": True}))
    np.testing.assert_allclose(robot.T_tcp_to_last[:3, 3], [0.7, 0, 0])


ENTITIES = {
    "external": '<!ENTITY e SYSTEM "file:///etc/hostname">',
    "of a parameter": '<!ENTITY % e SYSTEM "file:///etc/hostname"> %e;',
    "repeated": '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">',
}


@pytest.mark.parametrize("suffix", ["urdf", "xacro"])
@pytest.mark.parametrize("kind", ENTITIES)
def test_an_entity_is_refused(kind, suffix, tmp_path):
    path = tmp_path / f"arm.{suffix}"
    path.write_text(f"<!DOCTYPE robot [{ENTITIES[kind]}]>" + URDF.format("part.stl"))
    with pytest.raises(RobotError, match="declares the XML entity"):
        load_robot("arm", RobotRow(str(path)))


def test_an_include_is_not_a_robot(tmp_path):
    path = tmp_path / "part.urdf"
    path.write_text('<robot xmlns:xacro="http://wiki.ros.org/xacro"><!-- macros --></robot>')
    with pytest.raises(RobotError, match=r"has no <link>.*give the file that includes it"):
        load_robot("part", RobotRow(str(path)))


def test_a_path_is_a_robot_for_gym_make(tmp_path):
    write_mesh(tmp_path / "part.stl")
    path = write_urdf(tmp_path / "my-arm.urdf", "part.stl")
    env = gym.make("SCARA-v0", robot=path)
    assert env.unwrapped.core.robot.name == "my_arm" and env.action_space.shape == (1,)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()


@pytest.mark.parametrize("robot", ["nowhere.urdf", "nowhere.urdf.xacro"])
def test_a_path_that_does_not_exist(robot):
    with pytest.raises(RobotError, match=f"'{robot}' does not exist"):
        make_robot(robot)


def test_descriptions_by_name(monkeypatch, tmp_path):
    pytest.importorskip("robot_descriptions")
    with pytest.raises(UnknownNameError, match="no robot 'ur5ee_description'. Did you mean 'ur5e"):
        make_robot("ur5ee_description")
    # The description's repository is fetched with git. Without a network that fails, and the error says so.
    monkeypatch.setenv("ROBOT_DESCRIPTIONS_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(RobotError, match="'ur5e_description' cannot be fetched.*network"):
        make_robot("ur5e_description")


def test_descriptions_that_are_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"robot_descriptions.*gym_gazebo2\[robots\]"):
        make_robot("ur5e_description")


def test_assumptions_are_logged_in_one_line(tmp_path, caplog):
    write_mesh(tmp_path / "part.stl")
    with caplog.at_level(logging.WARNING, logger="gym_gazebo2.robots"):
        robot = load_robot("logged", RobotRow(write_urdf(tmp_path / "arm.urdf", "part.stl")))
    assert len(caplog.records) == 1 and "\n" not in caplog.text.strip()
    assert all(assumption in caplog.text for assumption in robot.assumptions)


def test_assumptions_about_what_the_arm_touches(tmp_path):
    """The floor, and links that are seen but have no collision shape."""
    write_mesh(tmp_path / "part.stl")
    path = write_urdf(tmp_path / "arm.urdf", "part.stl")
    assert "The base stands on the floor (set mount_height to raise it)." in load_robot("arm", RobotRow(path)).assumptions
    assert not any("floor" in sentence for sentence in load_robot("arm", RobotRow(path, mount_height=0.1)).assumptions)
    leg = '<collision><origin xyz="0 0 -0.45"/><geometry><cylinder radius="0.1" length="0.9"/></geometry></collision>'
    text = URDF.replace('<link name="base"/>', f'<link name="base">{leg}</link>')
    path = write_urdf(tmp_path / "leg.urdf", "part.stl", text)
    sentence = "The base reaches {:.2f} m into the floor (mount_height 0.90 raises it)."
    assert sentence.format(0.9) in load_robot("leg", RobotRow(path)).assumptions
    assert sentence.format(0.4) in load_robot("leg", RobotRow(path, mount_height=0.5)).assumptions
    assert not any("floor" in sentence for sentence in load_robot("leg", RobotRow(path, mount_height=0.9)).assumptions)
    text = re.sub("<collision>.*</collision>", "", URDF)
    robot = load_robot("bare", RobotRow(write_urdf(tmp_path / "bare.urdf", "part.stl", text)))
    assert "These links have no <collision>, so they touch nothing: arm." in robot.assumptions
