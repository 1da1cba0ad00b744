"""ROS 2 for everything here: a graph of its own, the topics of the contract, the one bounded wait.

The only module that imports rclpy. It knows nothing of arms, tasks or simulators.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from gym_gazebo2.errors import BackendError, InvalidArgumentError, MissingDependencyError
from gym_gazebo2.gazebo.ports import check_domain
from gym_gazebo2.gazebo.serve import local_discovery

try:
    import rclpy
    import rclpy.duration
    from builtin_interfaces.msg import Duration, Time
    from geometry_msgs.msg import WrenchStamped
    from rclpy.context import Context
    from rclpy.executors import ExternalShutdownException
    from rclpy.impl.implementation_singleton import rclpy_implementation
    from rclpy.parameter import Parameter
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from rclpy.serialization import deserialize_message, serialize_message
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import JointState
    from std_msgs.msg import String
    from std_srvs.srv import Empty
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
except ImportError as error:
    raise MissingDependencyError("rclpy", "ros2") from error
try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # as in Humble
    from rclpy.qos_event import SubscriptionEventCallbacks
try:  # written in C++, where there is one: half the processor time of a message, a sixth off a step of Gazebo
    from rclpy.experimental import EventsExecutor as Executor
except ImportError:
    from rclpy.executors import SingleThreadedExecutor as Executor

__all__ = [
    "Clock",
    "Duration",
    "Empty",
    "Graph",
    "JointState",
    "JointTrajectory",
    "JointTrajectoryPoint",
    "String",
    "Time",
    "Topics",
    "WrenchStamped",
    "deserialize_message",
    "from_ns",
    "get_middleware",
    "read_domain",
    "serialize_message",
    "to_ns",
]

NAMESPACE = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", re.ASCII)
GLANCE = 0.05
"""Longest uninterrupted wait: as often, ``watch`` is asked whether the other side lives [s]."""
SECOND = 1_000_000_000
LOST = "Unable to convert call argument"
"""What rclpy says where a signal's handler raised while a message became a Python object: the exception itself is gone."""


@dataclasses.dataclass(frozen=True)
class Topics:
    """Names of the contract for one robot (design, section 4)."""

    namespace: str

    def __post_init__(self) -> None:
        """Store the namespace without slashes around it.

        Raises:
            InvalidArgumentError: It cannot be a ROS namespace.
        """
        if not (isinstance(self.namespace, str) and NAMESPACE.fullmatch(self.namespace)):
            expected = "names of letters, digits and underscores, none of which begins with a digit, with slashes between them"
            raise InvalidArgumentError("namespace", self.namespace, expected)
        object.__setattr__(self, "namespace", self.namespace.strip("/"))

    command = property(lambda self: f"/{self.namespace}/joint_trajectory_controller/joint_trajectory")
    state = property(lambda self: f"/{self.namespace}/joint_states")
    contacts = property(lambda self: f"/{self.namespace}/contacts")
    place = property(lambda self: f"/{self.namespace}/place")
    provider = property(lambda self: f"/{self.namespace}/provider")
    clock, reset_world = "/clock", "/reset_world"


