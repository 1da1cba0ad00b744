"""A node with its own executor, and the one function that waits for messages, with a time limit."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any

from gym_gazebo2.errors import BackendError, MissingDependencyError, RosError
from gym_gazebo2.ownership import tie_to_process
from gym_gazebo2.ros.discovery import check_domain, local_discovery, read_domain
from gym_gazebo2.ros.middleware import check_discovery_range, check_profiles, list_settings
from gym_gazebo2.ros.topics import make_qos

try:
    import rclpy
    import rclpy.duration
    from rclpy.context import Context
    from rclpy.executors import ExternalShutdownException
    from rclpy.impl.implementation_singleton import rclpy_implementation
    from rclpy.parameter import Parameter
except ImportError as error:
    raise MissingDependencyError("rclpy", "ros2") from error
try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # as in Humble
    from rclpy.qos_event import SubscriptionEventCallbacks
try:
    # The C++ executor (Jazzy and later) takes half the processor time per message, so a step of Gazebo takes a sixth less time.
    from rclpy.experimental import EventsExecutor as Executor
except ImportError:
    from rclpy.executors import SingleThreadedExecutor as Executor

__all__ = ["Graph", "get_middleware"]

SPIN_SLICE_S = 0.05
"""Longest uninterrupted wait [s]. Between two slices ``watch`` is called, so that a dead server is noticed this soon."""
LOST_INTERRUPT = "Unable to convert call argument"
"""Message of the RuntimeError that rclpy raises if Ctrl-C came while it converted a message: the KeyboardInterrupt is lost."""


class Graph:
    """A node in an rclpy context of its own, so that a user's own rclpy nodes can live in the same process.

    Attributes:
        node: The rclpy node.
        domain_id: Its ROS domain.
        best_effort: Topics that are received as best effort, because their publisher does not offer reliable delivery.
        watch: Called about 20 times a second while messages are waited for; raises if the other side is known to be dead.
    """

    def __init__(self, domain_id: int | None = None, watch: Callable[[], None] = lambda: None, is_local: bool = False) -> None:
        """Make the node.

        Args:
            domain_id: ROS domain; None takes ROS_DOMAIN_ID, or 0.
            watch: See the attribute.
            is_local: Discover nodes of this machine only; False leaves the range to ``ROS_AUTOMATIC_DISCOVERY_RANGE``.

        Raises:
            InvalidArgumentError: The domain is not an integer from 0 to 101, or the discovery range is unknown.
            MiddlewareError: Fast DDS cannot read the profiles that the shell names.
            RosError: The middleware cannot start, because of a setting of the user's shell.
        """
        check_discovery_range()
        check_profiles()
        self.domain_id = read_domain() if domain_id is None else check_domain(domain_id)
        self.watch, self.best_effort = watch, set[str]()
        self._incompatible: list[Callable[[], None]] = []
        self._next_watch = 0.0
        self._context = Context()
        try:
            self.node = self._make_node(is_local)
        except (rclpy_implementation.RCLError, RuntimeError) as error:
            if self._context.ok():
                self._context.shutdown()
            raise RosError(
                f"The middleware of ROS 2 cannot start: {' '.join(str(error).split())}. Its settings in this shell: "
                f"{list_settings()}. Correct them, or unset those that this machine does not need."
            ) from error
        self._executor = Executor(context=self._context)
        self._executor.add_node(self.node)
        self._translate_errors = _ErrorTranslator(self.check_open)
        self._owner, self._is_closed = tie_to_process(self), False

    def _make_node(self, is_local: bool) -> Any:
        with local_discovery() if is_local else contextlib.nullcontext():
            # No arguments: by default rclpy would parse the command line of the user's program.
            # No log file: its library, spdlog, waits for ever in a fork of a process in which it had a thread.
            self._context.init(args=[], initialize_logging=False, domain_id=self.domain_id)
        return rclpy.create_node(
            f"gym_gazebo2_{uuid.uuid4().hex[:8]}",
            context=self._context,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )

    def publish(self, kind: type, topic: str, keep: bool = False) -> Any:
        """Return a publisher, reliable with depth 1; ``keep`` also delivers the last message to later subscribers."""
        return self.node.create_publisher(kind, topic, make_qos(keep))

    def subscribe(self, kind: type, topic: str, callback: Callable[[Any], None], keep: bool = False) -> None:
        """Call back with each message, reliable with depth 1.

        A reliable subscription does not match a best-effort publisher; DDS reports that as an event. The subscription is then
        made again as best effort, and ``best_effort`` holds the topic.

        Args:
            kind: Type of the messages.
            topic: Name of the topic.
            callback: Called with each message.
            keep: Also receive the last message of a publisher that came before (it must have been made with ``keep``).
        """

        def on_incompatible(_: Any) -> None:
            # A subscription must not be destroyed inside its own event callback, so wait() calls resubscribe() afterwards.
            self._incompatible.append(resubscribe)

        def resubscribe() -> None:
            if topic not in self.best_effort:
                self.best_effort.add(topic)
                self.node.destroy_subscription(reliable)
                self.node.create_subscription(kind, topic, callback, make_qos(keep, reliable=False))

        events = SubscriptionEventCallbacks(incompatible_qos=on_incompatible, use_default_callbacks=False)
        reliable = self.node.create_subscription(kind, topic, callback, make_qos(keep), event_callbacks=events)

    def wait(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Take messages until a condition holds or the time is over.

        Args:
            predicate: The condition, checked after every message.
            timeout: Longest wait [s].

        Returns:
            Whether the condition holds.

        Raises:
            BackendError: A signal shut ROS down in this process, or ``watch`` raised it.
        """
        self.check_open()
        deadline = time.monotonic() + timeout
        while not predicate():
            now = time.monotonic()
            if now >= deadline:
                return False
            if now >= self._next_watch:
                self.watch()
                self._next_watch = now + SPIN_SLICE_S
            with self._translate_errors:
                self._executor.spin_once(timeout_sec=min(deadline - now, SPIN_SLICE_S))
            while self._incompatible:
                self._incompatible.pop()()
        return True

    def drain(self) -> None:
        """Take the messages that are queued, without waiting: at most one per topic, because the queues have depth 1."""
        self.check_open()
        with self._translate_errors:
            for _ in list(self.node.subscriptions):
                self._executor.spin_once(timeout_sec=0.0)

    def wait_acknowledged(self, publisher: Any, timeout: float) -> bool:
        """Return whether every reliable subscriber acknowledged the publisher's last message within ``timeout`` [s]."""
        with self._translate_errors:
            return bool(publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=timeout)))

    def send(self, publisher: Any, message: Any) -> None:
        """Publish a message.

        Raises:
            BackendError: A signal shut ROS down in this process.
        """
        with self._translate_errors:
            publisher.publish(message)

    def find_services(self, kind: str) -> list[str]:
        """Return the names of the services of a type, such as "std_srvs/srv/Empty"."""
        return sorted(name for name, kinds in self.node.get_service_names_and_types() if kind in kinds)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent and received."""
        return bool(self._context.ok())

    def check_open(self) -> None:
        """Check that messages can be sent and received.

        Raises:
            UsageError: This process is a fork of the one that made the node.
            BackendError: ROS was shut down. After rclpy.init(), Ctrl-C shuts down all contexts of the process.
        """
        self._owner.check("ROS node")
        if not self.is_open:
            raise BackendError("ROS was shut down in this process, by Ctrl-C or a signal. Make a new environment.")

    def close(self) -> None:
        """Leave the graph; closing twice is fine, and in a fork of the process nothing happens."""
        if self._owner.is_here and not self._is_closed:
            self._is_closed = True
            # Also after a signal shut ROS down: the node's publishers would stay on the network until the process ends.
            self._executor.shutdown()
            self.node.destroy_node()
            self._context.try_shutdown()


class _ErrorTranslator:
    """Translates errors of rclpy that hide their cause: ROS was shut down, or Ctrl-C came, during a call.

    A class, because that is five times as fast as a generator-based context manager, and a step enters it about 20 times.
    """

    def __init__(self, check_open: Callable[[], None]) -> None:
        self._check_open = check_open

    def __enter__(self) -> None:
        """Begin a call."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """Raise a BackendError or KeyboardInterrupt instead of the call's own error, if that is its cause."""
        if isinstance(error, rclpy_implementation.RCLError | rclpy_implementation.InvalidHandle | ExternalShutdownException):
            self._check_open()
        elif isinstance(error, RuntimeError) and LOST_INTERRUPT in str(error):
            raise KeyboardInterrupt from error


def get_middleware() -> str:
    """Return the name of the middleware that messages go over, such as "rmw_fastrtps_cpp"."""
    name: str = rclpy.get_rmw_implementation_identifier()
    return name
