"""The Gazebo world of a robot: the same links, joints, shapes and masses as everywhere else."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.gazebo.arm_sdf import FRAME_MASS
from gym_gazebo2.gazebo.locate import find_gazebo
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.gazebo.sdf import format_pose
from gym_gazebo2.robots import ROBOTS, RobotRow, RobotSpec, make_robot

from .arms import ARMS, make_row
from .conftest import ROOT
from .sdf_masses import find_top, read_pose, rotate, sum_embedded, sum_link

GANTRY = RobotRow(str(ROOT / "tests" / "data" / "gantry.urdf"), home=(0.0,) * 4)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    library = tmp_path / "libplugin.so"
    library.touch()
    return library


@pytest.fixture(params=sorted(ROBOTS))
def robot(request: pytest.FixtureRequest) -> RobotSpec:
    return make_robot(request.param)


def list_written(robot: RobotSpec) -> list[ET.Element]:
    """Return the links that become bodies: all but frames without mass and shapes, of which only the tool's is kept."""
    links = ET.parse(robot.urdf).getroot().findall("link")
    return [link for link in links if len(link) or link.get("name") in (robot.tool_frame, robot.base_link)]


def count_written(robot: RobotSpec) -> tuple[int, int]:
    return len(list_written(robot)), count_urdf(robot)[1]


def count_urdf(robot: RobotSpec) -> tuple[int, int]:
    root = ET.parse(robot.urdf).getroot()
    return len(root.findall("link")), len(root.findall("link/collision"))


def test_has_the_urdfs_links_shapes_and_mass(robot: RobotSpec, plugin: Path) -> None:
    model = ET.fromstring(make_world(robot, plugin)).find(f"world/model[@name='{robot.name}']")
    assert model is not None
    assert (len(model.findall("link")), len(model.findall("link/collision"))) == count_written(robot)
    assert [j.get("name") for j in model.findall("joint[@type='revolute']")] == list(robot.joint_names)
    assert model.find(f"link[@name='{robot.tool_frame}']") is not None
    masses = ET.parse(robot.urdf).getroot().findall("link/inertial/mass")
    frames = 1e-3 * sum(link.find("inertial") is None for link in list_written(robot))
    written = sum(float(mass.text or "nan") for mass in model.findall("link/inertial/mass"))
    assert written == pytest.approx(sum(float(mass.attrib["value"]) for mass in masses) + frames, abs=1e-12)


def test_has_as_many_links_and_shapes_as_the_embedded_model(robot: RobotSpec) -> None:
    mujoco = pytest.importorskip("gym_gazebo2.backends.mujoco")
    model = mujoco.MujocoBackend(robot).model
    assert (model.nbody - 1, model.ngeom - 1) == count_urdf(robot)


@pytest.mark.gazebo11
@pytest.mark.parametrize("name", sorted(ROBOTS))
def test_gazebo_itself_has_them_all(name: str) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")
    from .gazebo_client import serve

    robot, gazebo = make_robot(name), find_gazebo()
    with serve(robot, gazebo_topics=True, real_time_factor=1.0) as (server, _):
        assert gazebo is not None
        gz = gazebo.gzserver.with_name(gazebo.gzserver.name.replace("gzserver", "gz"))
        command = [str(gz), "model", "-m", name, "-i"]
        for _ in range(5):  # Gazebo's own tool aborts now and then, before or after its answer
            told = subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=30, check=False)
            lines = [line.strip() for line in told.stdout.splitlines()]
            if lines and told.returncode == 0:
                break
    assert (lines.count("link {"), lines.count("collision {")) == count_written(robot)


def test_numbers_of_the_drive_survive_exactly(robot: RobotSpec, plugin: Path) -> None:
    rows = ET.fromstring(make_world(robot, plugin)).findall("world/plugin/joint")
    for key, values in (("drive_inertia", robot.drive_inertia), ("lower", robot.lower), ("effort", robot.effort_limit)):
        assert [float(row.findtext(key) or "nan") for row in rows] == list(values)


def test_modes(robot: RobotSpec, plugin: Path) -> None:
    def read(world: str, path: str) -> str | None:
        return ET.fromstring(world).findtext(f"world/{path}")

    lock_step, real_time = make_world(robot, plugin), make_world(robot, plugin, real_time_factor=2.0, namespace="left")
    assert read(lock_step, "plugin/lock_step") == "true" and read(real_time, "plugin/lock_step") == "false"
    assert float(read(lock_step, "physics/real_time_update_rate") or "nan") == 0.0
    assert float(read(real_time, "physics/real_time_update_rate") or "nan") == pytest.approx(2000.0)
    assert (read(lock_step, "plugin/namespace"), read(real_time, "plugin/namespace")) == (robot.name, "left")


def test_period_must_be_whole_physics_steps(robot: RobotSpec, plugin: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="whole number of physics steps"):
        make_world(robot, plugin, control_dt=0.05, physics_dt=0.003)


