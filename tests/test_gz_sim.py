"""The client of Gazebo Sim: stepped by calls that only queue, with a late clock; reset by commands; and freely running."""

from __future__ import annotations

import dataclasses
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

import rclpy
from rclpy.context import Context

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.backends.ros2.control_world import ControlWorld
from gym_gazebo2.backends.ros2.free_running import FreeRunning
from gym_gazebo2.cli import main
from gym_gazebo2.errors import BackendError
from gym_gazebo2.gazebo.gz_sim import WORLD, write_gz_sim
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import RobotRow, RobotSpec, load_robot, make_robot
from gym_gazebo2.ros import Domain
from gym_gazebo2.ros.topics import CONTROL_WORLD

from .arms import make_row
from .conftest import ROOT
from .gz_sim_node import GzSim, run_gz_sim
from .ros_gz_types import provide

ONE, SCARA, PERIOD = np.ones(1, dtype=bool), make_robot("scara"), 50_000_000


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The real type of the service, generated where ros_gz is not installed."""
    provide(tmp_path_factory.mktemp("ros_gz"))
    from ros_gz_interfaces.srv import ControlWorld as service

    return service


@pytest.fixture
def domain() -> Iterator[int]:
    taken = Domain()
    yield taken.id
    taken.release()


@pytest.fixture
def world(kind: Any, domain: int) -> Iterator[GzSim]:
    with run_gz_sim(SCARA, domain, kind=kind) as running:
        yield running


def connect(domain: int, **options: Any) -> Any:
    return closing(make_backend("ros2", SCARA, domain_id=domain, **{"timeout": 10.0} | options))


@pytest.mark.parametrize("name", ["mara", "scara", "scara4", "panda", "ur5e"])
def test_the_description_is_the_same_robot(name: str, tmp_path: Path) -> None:
    robot = make_robot(name)
    described = load_robot(name, RobotRow(write(robot, tmp_path), control_speed=float(robot.control_speed[0])))
    for field in ("joint_names", "lower", "upper", "velocity_limit", "effort_limit"):
        assert np.array_equal(getattr(described, field), getattr(robot, field)), field
    q = np.full((1, robot.dof), 0.3)
    tools = [Kinematics(each).compute_tcp_state(q, q * 0).position for each in (robot, described)]
    np.testing.assert_allclose(*tools, atol=1e-12)
    root = ET.parse(tmp_path / "robot.urdf").getroot()
    driven = [joint.get("name") for joint in root.findall("ros2_control/joint")]
    assert tuple(driven) == robot.joint_names
    fixed = {j.find("child").get("link") for j in root.findall("joint[@type='fixed']") if j.get("name") != "bolted_to_world"}  # type: ignore[union-attr]
    assert {link.get("name") for link in root.findall("link")} - {"world"} - fixed == {
        element.get("reference") for element in root.findall("gazebo") if element.findtext("gravity") == "false"
    }
    assert root.findtext("gazebo/self_collide") == "true"
    assert root.findtext("gazebo/plugin/parameters") == str(tmp_path / "controllers.yaml")
    assert root.findtext("gazebo/plugin/ros/namespace") == name


def test_links_that_touch_by_design_do_not_collide(tmp_path: Path) -> None:
    gantry = RobotRow(str(ROOT / "tests" / "data" / "gantry.urdf"), home=(0.0,) * 4)
    write(make_robot(gantry), tmp_path)
    assert ET.parse(tmp_path / "robot.urdf").getroot().find("gazebo/self_collide") is None


@pytest.mark.parametrize(("factor", "written"), [((), "0.0"), (("--real-time-factor", "1"), "1.0")])
def test_the_world_does_not_hold_lock_step_back(factor: tuple[str, ...], written: str, tmp_path: Path) -> None:
    assert main(["gz-sim", "scara", "--folder", str(tmp_path), *factor]) == 0
    assert ET.parse(tmp_path / "world.sdf").getroot().findtext("world/physics/real_time_factor") == written


@pytest.mark.parametrize("name", ["ur5", "tiago", "so101"])
def test_the_description_of_a_real_arm_is_whole(name: str, tmp_path: Path) -> None:
    robot = make_robot(dataclasses.replace(make_row(name), mount_height=0.4))
    meshes = str(Path(robot.urdf).parent)  # a URDF may name files of these folders only
    described = make_robot(RobotRow(write(robot, tmp_path), tool_frame=robot.tool_frame, srdf="", package_dirs=(meshes,)))
    q = np.random.default_rng(0).uniform(robot.range_lower, robot.range_upper, (10, robot.dof))
    tools = [Kinematics(each).compute_tcp_pose(q) for each in (robot, described)]
    np.testing.assert_allclose(*tools, atol=1e-9)
    root = ET.parse(tmp_path / "robot.urdf").getroot()
    files = [unquote(mesh.get("filename", "")) for mesh in root.iter("mesh")]
    assert files and all(file.startswith("file:///") and Path(file.removeprefix("file://")).is_file() for file in files)
    assert [link.get("name") for link in root.findall("link")].count("world") == 1
    assert ET.parse(tmp_path / "world.sdf").getroot().findtext("world/model[@name='floor']/pose") == "0 0 -0.4 0 0 0"


def write(robot: RobotSpec, folder: Path) -> str:
    text = write_gz_sim(robot, folder)
    assert (folder / "robot.urdf").read_text() == text
    return str(folder / "robot.urdf")


def test_ros_reads_the_controllers_parameters_in_any_namespace(tmp_path: Path) -> None:
    write_gz_sim(SCARA, tmp_path, physics_dt=0.002)
    context = Context()
    context.init(args=["--ros-args", "--params-file", str(tmp_path / "controllers.yaml")])
    read: dict[str, Any] = {}
    for name in ("controller_manager", "joint_trajectory_controller"):
        node = rclpy.create_node(
            name, namespace="left", context=context, automatically_declare_parameters_from_overrides=True, enable_rosout=False
        )
        read |= {key: node.get_parameter(key).value for key in node._parameters}
        node.destroy_node()
    context.shutdown()
    assert read["update_rate"] == 500, "one update a physics step: lock-step needs the state of the last one"
    assert read["joints"] == list(SCARA.joint_names) and read["command_interfaces"] == ["position"]
    assert read["joint_trajectory_controller.type"] == "joint_trajectory_controller/JointTrajectoryController"


def test_the_command_writes_the_files_and_prints_the_description(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gz-sim", "scara", "--folder", str(tmp_path), "--namespace", "left", "--physics-dt", "0.002"]) == 0
    root = ET.fromstring(capsys.readouterr().out)
    assert root.tag == "robot" and root.findtext("gazebo/plugin/ros/namespace") == "left"
    world = ET.parse(tmp_path / "world.sdf").getroot()
    assert world.findtext("world/physics/max_step_size") == "0.002" and world.find("world").get("name") == WORLD  # type: ignore[union-attr]
    assert main(["gz-sim", "scara", "--folder", str(tmp_path), "--physics-dt", "0.003"]) == 2
    assert "physics" in capsys.readouterr().err


def test_the_launch_file_steps_the_world_that_is_written() -> None:
    text = (ROOT / "launch" / "gz_sim.launch.py").read_text()
    assert f"/world/{WORLD}/control@{CONTROL_WORLD}" in text
    assert all(f"/{name}" in text for name in ("world.sdf", "controllers.yaml")) and "gym-gazebo2 gz-sim " in text


@pytest.mark.parametrize("is_paused", [True, False], ids=["paused", "running"])
def test_a_step_is_exactly_a_period(kind: Any, domain: int, is_paused: bool) -> None:
    with run_gz_sim(SCARA, domain, kind=kind, is_paused=is_paused) as world, connect(domain) as arm:
        assert isinstance(arm.pacing, ControlWorld) and arm.lock_step
        state = arm.reset(ONE, np.full((1, 3), 0.2))
        assert state.time[0] == 0 and np.abs(state.q - 0.2).max() < 0.02
        fake = FakeBackend(SCARA)
        fake.reset(ONE, state.q)
        for k in range(1, 21):
            goal = state.q_setpoint + 0.03 * np.sin(k)
            state, expected = arm.step(goal), fake.step(goal)
            assert state.time[0] == k * PERIOD, "to the nanosecond, though the clock is late and the call only queues"
            assert np.abs(state.q - expected.q).max() < 0.02, "the state is that of this step"
        assert world.resets == 0 and set(world.calls) == {1, 10}, "joints are put back by command, never by a reset"


def test_states_without_velocities_get_those_of_their_way(world: GzSim, domain: int) -> None:
    world.tells_velocities = False
    with connect(domain) as arm:
        state = arm.reset(ONE, np.full((1, 3), 0.2))
        assert np.abs(world.arm.dq).max() < 0.1, "an arm on its way is not taken for one at rest"
        for _ in range(8):
            before, state = state, arm.step(state.q_setpoint + 0.02)
            np.testing.assert_allclose(state.dq, (state.q - before.q) / 0.05)
        np.testing.assert_allclose(state.dq[0], world.arm.dq, rtol=0.1)


def test_time_stands_still_between_steps(world: GzSim, domain: int) -> None:
    with connect(domain) as arm:
        arm.reset(ONE, SCARA.home[None])
        before = world.arm.time
        assert not arm.link.graph.wait(lambda: world.arm.time != before, 0.3)
        arm.step(arm.q_setpoint)
        assert world.arm.time == before + PERIOD


def test_lost_steps_are_asked_for_again(world: GzSim, domain: int) -> None:
    with connect(domain) as arm:
        arm.reset(ONE, SCARA.home[None])
        world.lose_calls = 1
        assert [arm.step(arm.q_setpoint).time[0] for _ in range(3)] == [PERIOD, 2 * PERIOD, 3 * PERIOD]


def test_a_clock_that_is_late_makes_no_call_twice(world: GzSim, domain: int) -> None:
    with connect(domain) as arm:
        arm.reset(ONE, SCARA.home[None])
        world.calls.clear()
        world.clock_delay = 2.5
        state = arm.step(arm.q_setpoint + 0.05)
        assert state.time[0] == PERIOD and world.calls == [10]
        assert np.array_equal(state.q[0], world.arm.q), "the state is that of this step"


def test_a_call_that_was_run_twice_is_an_error_until_the_next_reset(world: GzSim, domain: int) -> None:
    with connect(domain) as arm:
        arm.reset(ONE, SCARA.home[None])
        world.calls.clear()
        world.clock_delay, world.lose_answers = 2.5, 1
        with pytest.raises(BackendError, match=r"expected \d+ ns at the end of 10 steps"):
            arm.step(arm.q_setpoint + 0.05)
        world.clock_delay = 0.02
        assert world.calls == [10, 10] and arm.reset(ONE, SCARA.home[None]).time[0] == 0
        state = arm.step(arm.q_setpoint)
        assert state.time[0] == PERIOD and np.array_equal(state.q[0], world.arm.q)


def test_a_world_that_went_on_between_steps_is_noticed_before_the_next(world: GzSim, domain: int) -> None:
    with connect(domain) as arm:
        arm.reset(ONE, SCARA.home[None])
        before, clock = len(world.calls), arm.pacing.clock
        world.run(3)
        assert arm.link.graph.wait(lambda: arm.pacing.clock == clock + 3 * PERIOD // 10, 5.0)
        with pytest.raises(BackendError, match=r"expected \d+ ns, where the last step ended.*another client steps"):
            arm.step(arm.q_setpoint)
        assert len(world.calls) == before and arm.reset(ONE, SCARA.home[None]).time[0] == 0
        assert arm.step(arm.q_setpoint).time[0] == PERIOD


def test_steps_of_others_are_noticed(world: GzSim, domain: int) -> None:
    with connect(domain) as arm:
        arm.reset(ONE, SCARA.home[None])
        world.extra_steps = 3
        with pytest.raises(BackendError, match=r"expected \d+ ns.*another client step"):
            for _ in range(2):
                arm.step(arm.q_setpoint)


def test_a_refused_call_says_so(world: GzSim, domain: int) -> None:
    with connect(domain) as arm:
        arm.reset(ONE, SCARA.home[None])
        world.refuse = True
        with pytest.raises(BackendError, match="/world/lab/control refused to step"):
            arm.step(arm.q_setpoint)


def test_a_world_that_hangs_is_an_error_after_the_deadline(world: GzSim, domain: int) -> None:
    with connect(domain, timeout=3.0) as arm:
        arm.reset(ONE, SCARA.home[None])
        world.lose_calls = 1000
        with pytest.raises(BackendError, match=r"The clock did not advance within 3 s after .* 10 physics steps"):
            arm.step(arm.q_setpoint)


def test_controllers_slower_than_the_physics_are_refused(world: GzSim, domain: int) -> None:
    world.update_every = 7
    with pytest.raises(BackendError, match="update_rate of the controller_manager"), connect(domain) as arm:
        arm.reset(ONE, SCARA.home[None])


def test_a_period_of_no_whole_number_of_physics_steps(world: GzSim, domain: int) -> None:
    with pytest.raises(BackendError, match="a whole number of the world's physics steps of 5000000 ns"):
        make_backend("ros2", SCARA, domain_id=domain, control_dt=0.052)


def test_without_ros_gz_it_runs_freely_and_lock_step_says_what_is_missing(kind: Any, domain: int, monkeypatch: Any) -> None:
    with run_gz_sim(SCARA, domain, kind=kind, is_paused=False):
        monkeypatch.setitem(sys.modules, "ros_gz_interfaces.srv", None)
        with pytest.raises(BackendError, match="ros_gz_interfaces is not installed"):
            make_backend("ros2", SCARA, domain_id=domain, lock_step=True)
        with connect(domain, stale_after=5.0, reset_speed=0.5) as arm:
            assert isinstance(arm.pacing, FreeRunning)
            state = arm.reset(ONE, SCARA.home[None])
            errors = []
            for k in range(20):
                goal = state.q_setpoint + 0.03 * np.sin(k)
                state = arm.step(goal)
                errors.append(np.abs(state.q - goal).max())
            assert np.median(errors) < 0.03


def test_freely_running_where_asked_for(kind: Any, domain: int) -> None:
    with run_gz_sim(SCARA, domain, kind=kind, is_paused=False) as world:
        with connect(domain, lock_step=False, stale_after=5.0) as arm:
            assert arm.reset(ONE, SCARA.home[None]).time[0] == 0
            assert arm.step(arm.q_setpoint).time[0] >= PERIOD
        assert not world.calls, "nobody pauses a world that is to run freely"


def test_several_worlds_want_a_name(world: GzSim, kind: Any, domain: int) -> None:
    world.graph.node.create_service(kind, "/world/other/control", lambda request, response: response)
    with pytest.raises(BackendError, match=r"option world is None.*/world/lab/control, /world/other/control"):
        make_backend("ros2", SCARA, domain_id=domain)
    with connect(domain, world="lab") as arm:
        arm.reset(ONE, SCARA.home[None])
        assert arm.step(arm.q_setpoint).time[0] == PERIOD