class Graph:
    """A node in a context of its own, so that a user's own rclpy nodes can live in the same process.

    Attributes:
        node: The rclpy node.
        domain_id: Its ROS domain.
        best_effort: Topics whose publisher offers less than reliable delivery, and which are now received as they come.
        watch: Called as often as messages are waited for; raises where the other side is known to be dead.
    """

    def __init__(self, domain_id: int | None = None, watch: Callable[[], None] = lambda: None, is_local: bool = False) -> None:
        """Join the graph.

        Args:
            domain_id: ROS domain; None takes ROS_DOMAIN_ID, or 0.
            watch: See the attribute.
            is_local: Discover on this machine only; False leaves that to ``ROS_AUTOMATIC_DISCOVERY_RANGE``.

        Raises:
            InvalidArgumentError: The domain is not one from 0 to 101.
        """
        self.domain_id = read_domain() if domain_id is None else check_domain(domain_id)
        self.watch, self.best_effort = watch, set[str]()
        self._refused: list[Callable[[], None]] = []
        self._next_watch = 0.0
        self._context = Context()
        with local_discovery() if is_local else contextlib.nullcontext():
            self._context.init(args=[], domain_id=self.domain_id)  # the command line is the user's program's
        self.node = rclpy.create_node(
            f"gym_gazebo2_{uuid.uuid4().hex[:8]}",
            context=self._context,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        self._executor = Executor(context=self._context)
        self._executor.add_node(self.node)
        self._explaining = _Explaining(self.check_open)

    def publish(self, kind: type, topic: str, keep: bool = False) -> Any:
        """Return a publisher, reliable with depth 1; ``keep`` hands the last message to those who come later."""
        return self.node.create_publisher(kind, topic, _make_qos(keep))

    def subscribe(self, kind: type, topic: str, callback: Callable[[Any], None], keep: bool = False, raw: bool = False) -> None:
        """Call back with each message, reliable with depth 1; best effort where the publisher offers no more.

        Args:
            kind: Type of its messages.
            topic: Its name.
            callback: Called with a message; with its bytes where ``raw``.
            keep: Get the last message of a publisher that came before.
            raw: Leave the messages serialised.
        """

        def refuse(_: Any) -> None:
            self._refused.append(settle)

        def settle() -> None:
            if topic not in self.best_effort:
                self.best_effort.add(topic)
                self.node.destroy_subscription(reliable)
                self.node.create_subscription(kind, topic, callback, _make_qos(keep, ReliabilityPolicy.BEST_EFFORT), raw=raw)

        events = SubscriptionEventCallbacks(incompatible_qos=refuse, use_default_callbacks=False)
        reliable = self.node.create_subscription(kind, topic, callback, _make_qos(keep), event_callbacks=events, raw=raw)

    def wait(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Take messages until something is true or the time is over: the one wait of everything that speaks ROS.

        Args:
            predicate: Asked after every message.
            timeout: Longest wait [s].

        Returns:
            Whether it became true.

        Raises:
            BackendError: The context was shut down by a signal.
        """
        self.check_open()
        deadline = time.monotonic() + timeout
        while not predicate():
            now = time.monotonic()
            if now >= deadline:
                return False
            if now >= self._next_watch:
                self.watch()
                self._next_watch = now + GLANCE
            with self._explaining:
                self._executor.spin_once(timeout_sec=min(deadline - now, GLANCE))
            while self._refused:  # not in the event's own callback: it must not destroy the subscription it belongs to
                self._refused.pop()()
        return True

    def drain(self) -> None:
        """Take what has come, without waiting: one message a topic, as that is all that is kept."""
        self.check_open()
        with self._explaining:
            for _ in list(self.node.subscriptions):
                self._executor.spin_once(timeout_sec=0.0)

    def wait_acknowledged(self, publisher: Any, timeout: float) -> bool:
        """Return whether every reliable reader confirmed the publisher's last message in time [s]."""
        with self._explaining:
            return bool(publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=timeout)))

    def send(self, publisher: Any, message: Any) -> None:
        """Publish a message.

        Raises:
            BackendError: The context was shut down by a signal.
        """
        with self._explaining:
            publisher.publish(message)

    def find_services(self, kind: str) -> list[str]:
        """Return the names of the services of a type, such as "std_srvs/srv/Empty"."""
        return sorted(name for name, kinds in self.node.get_service_names_and_types() if kind in kinds)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent and taken."""
        return bool(self._context.ok())

    def check_open(self) -> None:
        """Raise a BackendError where the context was shut down, as Ctrl-C does to all of a process that called rclpy.init()."""
        if not self.is_open:
            raise BackendError("ROS was shut down in this process, by Ctrl-C or a signal. Make a new environment.")

    def close(self) -> None:
        """Leave the graph; closing twice is fine."""
        if self.is_open:
            self._executor.shutdown()
            self.node.destroy_node()
            self._context.shutdown()


class _Explaining:
    """Says what rclpy does not: that ROS was shut down, or that Ctrl-C came, while a call was under way."""

    def __init__(self, check_open: Callable[[], None]) -> None:
        self._check_open = check_open

    def __enter__(self) -> None:
        """Begin a call."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """Raise a BackendError or KeyboardInterrupt where that is what the call's own error means."""
        if isinstance(error, rclpy_implementation.RCLError | rclpy_implementation.InvalidHandle | ExternalShutdownException):
            self._check_open()
        elif isinstance(error, RuntimeError) and LOST in str(error):
            raise KeyboardInterrupt from error


def _make_qos(keep: bool, reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE) -> QoSProfile:
    durability = DurabilityPolicy.TRANSIENT_LOCAL if keep else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=1, reliability=reliability, durability=durability)


def to_ns(stamp: Any) -> int:
    """Return a Time or Duration message as integer nanoseconds."""
    return int(stamp.sec) * SECOND + int(stamp.nanosec)


def from_ns(kind: type, nanoseconds: int) -> Any:
    """Return integer nanoseconds as a message of ``kind``: Time or Duration."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return kind(sec=seconds, nanosec=rest)


def read_domain() -> int:
    """Return ROS_DOMAIN_ID, or 0 where it is not set.

    Raises:
        InvalidArgumentError: It is not one from 0 to 101.
    """
    given = os.environ.get("ROS_DOMAIN_ID") or "0"
    return check_domain(int(given) if given.isdigit() else given)


def get_middleware() -> str:
    """Return the name of the middleware that messages go over, such as "rmw_fastrtps_cpp"."""
    name: str = rclpy.get_rmw_implementation_identifier()
    return name