@pytest.mark.parametrize("factor", [-1.0, np.nan, np.inf, "fast"])
def test_time_runs_neither_backwards_nor_beyond_measure(robot: RobotSpec, plugin: Path, factor: float) -> None:
    with pytest.raises(InvalidArgumentError, match="real-time factor of at least 0"):
        make_world(robot, plugin, real_time_factor=factor)


def test_rotations_come_out_as_sdf_wants_them() -> None:
    for roll, pitch, yaw in [(0.3, -0.7, 2.0), (0.0, np.pi / 2, 0.4), (-1.0, -np.pi / 2, 0.0), (3.0, 1.5, -3.0)]:
        T = np.eye(4)
        T[:3, :3] = rotate(roll, pitch, yaw)
        back = [float(text) for text in format_pose(T).split()]
        assert np.allclose(rotate(*back[3:]), T[:3, :3], atol=1e-9)


@pytest.fixture(params=[*ARMS, "gantry"])
def real(request: pytest.FixtureRequest) -> RobotSpec:
    return make_robot(GANTRY if request.param == "gantry" else make_row(request.param))


def read_model(robot: RobotSpec, plugin: Path) -> tuple[ET.Element, ET.Element]:
    """Return the model and the plug-in of a robot's world."""
    world = ET.fromstring(make_world(robot, plugin))
    model, served = world.find(f"world/model[@name='{robot.name}']"), world.find("world/plugin")
    assert model is not None and served is not None
    return model, served


def test_bodies_have_the_masses_of_the_embedded_model(real: RobotSpec, plugin: Path) -> None:
    expected = sum_embedded(real)
    model, _ = read_model(real, plugin)
    written = {name: np.zeros(13) for name in expected}
    for link in model.findall("link[kinematic='false']"):
        if link.findtext("inertial/mass") != FRAME_MASS:
            written[find_top(model, link.get("name", ""))] += sum_link(link)
    for name, sums in expected.items():
        np.testing.assert_allclose(written[name], sums, rtol=1e-6, atol=1e-9, err_msg=name)


def test_the_pairs_that_can_collide_are_those_of_the_embedded_model(real: RobotSpec, plugin: Path) -> None:
    scene = pytest.importorskip("gym_gazebo2.backends.mujoco.scene")
    embedded = scene.make_physics_model(real, 0.005)
    welded = {embedded.body(i).name: int(embedded.body_weldid[i]) for i in range(embedded.nbody)}
    # MuJoCo never collides two links of one rigid body.
    expected = {frozenset(pair) for pair in scene.list_collision_pairs(embedded) if welded[pair[0]] != welded[pair[1]]}
    model, served = read_model(real, plugin)
    shapes = {link.get("name"): link for link in model.findall("link[collision]")}
    pairs = {frozenset(pair) for pair in itertools.combinations(shapes, 2)}
    pairs -= {frozenset((row.findtext("link1"), row.findtext("link2"))) for row in served.findall("excluded")}
    pairs -= {frozenset((joint.findtext("parent"), joint.findtext("child"))) for joint in model.findall("joint")}
    fixed = {name for name, link in shapes.items() if link.findtext("kinematic") == "true"}
    assert not any(pair <= fixed for pair in pairs)
    masks = {name: int(link.findtext("collision/surface/contact/collide_bitmask") or "65535") for name, link in shapes.items()}
    pairs |= {frozenset((name, "world")) for name, mask in masks.items() if mask & 1 and name not in fixed}
    assert pairs == expected


def test_meshes_are_files_that_gazebo_finds(real: RobotSpec, plugin: Path) -> None:
    model, _ = read_model(real, plugin)
    names = [uri.text or "" for uri in model.findall(".//mesh/uri")]
    assert all(name.startswith("file:///") and Path(name.removeprefix("file://")).is_file() for name in names)
    meshes = [shape for shape in model.findall("link/collision") if shape.find("geometry/mesh") is not None]
    assert {shape.findtext("max_contacts") for shape in meshes} <= {"1"}


def test_the_ground_is_nobodys_link(plugin: Path) -> None:
    """In SDF "world" is the ground. A robot whose root has this name, and carries the first joint, keeps it under another."""
    model, _ = read_model(make_robot(GANTRY), plugin)
    assert model.findtext("joint/parent") == "world_link"
    assert model.find("link[@name='world']") is None and model.find("link[@name='world_link']") is not None


def test_a_mounted_base_is_above_the_floor(plugin: Path) -> None:
    row = dataclasses.replace(GANTRY, mount_height=0.7)
    floor = ET.fromstring(make_world(make_robot(row), plugin)).find("world/model[@name='floor']")
    assert floor is not None and read_pose(floor)[2, 3] == -0.7
    flat = ET.fromstring(make_world(make_robot("mara"), plugin)).find("world/model[@name='floor']")
    assert flat is not None and flat.find("pose") is None
