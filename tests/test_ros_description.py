"""A robot from a running ROS 2: the topic and the parameter /robot_description, from real nodes over DDS."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium as gym
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from gym_gazebo2.algos import TrainConfig, train
from gym_gazebo2.cli import main
from gym_gazebo2.errors import InvalidArgumentError, RobotError, RosError
from gym_gazebo2.robots import find_urdf, load_robot, make_robot
from gym_gazebo2.robots.fetched import fetch_urdf
from gym_gazebo2.ros import Domain
from gym_gazebo2.ros.description import fetch_text

from .arms import find_robots, make_row
from .conftest import ROOT

UR5E = find_urdf("ur5e.urdf").read_text()
FOUND_S = 6.0
"""Time in which a node is discovered even where its first announcement was lost: the next one comes 3 s later."""
KEPT = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(autouse=True)
def domain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """A ROS domain and a cache of the test's own; nothing that earlier tests have fetched."""
    own = Domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(own.id))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fetch_urdf.cache_clear()
    load_robot.cache_clear()
    yield own.id
    fetch_urdf.cache_clear()
    load_robot.cache_clear()
    own.release()


class Nodes:
    """Nodes of rclpy that hold descriptions as a state publisher does. One thread makes and spins them all."""

    def __init__(self, domain: int) -> None:
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue()
        self._is_closing = False
        self._thread = threading.Thread(target=self._spin, args=(domain,))
        self._thread.start()

    def _spin(self, domain: int) -> None:
        self._context = Context()
        self._context.init(domain_id=domain)
        executor = self._executor = SingleThreadedExecutor(context=self._context)
        while not self._is_closing:
            executor.spin_once(timeout_sec=0.02)
            with contextlib.suppress(queue.Empty):
                self._jobs.get_nowait()()
        executor.shutdown()
        self._context.shutdown()

    def add(self, name: str, namespace: str = "/", set_up: Callable[[Node], object] = lambda node: None) -> None:
        """Make a node, and set it up."""
        done = threading.Event()

        def make() -> None:
            node = rclpy.create_node(name, namespace=namespace, context=self._context)
            set_up(node)
            self._executor.add_node(node)
            done.set()

        self._jobs.put(make)
        assert done.wait(10.0)

    def add_parameter(self, node: str, namespace: str, name: str, value: object) -> None:
        self.add(node, namespace, lambda made: made.declare_parameter(name, value))

    def add_topic(self, text: str, topic: str = "/robot_description", qos: QoSProfile = KEPT, node: str = "publisher") -> None:
        self.add(node, "/", lambda made: made.create_publisher(String, topic, qos).publish(String(data=text)))

    def close(self) -> None:
        self._is_closing = True
        self._thread.join(10.0)


@pytest.fixture
def nodes(domain: int) -> Iterator[Nodes]:
    with contextlib.closing(Nodes(domain)) as running:
        yield running


def test_the_topic_that_a_state_publisher_keeps(nodes: Nodes) -> None:
    nodes.add_topic(UR5E)
    robot, file = make_robot("ros:/robot_description"), make_robot("ur5e")
    assert robot.name == "ur5e" and robot.joint_names == file.joint_names
    assert robot.upper.tolist() == file.upper.tolist() and robot.T_tcp_to_last.tolist() == file.T_tcp_to_last.tolist()
    env = gym.make("Reach-v0", robot="ros:/robot_description")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()


WHERE = {
    "of a node in the same namespace": ("robot_state_publisher", "/left", "ros:/left/robot_description"),
    "of a node in the root namespace": ("robot_state_publisher", "/", "ros:/robot_description"),
    "of a node that is named": ("describer", "/left", "ros:/left/describer/robot_description"),
}


@pytest.mark.parametrize("where", WHERE)
def test_the_parameter(where: str, nodes: Nodes) -> None:
    name, namespace, robot = WHERE[where]
    nodes.add("other", namespace)  # asked, too: it has no such parameter
    nodes.add_parameter(name, namespace, "robot_description", UR5E)
    assert make_robot(robot).name == "ur5e"


def test_a_node_that_comes_later_is_found(nodes: Nodes) -> None:
    later = threading.Timer(1.0, lambda: nodes.add_topic("<robot/>"))
    later.start()
    assert fetch_text("/robot_description") == "<robot/>"
    later.join(10.0)


