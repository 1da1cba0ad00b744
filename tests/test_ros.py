"""The graph: what comes is taken at once, whatever it is, and an interruption loses nothing but its own message."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.ros import Domain, Empty, Graph, JointState

TOPIC = "/arm/joint_states"


@pytest.fixture
def graphs() -> Iterator[tuple[Graph, Graph]]:
    domain = Domain()
    two = Graph(domain.id, is_local=True), Graph(domain.id, is_local=True)
    yield two
    for graph in two:
        graph.close()
    domain.release()


def test_an_older_rclpy_is_imported_too() -> None:
    """Humble's has the events of a subscription in another module."""
    code = """
import sys, types, rclpy.experimental, rclpy.event_handler as events
sys.modules["rclpy.qos_event"] = types.ModuleType("rclpy.qos_event")
sys.modules["rclpy.qos_event"].SubscriptionEventCallbacks = events.SubscriptionEventCallbacks
sys.modules["rclpy.event_handler"] = None
import gym_gazebo2.ros.graph
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_to_wait_for_is_waited_for_no_longer_than_told(graphs: tuple[Graph, Graph]) -> None:
    start = time.monotonic()
    assert not graphs[0].wait(lambda: False, 0.12)
    assert 0.12 <= time.monotonic() - start < 5.0


def test_messages_requests_and_answers_are_all_taken(graphs: tuple[Graph, Graph]) -> None:
    server, client = graphs
    states, requests = list[JointState](), list[Empty.Request]()

    def answer(request: Empty.Request, response: Empty.Response) -> Empty.Response:
        requests.append(request)
        return response

    client.subscribe(JointState, TOPIC, states.append)
    publisher = server.publish(JointState, TOPIC)
    server.node.create_service(Empty, "/reset_world", answer)
    calls = client.node.create_client(Empty, "/reset_world")
    assert server.wait(lambda: bool(publisher.get_subscription_count()), 10.0)
    assert client.wait(calls.service_is_ready, 10.0)
    for count in range(1, 4):
        future = calls.call_async(Empty.Request())
        assert server.wait(lambda count=count: len(requests) == count, 10.0)
        publisher.publish(JointState(name=["joint"], position=[float(count)]))
        assert client.wait(lambda count=count, future=future: future.done() and len(states) == count, 10.0)
    assert [state.position[0] for state in states] == [1.0, 2.0, 3.0]


def test_ctrl_c_within_a_message_is_ctrl_c(graphs: tuple[Graph, Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    sender, receiver = graphs
    states = list[JointState]()
    receiver.subscribe(JointState, TOPIC, states.append)
    publisher = sender.publish(JointState, TOPIC)
    assert sender.wait(lambda: bool(publisher.get_subscription_count()), 10.0)

    def interrupt(self: JointState, **fields: object) -> None:
        raise KeyboardInterrupt

    first, second = (JointState(name=["joint"], position=[position]) for position in (1.0, 2.0))
    with monkeypatch.context() as patch:
        patch.setattr(JointState, "__init__", interrupt)
        publisher.publish(first)
        with pytest.raises(KeyboardInterrupt):
            receiver.wait(lambda: bool(states), 10.0)
    publisher.publish(second)
    assert receiver.wait(lambda: bool(states), 10.0)
    assert states[0].position[0] == 2.0


def test_a_node_offers_nothing_but_what_it_is_for(graphs: tuple[Graph, Graph]) -> None:
    node = graphs[0].node
    assert not node.get_service_names_and_types_by_node(node.get_name(), node.get_namespace())
