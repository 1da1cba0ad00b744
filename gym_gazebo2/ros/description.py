"""Fetch a text that a running ROS 2 holds: on a latched topic, or as a parameter of a node, as ``/robot_description``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, RosError
from gym_gazebo2.ros.graph import Graph
from gym_gazebo2.ros.middleware import list_settings
from gym_gazebo2.ros.topics import NAMESPACE, String

try:
    from rcl_interfaces.msg import ParameterType
    from rcl_interfaces.srv import GetParameters
except ImportError as error:
    raise MissingDependencyError("rclpy", "ros2") from error

__all__ = ["DEADLINE_S", "fetch_text"]

DEADLINE_S = 10.0
"""Longest wait for the text [s]. Discovery takes up to 2 s in a large network."""
ASK_AFTER_S = 1.0
"""Time for the topic alone [s]. A state publisher has both, and a node should not be asked without need."""
ANSWER_S = 1.0
"""Longest wait for answers that are not needed any more [s]: a node logs a warning if the one that asked has gone."""
GET_PARAMETERS, SUFFIX = "rcl_interfaces/srv/GetParameters", "/get_parameters"
"""Type, and end of the name, of the service with which every node answers for its parameters."""


def fetch_text(name: str, timeout: float = DEADLINE_S) -> str:
    """Return the text of a topic or a parameter, whichever is found first.

    Args:
        name: Full name. /arm/robot_description is the topic of that name; the parameter ``robot_description`` of the node /arm;
            or that parameter of any node in the namespace /arm. The topic's publisher keeps its last message (durability
            "transient local"), as that of ``robot_state_publisher``.
        timeout: Longest wait [s].

    Raises:
        InvalidArgumentError: It is no full name of ROS 2.
        RosError: No node holds it in time, or it is empty; or the middleware cannot start.
    """
    if not (name.startswith("/") and NAMESPACE.fullmatch(name)):
        raise InvalidArgumentError("name", name, "the full name of a topic or parameter, such as /robot_description")
    with contextlib.closing(Graph()) as graph:
        search = _Search(graph, name.rstrip("/"))
        if not graph.wait(search.has_text, min(ASK_AFTER_S, timeout)):
            graph.wait(search.ask, timeout - ASK_AFTER_S)
        graph.wait(search.is_answered, ANSWER_S)
        if search.has_text():
            return search.text
        found, advice = search.explain(timeout)
        raise RosError(f"{found} Settings of the middleware here: {list_settings()}. {advice}")


class _Search:
    """Listens to the topic, and asks each node that may have the parameter once.

    Attributes:
        text: The first text that came and is not empty.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        self._graph, self._name = graph, name
        self._owner, _, self._parameter = name.rpartition("/")
        self.text, self._empty, self._other = "", list[str](), list[str]()
        self._clients: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}  # node → future of its answer
        graph.subscribe(String, name, lambda message: self._take(f"the topic {name}", message.data), keep=True)

    def has_text(self) -> bool:
        """Return whether the text is there."""
        return bool(self.text.strip())

    def is_answered(self) -> bool:
        """Return whether every node that was asked has answered."""
        return all(future.done() for future in self._asked.values())

    def ask(self) -> bool:
        """Ask the nodes that were discovered since the last call; return whether the text is there."""
        for node in self._list_nodes():
            if node not in self._clients:
                self._clients[node] = self._graph.node.create_client(GetParameters, f"{node}{SUFFIX}")
            if node not in self._asked and self._clients[node].service_is_ready():
                request = GetParameters.Request(names=[self._parameter])
                future = self._asked[node] = self._clients[node].call_async(request)
                future.add_done_callback(lambda done, node=node: self._take_parameter(node, done.result()))
        return self.has_text()

    def explain(self, timeout: float) -> tuple[str, str]:
        """Return what was found instead of a text, and what to do."""
        domain = self._graph.domain_id
        if self._empty:
            return f"{' and '.join(self._empty)} holds an empty text.", "Check the node that sets it."
        if self._other:
            return f"{' and '.join(self._other)} is not a string.", "Give the name of one that is."
        if publishers := self._graph.node.count_publishers(self._name):
            return (
                f"{self._name} has {publishers} publisher{'s' * (publishers > 1)}, but no text came within {timeout:g} s.",
                "Let it publish a std_msgs/String and keep its last message (transient local).",
            )
        asked = f" Nodes without the parameter: {', '.join(sorted(self._asked))}." if self._asked else ""
        return (
            f"No node of domain {domain} publishes {self._name} or has the parameter {self._parameter!r} within {timeout:g} s."
            f"{asked}",
            "Start robot_state_publisher, or check the name and ROS_DOMAIN_ID.",
        )

    def _list_nodes(self) -> Iterator[str]:
        """Yield the nodes that may have the parameter: the one that the name begins with, and those in that namespace."""
        for service in self._graph.find_services(GET_PARAMETERS):
            node = service.removesuffix(SUFFIX)
            if self._owner in (node, node.rpartition("/")[0]):
                yield node

    def _take_parameter(self, node: str, response: Any) -> None:
        for value in response.values:
            if value.type == ParameterType.PARAMETER_STRING:
                self._take(f"the parameter {self._parameter} of {node}", value.string_value)
            elif value.type != ParameterType.PARAMETER_NOT_SET:
                self._other.append(f"The parameter {self._parameter} of {node}")

    def _take(self, source: str, text: str) -> None:
        self.text = self.text if self.has_text() else text
        if not text.strip():
            self._empty.append(source[:1].upper() + source[1:])
