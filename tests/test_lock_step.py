"""The client in lock-step, with all that a network and other nodes can do to it: never a step twice, never a wrong state."""

from __future__ import annotations

import concurrent.futures
import math
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from rclpy.qos import qos_profile_sensor_data

from gym_gazebo2.backends import make_backend
from gym_gazebo2.errors import BackendError, InvalidArgumentError, UsageError
from gym_gazebo2.robots import make_robot
from gym_gazebo2.ros import Domain, Graph, JointState, String
from gym_gazebo2.testing import drive_smoothly

from .ros_relay import Relay, change, delay, double, lose, relay, reorder
from .sim_process import Sim, run_sim

ONE, MARA = np.ones(1, dtype=bool), make_robot("mara")
PERIOD = 50_000_000


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with run_sim("mara", "--namespace", "far") as running:
        yield running


@pytest.fixture(scope="module")
def relay_of_module(sim: Sim) -> Iterator[Relay]:
    with relay(sim.domain) as running:
        yield running


@pytest.fixture
def between(relay_of_module: Relay) -> Iterator[Relay]:
    yield relay_of_module
    relay_of_module.faults.clear()
    relay_of_module.hooks.clear()


def connect_near(sim: Sim) -> Any:
    return make_backend("ros2", MARA, domain_id=sim.domain, namespace="near", timeout=10.0)


@pytest.fixture(scope="module")
def connection(relay_of_module: Relay, sim: Sim) -> Iterator[Any]:
    with closing(connect_near(sim)) as backend:
        yield backend


@pytest.fixture
def arm(connection: Any, between: Relay) -> Any:
    connection.reset(ONE, MARA.home[None])
    return connection


