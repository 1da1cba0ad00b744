"""Towards the robot: a gripper with a controller of its own, and objects that a perception node reports.

The robot is MuJoCo in real time. A relay in this process gives it a gripper of its own, as a real one has: commands of arm and
fingers come on two topics, and so do their states.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.ros2.messages import ObjectReading
from gym_gazebo2.backends.ros2.object_feed import ObjectFeed
from gym_gazebo2.errors import BackendError, InvalidArgumentError
from gym_gazebo2.ros import Graph, JointState, JointTrajectory
from gym_gazebo2.ros.topics import Float64MultiArray, MultiDOFJointState, make_objects
from gym_gazebo2.state import Placement

from .sim_process import Sim, run_sim

ONE = np.ones(1, dtype=bool)
FINGERS = ["panda_finger_joint1", "panda_finger_joint2"]
PERCEPTION_PERIOD_S = 0.05
TRAJECTORY, PLAIN = "/near/hand/joint_trajectory", "/near/hand/commands"


@contextmanager
def spinning(graph: Graph, work: Callable[[], None] = lambda: None, period: float = 0.05) -> Iterator[None]:
    """Let a node take its messages in a thread, and do some work once a period [s]."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            work()
            graph.wait(stop.is_set, period)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        graph.close()


@contextmanager
def separate_hand(domain: int) -> Iterator[dict[str, int]]:
    """Relay commands of /near's arm and hand to /far, and its states back on two topics; counts messages of each command."""
    graph, fingers, counts = Graph(domain), [0.04, 0.04], {TRAJECTORY: 0, PLAIN: 0}
    commands = graph.publish(JointTrajectory, "/far/joint_trajectory_controller/joint_trajectory")
    arm_states, hand_states = (graph.publish(JointState, f"/near/{name}") for name in ("joint_states", "hand/joint_states"))

    def on_arm(message: JointTrajectory) -> None:
        assert len(message.joint_names) == 7
        message.joint_names = [*message.joint_names, *FINGERS]
        message.points[0].positions = [*message.points[0].positions, *fingers]
        commands.publish(message)

    def on_trajectory(message: JointTrajectory) -> None:
        assert list(message.joint_names) == FINGERS
        counts[TRAJECTORY] += 1
        fingers[:] = message.points[0].positions

    def on_plain(message: Float64MultiArray) -> None:
        counts[PLAIN] += 1
        fingers[:] = message.data

    def on_state(message: JointState) -> None:
        for publisher, rows in ((hand_states, slice(7, 9)), (arm_states, slice(0, 7))):
            part = JointState(name=message.name[rows], position=message.position[rows], velocity=message.velocity[rows])
            part.header = message.header
            publisher.publish(part)

    graph.subscribe(JointTrajectory, "/near/joint_trajectory_controller/joint_trajectory", on_arm)
    graph.subscribe(JointTrajectory, TRAJECTORY, on_trajectory)
    graph.subscribe(Float64MultiArray, PLAIN, on_plain)
    graph.subscribe(JointState, "/far/joint_states", on_state)
    with spinning(graph):
        yield counts


class Perception:
    """A node that reports objects on /near/objects, as long as ``seen`` names some."""

    def __init__(self, domain: int, topic: str = "/near/objects") -> None:
        self.graph = Graph(domain)
        self.seen: dict[str, np.ndarray] = {}
        self._publisher = self.graph.publish(MultiDOFJointState, topic)

    def report(self) -> None:
        if seen := dict(self.seen):
            transforms, _ = make_objects(np.array(list(seen.values())), np.zeros((0, 6)))
            self._publisher.publish(MultiDOFJointState(joint_names=list(seen), transforms=transforms))


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with run_sim("panda", "--gripper", "--mount-height", "0.4", "--real-time", "--robot-only", "--namespace", "far") as running:
        yield running


@pytest.fixture(scope="module")
def core():
    env = gym.make("PandaSort-v0", num_objects=2, backend="fake")
    yield env.unwrapped.core
    env.close()


@pytest.fixture(scope="module")
def hand(sim: Sim) -> Iterator[dict[str, int]]:
    with separate_hand(sim.domain) as counts:
        yield counts


@pytest.fixture
def perception(sim: Sim) -> Iterator[Perception]:
    node = Perception(sim.domain)
    with spinning(node.graph, node.report, PERCEPTION_PERIOD_S):
        yield node


def connect(sim: Sim, core, scene=None, **options):
    own = {"namespace": "near", "gripper_states": "hand/joint_states", "stale_after": 2.0, "reset_speed": 1.0, "timeout": 10.0}
    return make_backend("ros2", core.robot, domain_id=sim.domain, scene=scene, **own | options)


@pytest.mark.parametrize("options", [{"gripper_controller": "hand"}, {"gripper_topic": PLAIN}], ids=["controller", "plain"])
def test_a_gripper_with_a_controller_of_its_own_opens_and_closes(sim, core, hand, options) -> None:
    before, used = dict(hand), TRAJECTORY if "gripper_controller" in options else PLAIN
    with closing(connect(sim, core, **options)) as backend:
        state = backend.reset(ONE, core.robot.home[None])
        np.testing.assert_allclose(state.q[0, 7:], 0.04, atol=2e-3)
        goal = state.q_setpoint.copy()
        for _ in range(12):
            goal = np.concatenate([goal[:, :7], np.maximum(goal[:, 7:] - 0.005, 0.01)], axis=1)
            state = backend.step(goal)
        np.testing.assert_allclose(state.q[0, 7:], 0.01, atol=3e-3)
        np.testing.assert_allclose(state.q[0, :7], core.robot.home[:7], atol=0.02)
    assert hand[used] - before[used] >= 12 and all(hand[name] == before[name] for name in hand if name != used)


