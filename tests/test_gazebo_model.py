"""The Gazebo world of a robot: the same links, joints, shapes and masses as everywhere else."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.robots import ROBOTS, RobotSpec, make_robot


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    library = tmp_path / "libplugin.so"
    library.touch()
    return library


@pytest.fixture(params=sorted(ROBOTS))
def robot(request: pytest.FixtureRequest) -> RobotSpec:
    return make_robot(request.param)


def count_urdf(robot: RobotSpec) -> tuple[int, int]:
    root = ET.parse(robot.urdf).getroot()
    return len(root.findall("link")), len(root.findall("link/collision"))


def test_has_the_urdfs_links_shapes_and_mass(robot: RobotSpec, plugin: Path) -> None:
    model = ET.fromstring(make_world(robot, plugin)).find(f"world/model[@name='{robot.name}']")
    assert model is not None
    assert (len(model.findall("link")), len(model.findall("link/collision"))) == count_urdf(robot)
    assert [j.get("name") for j in model.findall("joint[@type='revolute']")] == list(robot.joint_names)
    assert model.find(f"link[@name='{robot.tool_frame}']") is not None
    masses = ET.parse(robot.urdf).getroot().findall("link/inertial/mass")
    frames = 1e-3 * sum(link.find("inertial") is None for link in ET.parse(robot.urdf).getroot().findall("link"))
    written = sum(float(mass.text or "nan") for mass in model.findall("link/inertial/mass"))
    assert written == pytest.approx(sum(float(mass.attrib["value"]) for mass in masses) + frames, abs=1e-12)


def test_has_as_many_links_and_shapes_as_the_embedded_model(robot: RobotSpec) -> None:
    mujoco = pytest.importorskip("gym_gazebo2.backends.mujoco")
    model = mujoco.MujocoBackend(robot).model
    assert (model.nbody - 1, model.ngeom - 1) == count_urdf(robot)


@pytest.mark.parametrize("name", sorted(ROBOTS))
def test_gazebo_itself_has_them_all(name: str) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")
    from .gazebo_client import find_gazebo, serve

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
    assert (lines.count("link {"), lines.count("collision {")) == count_urdf(robot)


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
    from gym_gazebo2.gazebo.model import _format_pose

    for roll, pitch, yaw in [(0.3, -0.7, 2.0), (0.0, np.pi / 2, 0.4), (-1.0, -np.pi / 2, 0.0), (3.0, 1.5, -3.0)]:
        T = np.eye(4)
        T[:3, :3] = rotate(roll, pitch, yaw)
        back = [float(text) for text in _format_pose(T).split()]
        assert np.allclose(rotate(*back[3:]), T[:3, :3], atol=1e-9)


def rotate(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Return Rz(yaw) Ry(pitch) Rx(roll)."""
    cos, sin = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    Rx = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    Ry = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    Rz = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return Rz @ Ry @ Rx