def test_meshes_and_packages_of_an_arm_that_is_not_here_as_a_file(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meshes by package://, where ROS looks for packages, and the declaration of another encoding."""
    text = Path(make_row("ur5").urdf).read_text()
    nodes.add_topic(re.sub(r"^<\?xml[^>]*>", '<?xml version="1.0" encoding="latin-1"?>', text), "/arm/description")
    with pytest.raises(RobotError, match="package://example-robot-data.*was not found.*with package_dirs"):
        make_robot("ros:/arm/description")
    monkeypatch.setenv("ROS_PACKAGE_PATH", str(find_robots().parents[1]))
    robot, file = make_robot("ros:/arm/description"), make_robot(make_row("ur5").urdf)
    assert robot.excluded_pairs == file.excluded_pairs and "meshes" not in Path(robot.urdf).read_text()


WRONG = {
    "is empty": (" ", RosError, "The topic /robot_description holds an empty text.*Check the node that sets it"),
    "is no XML": ("name: arm", RobotError, "'ros:/robot_description' is malformed: .*line 1"),
    "is SDF": ("<sdf/>", RobotError, "'ros:/robot_description' is no URDF: its first element is <sdf>"),
    "has an entity": ('<!DOCTYPE r [<!ENTITY a "b">]><robot name="a"/>', RobotError, "declares the XML entity 'a'"),
    "has no arm": ('<robot name="a"><link name="b"/></robot>', RobotError, "a.urdf"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_description_that(case: str, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_gazebo2.ros.description.fetch_text.__defaults__", (FOUND_S,))
    text, error, message = WRONG[case]
    nodes.add_topic(text)
    with pytest.raises(error, match=message):
        make_robot("ros:/robot_description")


def test_errors_name_what_is_there(nodes: Nodes, domain: int) -> None:
    start = time.monotonic()
    with pytest.raises(RosError, match=f"No node of domain {domain} publishes /robot_description or has the parameter") as none:
        fetch_text("/robot_description", timeout=2.0)
    assert 2.0 <= time.monotonic() - start < 8.0
    assert str(none.value).endswith("Start robot_state_publisher, or check the name and ROS_DOMAIN_ID.")
    nodes.add_parameter("bare", "/", "speed", 3.0)
    with pytest.raises(RosError, match="Nodes without the parameter: /bare. Settings .* Start"):
        fetch_text("/robot_description", timeout=FOUND_S)
    with pytest.raises(RosError, match="The parameter speed of /bare is not a string.*Give the name of one that is"):
        fetch_text("/speed", timeout=FOUND_S)
    nodes.add_topic(UR5E, qos=QoSProfile(depth=1))
    with pytest.raises(RosError, match="/robot_description has 1 publisher, but no text came within 6 s. .*transient local"):
        fetch_text("/robot_description", timeout=FOUND_S)
    for name in ("robot_description", "/robot description", "/", ""):
        with pytest.raises(InvalidArgumentError, match="the full name of a topic or parameter, such as /robot_description"):
            fetch_text(name)


def test_it_is_fetched_once_per_process(nodes: Nodes) -> None:
    nodes.add_topic(UR5E)
    robot = make_robot("ros:/robot_description")
    nodes.add_topic("<robot/>", node="second")
    assert make_robot("ros:/robot_description") is robot


def test_commands_take_it(
    nodes: Nodes, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the check to a trained run that needs no ROS any more, in a process that imports rclpy only to fetch."""
    monkeypatch.chdir(tmp_path)
    nodes.add_topic(UR5E)
    assert main(["robot", "ros:/robot_description", "--json", "--picture"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert "--robot ros:/robot_description" in result["command"] and (tmp_path / "ur5e.png").is_file()
    few = {"steps": 40, "num_envs": 4, "max_episode_steps": 10, "eval_runs": 2, "progress": "quiet"}
    few |= {"hyperparameters": {"n_steps": 10, "batch_size": 40}}
    run = train(TrainConfig("Reach-v0", robot="ros:/robot_description", out="run", vec="subproc", **few))
    fetch_urdf.cache_clear()
    nodes.close()
    assert "ros:" not in (run.path / "config.json").read_text()  # later processes do not depend on the ROS 2 of then
    call = f"main(['evaluate', {str(run.path)!r}, '--runs', '2'])"
    code = f"import sys; from gym_gazebo2.cli import main; {call}; print('rclpy' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "False", done.stderr