FAULTS = {
    "lost commands": ("command", lose(5)),
    "doubled commands": ("command", double(0.03)),
    "late commands": ("command", delay(0.02)),
    "reordered commands": ("command", reorder(5, 0.6)),
    "lost states": ("state", lose(5)),
    "doubled states": ("state", double(0.03)),
    "late states": ("state", delay(0.02)),
    "lost contacts": ("contacts", lose(5)),
    "lost placements": ("place", lose(2)),
    "doubled placements": ("place", double(0.03)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_that_happens_to_messages_changes_a_bit(fault: str, between: Relay, arm: Any) -> None:
    kind, rule = FAULTS[fault]
    expected = list(drive_smoothly(make_backend("mujoco", MARA), seed=3, periods=12))
    between.faults[kind] = rule
    came = list(drive_smoothly(arm, seed=3, periods=12))
    for k, (state, truth) in enumerate(zip(came, expected, strict=True)):
        assert state.time[0] == k * PERIOD and np.array_equal(state.q, truth.q) and np.array_equal(state.dq, truth.dq)


def test_other_publishers_on_the_state_topic_change_nothing(between: Relay, arm: Any) -> None:
    expected = list(drive_smoothly(make_backend("mujoco", MARA), seed=4, periods=20))
    foreign = between.graph.publish(JointState, "/near/joint_states")
    junk = JointState(name=list(MARA.joint_names), position=[math.nan] * 6, velocity=[0.0] * 6)
    between.hooks["command"] = lambda _: foreign.publish(junk)
    for state, truth in zip(drive_smoothly(arm, seed=4, periods=20), expected, strict=True):
        assert np.array_equal(state.q, truth.q) and state.time[0] == truth.time[0]


def make_nan(message: Any) -> None:
    message.position[1] = math.nan


def drop_joint(message: Any) -> None:
    message.name, message.position, message.velocity = message.name[1:], message.position[1:], message.velocity[1:]


def move(message: Any) -> None:
    message.position[1] = 1.0


@pytest.mark.parametrize("edit", [make_nan, move])
def test_an_arm_that_is_not_where_it_was_placed_is_an_error(edit: Any, between: Relay, arm: Any) -> None:
    between.faults["state"] = change(edit)
    with pytest.raises(BackendError, match="was asked to place the arm at"):
        arm.reset(ONE, MARA.home[None])
    with pytest.raises(UsageError, match="reset"):
        arm.step(MARA.home[None])
    between.faults.clear()
    assert arm.reset(ONE, MARA.home[None]).time[0] == 0


@pytest.mark.parametrize(("edit", "said"), [(make_nan, "'motor2' reports q = nan"), (drop_joint, r"Missing: \['motor1'\]")])
def test_a_state_that_cannot_be_is_an_error(edit: Any, said: str, between: Relay, arm: Any) -> None:
    between.faults["state"] = change(edit)
    with pytest.raises(BackendError, match=said):
        arm.step(arm.q_setpoint)
    between.faults.clear()
    assert arm.reset(ONE, MARA.home[None]).time[0] == 0
    assert arm.step(arm.q_setpoint).time[0] == PERIOD


@pytest.mark.parametrize("steps", [0, 1])
def test_a_second_client_is_noticed(steps: int, between: Relay, arm: Any, sim: Sim) -> None:
    with closing(make_backend("ros2", MARA, domain_id=sim.domain, namespace="far")) as other:
        other.reset(ONE, MARA.home[None])
        arm.reset(ONE, MARA.home[None])
        arm.step(arm.q_setpoint)
        other.reset(ONE, MARA.home[None])
        for _ in range(steps):
            other.step(other.q_setpoint)
        # The topic keeps one state: on a busy machine the answer to the next step could replace the other client's state.
        assert arm.link.graph.wait(lambda: arm.pacing.intruder is not None, 10.0)
        with pytest.raises(BackendError, match=r"answers another client, which moves this arm|whether another client steps"):
            arm.step(arm.q_setpoint)


def test_a_second_provider_is_noticed() -> None:
    with ExitStack() as stack:
        sim = stack.enter_context(run_sim("mara"))
        stack.enter_context(run_sim("mara", "--physics-dt", "0.001", domain=sim.domain))
        arm = stack.enter_context(closing(make_backend("ros2", MARA, domain_id=sim.domain)))
        link = arm.link
        assert link.graph.wait(lambda: link.num_command_subscribers == 2, 10.0)
        assert link.graph.wait(lambda: link.graph.node.count_publishers(link.topics.state) == 2, 10.0)
        arm.reset(ONE, MARA.home[None])
        with pytest.raises(BackendError, match="two providers serve it|A step advanced time by|was restarted"):
            for k in range(5000):
                arm.step(arm.q_setpoint + (0.01 if k % 100 < 50 else -0.01))


def test_a_period_that_is_no_whole_number_of_physics_steps_is_refused_at_once(sim: Sim) -> None:
    with pytest.raises(InvalidArgumentError, match="whole number of physics steps of 0.005 s"):
        make_backend("ros2", MARA, domain_id=sim.domain, namespace="far", control_dt=0.012)


def test_a_reset_after_ros_was_shut_down_says_so(sim: Sim) -> None:
    with closing(make_backend("ros2", MARA, domain_id=sim.domain, namespace="far", on_failure="restart")) as arm:
        arm.reset(ONE, MARA.home[None])
        arm.inner.link.graph.close()
        with pytest.raises(BackendError, match="ROS was shut down"):
            arm.inner.reset(ONE, MARA.home[None])
        assert arm.reset(ONE, MARA.home[None]).time[0] == 0 and arm.num_restarts == 1


def test_who_does_not_tell_of_contacts_is_named(between: Relay, sim: Sim) -> None:
    with closing(make_backend("ros2", MARA, domain_id=sim.domain, namespace="near")) as arm:
        arm.pacing.timeout = 1.0  # to connect may take longer
        between.faults["contacts"] = lose(1)
        with pytest.raises(BackendError, match="sent no answer on /near/contacts within 1 s"):
            arm.reset(ONE, MARA.home[None])


def test_two_robots_in_one_domain() -> None:
    scara = make_robot("scara")
    with ExitStack() as stack:
        sim = stack.enter_context(run_sim("mara"))
        stack.enter_context(run_sim("scara", domain=sim.domain))
        one = stack.enter_context(closing(make_backend("ros2", MARA, domain_id=sim.domain)))
        two = stack.enter_context(closing(make_backend("ros2", scara, domain_id=sim.domain)))
        for arm in (one, two):
            arm.reset(ONE, arm.robot.home[None])
        for k in range(1, 6):
            assert one.step(one.q_setpoint).time[0] == k * PERIOD
            assert two.step(two.q_setpoint).time[0] == k * PERIOD


@pytest.fixture
def domain() -> Iterator[int]:
    taken = Domain()
    yield taken.id
    taken.release()


def test_a_provider_that_starts_after_its_client(domain: int) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(make_backend, "ros2", MARA, domain_id=domain, timeout=60.0)
        assert not concurrent.futures.wait([waiting], timeout=0.5).done, "there is no provider yet"
        with run_sim("mara", domain=domain), closing(waiting.result(60)) as arm:
            arm.reset(ONE, MARA.home[None])
            assert arm.step(arm.q_setpoint).time[0] == PERIOD


def test_a_provider_that_is_started_anew_under_its_client(domain: int) -> None:
    with ExitStack() as stack:
        with run_sim("mara", domain=domain) as first:
            arm = stack.enter_context(closing(make_backend("ros2", MARA, domain_id=domain, timeout=30.0)))
            arm.reset(ONE, np.full((1, 6), 0.5))
            arm.step(arm.q_setpoint)
            first.end(signal.SIGKILL)
        with run_sim("mara", domain=domain):
            with pytest.raises(BackendError, match=r"was restarted.*Call reset\(\)"):
                arm.step(arm.q_setpoint)
            assert arm.reset(ONE, MARA.home[None]).time[0] == 0
            assert arm.step(arm.q_setpoint).time[0] == PERIOD


def test_best_effort_states_are_refused(sim: Sim, relay_of_module: Relay) -> None:
    with closing(Graph(sim.domain)) as graph:
        graph.node.create_publisher(JointState, "/near/joint_states", qos_profile_sensor_data)
        said = "/near/joint_states are sent as best effort, and lock-step needs reliable"
        with pytest.raises(BackendError, match=said), closing(connect_near(sim)) as arm:
            deadline = time.monotonic() + 10.0
            while time.monotonic() < deadline:
                arm.reset(ONE, MARA.home[None])


def test_a_provider_that_runs_freely_is_not_lock_step(sim: Sim) -> None:
    with pytest.raises(BackendError, match="lock_step=False is required.*lock_step=True"):
        make_backend("ros2", MARA, domain_id=sim.domain, namespace="far", lock_step=False)


@pytest.mark.parametrize("said", ["hello", '{"kind": "gazebo"}', "[1]"])
def test_a_provider_of_another_contract_is_refused(said: str, domain: int) -> None:
    with closing(Graph(domain)) as graph:
        graph.publish(String, "/mara/provider", keep=True).publish(String(data=said))
        with pytest.raises(BackendError, match='expected JSON with "lock_step" and "joints".*this version'):
            make_backend("ros2", MARA, domain_id=domain, timeout=20.0)


def test_another_robots_provider_is_refused(sim: Sim) -> None:
    with pytest.raises(BackendError, match="has the joints .*motor6.*expected .*motor3"):
        make_backend("ros2", make_robot("scara"), domain_id=sim.domain, namespace="far")
