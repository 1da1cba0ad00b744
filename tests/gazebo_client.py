"""A plain rclpy client of the ROS 2 contract, for tests of the provider: sends, and waits with a deadline."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import WrenchStamped
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Empty
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gym_gazebo2.gazebo.build import build_plugin
from gym_gazebo2.gazebo.installation import Installation
from gym_gazebo2.gazebo.serve import SIMULATORS
from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros import Domain, find_ros

from .simulator import SIMULATOR

Array = NDArray[np.float64]
TIMEOUT = 20.0
LOCAL = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def find_simulator() -> Installation:
    """Return the simulator of the tests; skip the test if there is none."""
    row = SIMULATORS[SIMULATOR]
    return row.find() or pytest.skip(row.missing)


def write_world(robot: RobotSpec, **options: Any) -> str:
    """Return the world of a robot for the simulator of the tests."""
    return SIMULATORS[SIMULATOR].make_world(robot, build_plugin(find_simulator(), find_ros()), **options)


def start_server(robot: RobotSpec, domain: int, edit: Callable[[str], str] = str, **options: Any) -> GazeboServer:
    """Start a server of a robot, and wait until it is ready; ``edit`` may change the world's text."""
    return start_world(find_simulator(), edit(write_world(robot, **options)), domain)


def start_world(simulator: Installation, world: str, domain: int) -> GazeboServer:
    """Start a server with a world, and wait until it is ready."""
    server = GazeboServer(simulator, world, {**find_ros().make_environment(), **LOCAL, "ROS_DOMAIN_ID": str(domain)})
    server.wait_ready()
    return server


@contextlib.contextmanager
def serve(
    robot: RobotSpec, start: Callable[..., GazeboServer] = start_server, **options: Any
) -> Iterator[tuple[GazeboServer, Client]]:
    """Serve a robot in a domain of its own, with a connected client."""
    domain = Domain()
    with contextlib.closing(start(robot, domain.id, **options)) as server:
        client = Client(domain.id, options.get("namespace") or robot.name, robot.joint_names)
        try:
            client.connect()
            yield server, client
        finally:
            client.close()
            domain.release()


class Client:
    """Steps one provider; ``q`` and ``dq`` are in the order of ``joints``."""

    def __init__(self, domain: int, namespace: str, joints: Sequence[str], observes: bool = False) -> None:
        os.environ.update(LOCAL)
        self.context, self.joints = Context(), list(joints)
        self.context.init(domain_id=domain)
        self.node = rclpy.create_node("client", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.states: list[JointState] = []
        self.contacts: list[WrenchStamped] = []
        self.clocks: list[int] = []
        self.provider: dict[str, Any] = {}
        prefix = f"/{namespace}"
        node, once = self.node, QoSProfile(depth=1)
        kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        if not observes:  # an arm in real time has one client
            command = f"{prefix}/joint_trajectory_controller/joint_trajectory"
            self.commands = node.create_publisher(JointTrajectory, command, once)
        self.places = node.create_publisher(JointState, f"{prefix}/place", once)
        self.resets = node.create_client(Empty, "/reset_world")
        node.create_subscription(JointState, f"{prefix}/joint_states", self.states.append, once)
        node.create_subscription(WrenchStamped, f"{prefix}/contacts", self.contacts.append, once)
        node.create_subscription(Clock, "/clock", lambda m: self.clocks.append(to_ns(m.clock)), once)
        node.create_subscription(String, f"{prefix}/provider", lambda m: self.provider.update(json.loads(m.data)), kept)
        self._tokens = (f"{uuid.uuid4().hex}:{k}" for k in itertools.count())

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()

    def spin_until(self, predicate: Callable[[], Any], timeout: float = TIMEOUT) -> bool:
        end = time.monotonic() + timeout
        while not predicate():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.executor.spin_once(timeout_sec=left)
        return True

    def connect(self) -> None:
        """Wait until every topic has its other end."""
        writers, readers = [self.commands, self.places], list(self.node.subscriptions)
        found = self.spin_until_found(lambda: all(w.get_subscription_count() for w in writers) and self.provider)
        assert found and len(readers) >= 4, "the provider was not discovered"

    def spin_until_found(self, predicate: Callable[[], Any], timeout: float = TIMEOUT) -> bool:
        """Discovery wakes no executor, so look again ten times a second."""
        end = time.monotonic() + timeout
        while not predicate() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.1)
        return bool(predicate())

    def ask(self, publisher: Any, message: Any, token: str | None = None, timeout: float = TIMEOUT) -> JointState:
        """Publish with a token, again every half second, until the state that carries it has come."""
        message.header.frame_id = token or next(self._tokens)
        self.states.clear()
        self.contacts.clear()
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            publisher.publish(message)
            if self.spin_until(lambda: any(s.header.frame_id == message.header.frame_id for s in self.states), 0.5):
                return next(s for s in self.states if s.header.frame_id == message.header.frame_id)
        raise TimeoutError(f"no state with the token {message.header.frame_id}")

    def place(self, q: Sequence[float] | Array, token: str | None = None) -> JointState:
        return self.ask(self.places, JointState(name=self.joints, position=[float(v) for v in q]), token)

    def step(self, q: Sequence[float] | Array, dt: float = 0.05, token: str | None = None) -> JointState:
        return self.ask(self.commands, self.make_command(q, dt), token)

    def make_command(self, q: Sequence[float] | Array, dt: float = 0.05) -> JointTrajectory:
        duration = Duration(sec=int(dt), nanosec=round((dt - int(dt)) * 1e9))
        point = JointTrajectoryPoint(positions=[float(v) for v in q], time_from_start=duration)
        return JointTrajectory(joint_names=self.joints, points=[point])

    def reset_world(self) -> None:
        assert self.resets.wait_for_service(timeout_sec=TIMEOUT)
        future = self.resets.call_async(Empty.Request())
        assert self.spin_until(future.done)


def to_ns(stamp: Any) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def get_q(state: JointState) -> Array:
    return np.array(state.position)


def walk(robot: RobotSpec, rng: np.random.Generator, q: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """Yield set-points of actions that change by at most 0.2 a period."""
    setpoint, action = q.copy(), np.zeros(robot.dof)
    for _ in range(steps):
        action = np.clip(action + rng.uniform(-0.2, 0.2, robot.dof), -1, 1)
        setpoint = np.clip(setpoint + action * robot.control_speed * 0.05, robot.lower, robot.upper)
        yield setpoint


def contact_force(client: Client, state: JointState) -> float:
    """Return the force that belongs to a state: same stamp, same token."""
    assert client.spin_until(lambda: any(contact.header == state.header for contact in client.contacts))
    return next(contact.wrench.force.x for contact in client.contacts if contact.header == state.header)
