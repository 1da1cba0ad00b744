"""Robots as they are on ROS 2: names of topics and joints, one client per arm, stamps, and settings of the user's shell."""

import os
import re
import subprocess
import sys
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.algos import make_vec_env
from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.ros2.messages import JointReading
from gym_gazebo2.backends.ros2.state_stream import StateStream
from gym_gazebo2.doctor import examine
from gym_gazebo2.errors import BackendError, InvalidArgumentError, MiddlewareError, UnknownNameError
from gym_gazebo2.robots import make_robot
from gym_gazebo2.ros import Graph, Topics
from gym_gazebo2.sim import SimConfig, simulate

from .sim_process import Sim, run_sim

ROBOT_NAMES = {
    "namespace": "",
    "controller": "scaled_joint_trajectory_controller",
    "joint_prefix": "left_",
    "remap": {"joint_states": "/arm/joint_states"},
}
ARGUMENTS = (
    *("--namespace", "", "--controller", "scaled_joint_trajectory_controller", "--joint-prefix", "left_"),
    *("--remap", "joint_states:=/arm/joint_states"),
)


def make(sim: Sim, **options):
    return gym.make("SCARA-v0", backend="ros2", backend_options={"domain_id": sim.domain, "stale_after": 5.0, **options})


@pytest.mark.parametrize("mode", [(), ("--real-time",), ("--real-time", "--robot-only")], ids=["lock-step", "free", "robot"])
def test_root_namespace_controller_prefix_and_remapping(mode):
    with run_sim("scara", *mode, *ARGUMENTS) as sim:
        assert "/scaled_joint_trajectory_controller/joint_trajectory" in sim.shown and "/arm/joint_states" in sim.shown
        with closing(make(sim, reset_speed=1.0, **ROBOT_NAMES)) as env:
            first, _ = env.reset(seed=0)
            moved = [env.step(np.ones(3))[0] for _ in range(3)][-1]
            assert np.abs(moved[:3] - first[:3]).max() > 0.05


def test_a_missing_prefix_is_named():
    missing = pytest.raises(BackendError, match=r"brings the joints \['left_motor1'.*\(joint_prefix\)")
    with run_sim("scara", "--real-time", "--robot-only", "--joint-prefix", "left_") as sim, missing:
        make(sim, timeout=3.0)


@pytest.mark.parametrize(
    ("names", "error"),
    [
        ({"namespace": "9"}, InvalidArgumentError),
        ({"namespace": "a", "controller": ""}, InvalidArgumentError),
        ({"namespace": "a", "remap": {"joint_states": "a b"}}, InvalidArgumentError),
        ({"namespace": "a", "remap": "joint_states"}, InvalidArgumentError),
        ({"namespace": "a", "remap": {"states": "b"}}, UnknownNameError),
    ],
)
def test_invalid_names(names, error):
    with pytest.raises(error):
        Topics(**names)


def test_names_of_topics():
    topics = Topics("/left/", "arm/mover", {"joint_states": "states", "clock": "/time"})
    assert (topics.command, topics.state) == ("/left/arm/mover/joint_trajectory", "/left/states")
    assert (topics.place, topics.clock, topics.reset_world) == ("/left/place", "/time", "/reset_world")
    assert Topics("/").state == "/joint_states"


@pytest.mark.parametrize("names", [{"namespace": ""}, {"controller": "mine"}, {"joint_prefix": "a"}, {"remap": "clock:=/c"}])
def test_the_plugin_of_gazebo_keeps_the_usual_names(names):
    with pytest.raises(InvalidArgumentError, match="only the provider mujoco"):
        simulate(SimConfig(robot="scara", provider="gazebo", **names))


def test_a_remapping_has_pairs():
    with pytest.raises(InvalidArgumentError, match="joint_states:=/arm/states"):
        simulate(SimConfig(robot="scara", remap="joint_states /arm/joint_states"))


def test_a_second_client_of_an_arm_is_refused():
    with run_sim("scara", "--real-time") as sim, closing(make(sim, reset_speed=1.0)) as env:
        env.reset(seed=0)
        with pytest.raises(BackendError, match="also publishes on /scara/joint_trajectory_controller/joint_trajectory"):
            make(sim)
        env.step(env.action_space.sample())
        env.close()
        make(sim).close()  # the first one has left, so the next is welcome


def test_one_process_per_environment_does_not_share_an_arm():
    with run_sim("scara", "--real-time") as sim, pytest.raises((BackendError, ConnectionError, EOFError)):
        options = {"domain_id": sim.domain, "stale_after": 5.0}
        make_vec_env("SCARA-v0", 2, vec="subproc", backend="ros2", backend_options=options).reset()