def test_objects_of_a_perception_node_are_those_of_the_episode(sim, core, hand, perception) -> None:
    """The task asks for two members of the pool; on the table are another one and one of them."""
    wanted = Placement(np.array([[0, 9]]), np.zeros((1, 2, 7)))
    wanted.pose[0, :, :4] = [[0.5, 0.0, 0.05, 1.0], [0.6, 0.1, 0.05, 1.0]]
    names = core.task.scene.pool.names
    perception.seen = {names[9]: np.array([0.55, 0.1, 0.02, 1, 0, 0, 0]), names[4]: np.array([0.6, -0.1, 0.02, 1, 0, 0, 0])}
    with closing(connect(sim, core, core.task.scene, gripper_controller="hand", objects_stale_after=0.6)) as backend:
        state = backend.reset(ONE, core.robot.home[None], wanted)
        assert state.objects.index.tolist() == [[9, 4]], "those that were asked for come first"
        np.testing.assert_allclose(state.objects.pose[0], [perception.seen[names[i]] for i in (9, 4)])
        perception.seen[names[4]] = np.array([0.6, -0.2, 0.02, 1, 0, 0, 0])
        for _ in range(6):
            state = backend.step(state.q_setpoint, np.array([[True, False]]))
        assert state.objects.is_parked.tolist() == [[True, False]] and state.objects.pose[0, 1, 1] == -0.2
        perception.seen = {names[9]: perception.seen[names[9]]}
        with pytest.raises(
            BackendError, match=rf"newest pose of '{names[4]}' on /near/objects is 0.\d+ s old, expected at most 0.6"
        ):
            for _ in range(60):
                state = backend.step(state.q_setpoint)


def test_too_few_objects_are_an_error(sim, core, hand, perception) -> None:
    wanted = Placement(np.array([[0, 9]]), np.tile([0.5, 0.0, 0.05, 1.0, 0, 0, 0], (1, 2, 1)))
    wanted.pose[0, 1, 1] = 0.2
    perception.seen = {"cup": np.array([0.5, 0, 0.02, 1, 0, 0, 0]), "cube3": np.array([0.6, 0, 0.02, 1, 0, 0, 0])}
    with (
        closing(connect(sim, core, core.task.scene, gripper_controller="hand", timeout=10.0)) as backend,
        pytest.raises(BackendError, match=r"reports the objects \['cup', 'cube3'\], expected 2 of the scene's pool: cube0"),
    ):
        backend.reset(ONE, core.robot.home[None], wanted)


def test_a_gripper_topic_needs_a_driven_gripper_and_a_robot(sim, core) -> None:
    with pytest.raises(InvalidArgumentError, match="gripper_controller and gripper_topic are both given"):
        connect(sim, core, gripper_controller="hand", gripper_topic="/hand/commands")
    with pytest.raises(InvalidArgumentError, match="the environment does not drive the gripper"):
        make_backend("ros2", core.robot.chain, domain_id=sim.domain, namespace="near", gripper_topic="/hand/commands")
    refused = pytest.raises(
        BackendError, match="takes all joints in one command, and nothing from /panda/hand/joint_trajectory"
    )
    with run_sim("panda", "--gripper") as lock_step, refused:
        make_backend("ros2", core.robot, domain_id=lock_step.domain, gripper_controller="hand", timeout=10.0)


def read(names: list[str], poses: list[list[float]], stamp: int, twists: list[list[float]] | None = None) -> ObjectReading:
    return ObjectReading(stamp, "", names, np.array(poses, dtype=float), np.array(twists or [], dtype=float).reshape(-1, 6))


def test_velocities_are_estimated_if_none_are_reported() -> None:
    feed, half = ObjectFeed("/objects", 1.0), np.sqrt(0.5)
    feed.add(read(["cube"], [[0, 0, 0, 1, 0, 0, 0]], 10_000_000_000), 0.0)
    feed.add(
        read(["cube"], [[0.1, 0, 0, -half, 0, 0, -half]], 10_500_000_000), 0.5
    )  # a quarter turn about z; −q is the same turn
    np.testing.assert_allclose(feed.get(["cube"], 0.6, 10_500_000_000).twist[0], [0.2, 0, 0, 0, 0, np.pi], atol=1e-12)
    feed.add(read(["cube"], [[0.2, 0, 0, 1, 0, 0, 0]], 11_000_000_000, [[1, 2, 3, 4, 5, 6]]), 1.0)
    np.testing.assert_array_equal(feed.get(["cube"], 1.0, 0).twist[0], [1, 2, 3, 4, 5, 6])


def test_age_counts_from_arrival_and_from_the_stamp() -> None:
    feed = ObjectFeed("/objects", 0.5)
    with pytest.raises(BackendError, match="has never reported the object 'cube'; it reports no object"):
        feed.get(["cube"], 0.0, 0)
    feed.add(read(["cube"], [[0, 0, 0, 1, 0, 0, 0]], 2_000_000_000), 1.0)
    feed.get(["cube"], 1.4, 2_400_000_000)
    for now, stamp in ((1.6, 2_000_000_000), (1.0, 2_600_000_000)):
        with pytest.raises(BackendError, match="is 0.60 s old, expected at most 0.5 s"):
            feed.get(["cube"], now, stamp)
    feed.add(read(["cube"], [[0, 0, 0, 1, 0, 0, 0]], 0), time.monotonic())  # without a stamp, the arrival alone counts
    feed.get(["cube"], time.monotonic(), 2_600_000_000)