def test_stamps_that_stand_still_are_the_cause_that_is_named():
    robot = make_robot("scara")
    stream = StateStream(robot, lambda reading: (reading.position, reading.velocity), "/scara/joint_states", 0.05)
    reading = JointReading(0, "", robot.joint_names, robot.home, np.zeros(robot.dof))
    for k in range(10):
        stream.add(reading, 0.1 * k)
    with pytest.raises(BackendError, match="their stamps do not advance: the last one is 0 ns.*header.stamp"):
        stream.get_newest(1.0, 0.15)
    with pytest.raises(BackendError, match="Check that the robot is on"):
        stream.get_newest(9.0, 0.15)


def test_a_joint_beyond_its_limit_is_no_unstable_simulation():
    backend = make_backend("fake", make_robot("scara"))
    backend.reset(np.ones(1, dtype=bool), backend.robot.home[None])
    beyond = backend.robot.upper[None] + 1.0
    with pytest.raises(BackendError, match="beyond its limit, at a possible speed"):
        backend._check_sane(beyond, np.zeros_like(beyond))
    for q, dq in ((beyond * np.nan, beyond), (backend.robot.home[None], beyond + 1e9)):
        with pytest.raises(BackendError, match="unstable.*smaller physics step"):
            backend._check_sane(q, dq)


MAKE = """
import gymnasium as gym
from gym_gazebo2.errors import GymGazebo2Error
try:
    gym.make("SCARA-v0", backend="{backend}", backend_options={{"timeout": 1.0}})
except GymGazebo2Error as error:
    print(error)
"""


@pytest.mark.parametrize("backend", ["gazebo", "ros2"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"RMW_IMPLEMENTATION": "rmw_of_nobody_cpp"}, "'rmw_of_nobody_cpp', which is not installed"),
        ({"ROS_STATIC_PEERS": "not..a..host"}, "ROS_STATIC_PEERS=not..a..host"),
        ({"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}, "ROS_SECURITY_ENABLE=true"),
    ],
)
def test_a_setting_of_the_middleware_is_an_error_and_no_exit(settings, message, backend):
    command = [sys.executable, "-c", MAKE.format(backend=backend)]
    environment = os.environ | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"} | settings
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(message, done.stdout)


def test_doctor_says_the_same(monkeypatch):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_of_nobody_cpp")
    for finding in examine(("ROS 2", "middleware", "ROS domain")):
        assert finding.state == "broken" and "'rmw_of_nobody_cpp', which is not installed" in finding.found
        assert finding.remedy == "unset RMW_IMPLEMENTATION"


PROFILE = """<?xml version="1.0" encoding="UTF-8" ?>
<dds xmlns="http://www.eprosima.com"><profiles>
  <participant profile_name="mine" is_default_profile="true"><rtps><{tag}>mine</{tag}></rtps></participant>
</profiles></dds>
"""
FILES = {
    "missing": (None, "realpath failed|Error opening"),
    "no XML": ("<profiles><part", "Error opening|Error parsing"),
    "an unknown element": (PROFILE.format(tag="colour"), "Invalid element found .* Name: colour"),
}


@pytest.fixture(params=["FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"])
def variable(request):
    return request.param


@pytest.mark.parametrize("case", FILES)
def test_profiles_that_fast_dds_cannot_read_are_an_error(case, variable, tmp_path, monkeypatch):
    """Fast DDS itself only logs it, and goes on with other settings."""
    text, complaint = FILES[case]
    if text is not None:
        (tmp_path / "profiles.xml").write_text(text)
    monkeypatch.setenv(variable, str(tmp_path / "profiles.xml"))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    message = rf"Fast DDS cannot read its profiles \({variable}=.*profiles.xml\): {complaint}.*or: unset {variable}"
    with pytest.raises(MiddlewareError, match=message):
        make_backend("ros2", make_robot("scara"), timeout=1.0)
    [finding] = examine(["middleware"])
    assert finding.state == "broken" and re.search(complaint, finding.found) and finding.remedy == f"unset {variable}"


def test_profiles_that_fast_dds_can_read_are_used(variable, tmp_path, monkeypatch):
    (tmp_path / "profiles.xml").write_text(PROFILE.format(tag="name"))
    monkeypatch.setenv(variable, str(tmp_path / "profiles.xml"))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    Graph(0).close()
    monkeypatch.setenv(variable, str(tmp_path / "missing.xml"))
    with pytest.raises(MiddlewareError):  # a file that was found before says nothing about another one
        Graph(0)


def test_an_unknown_discovery_range_is_an_error(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "everywhere")
    with pytest.raises(InvalidArgumentError, match="SUBNET, LOCALHOST, OFF, SYSTEM_DEFAULT"):
        Graph(0)


def test_settings_are_named_where_nothing_is_found(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    with run_sim("scara") as sim:
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
        with pytest.raises(BackendError, match="ROS_AUTOMATIC_DISCOVERY_RANGE=OFF"):
            make(sim, timeout=2.0)
