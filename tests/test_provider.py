"""The embedded physics on the ROS 2 contract, in a process of its own, over real DDS."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from gym_gazebo2.backends import make_backend
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.provider import ServedArm, serve
from gym_gazebo2.provider.messages import RefusedError, count_steps
from gym_gazebo2.robots import RobotSpec, make_robot
from gym_gazebo2.testing import CHECKS

from .gazebo_client import Client, get_q, to_ns
from .sim_process import Sim, run_sim
from .test_gazebo_plugin import (  # noqa: F401, the plug-in's own tests: this provider must not be told from it
    test_contacts_tell_touching_from_free,
    test_places_exactly_out_of_motion,
)
from .test_plugin_core import (  # noqa: F401
    Provider,
    test_agrees_with_the_reference,
    test_joints_go_by_name,
    test_period_is_what_the_command_says,
    test_repeated_token_is_answered_without_stepping,
    test_reset_world_puts_everything_back_and_lets_time_run_on,
    test_same_commands_move_it_bit_equally,
    test_stamps_are_exact,
    test_time_stands_still_without_a_command,
    test_wrong_placements_are_ignored,
    wrong_messages,
)


@pytest.fixture(scope="module")
def mara() -> RobotSpec:
    return make_robot("mara")


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with run_sim("mara", "--physics-dt", "0.001") as running:
        yield running


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider("mujoco", 0, True, run_sim)


@pytest.fixture(scope="module")
def client(sim: Sim, mara: RobotSpec) -> Iterator[Client]:
    with connect(sim, mara) as connected:
        yield connected


@contextlib.contextmanager
def connect(sim: Sim, robot: RobotSpec) -> Iterator[Client]:
    client = Client(sim.domain, robot.name, robot.joint_names)
    try:
        client.connect()
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("check", CHECKS)
def test_client_of_it_keeps_the_contract(check: str, sim: Sim, mara: RobotSpec) -> None:
    CHECKS[check](lambda n: make_backend("ros2", mara, num_envs=n, domain_id=sim.domain), 1)


def test_is_bit_equal_to_the_embedded_physics(sim: Sim) -> None:
    envs = [
        gym.make("MARACollision-v0", start_noise=0.1, backend="mujoco", backend_options={"physics_dt": 0.001}),
        gym.make("MARACollision-v0", start_noise=0.1, backend="ros2", backend_options={"domain_id": sim.domain}),
    ]
    rng, touched = np.random.default_rng(1), 0
    for seed in range(2):
        first, second = (env.reset(seed=seed)[0] for env in envs)
        assert np.array_equal(first, second)
        towards_floor = np.array([0.0, 1.0, 0.3, 0.0, 0.0, 0.0])
        for _ in range(60):
            action = np.clip(towards_floor + rng.uniform(-0.2, 0.2, 6), -1, 1).astype(np.float32)
            (first, reward, *_, info), (second, other_reward, *_, other) = (env.step(action) for env in envs)
            assert np.array_equal(first, second) and reward == other_reward
            assert info["in_collision"] == other["in_collision"]
            touched += info["in_collision"]
    assert touched
    for env in envs:
        env.close()


def test_tells_what_it_is(client: Client, mara: RobotSpec) -> None:
    told = client.provider
    assert (told["kind"], told["lock_step"], told["physics_dt"]) == ("mujoco", True, 0.001)
    assert tuple(told["joints"]) == mara.joint_names


def test_states_have_efforts(client: Client, mara: RobotSpec) -> None:
    client.place(np.array([0, 1.35, 0, 0, 0, 0]))
    efforts = [client.step([0, 1.35 + 0.05 * k, 0, 0, 0, 0]).effort for k in range(1, 13)]
    assert all(np.all(np.abs(effort) <= mara.effort_limit) for effort in efforts)
    assert abs(efforts[-1][1]) == mara.effort_limit[1], "pressed against the floor, the shoulder gives all it has"


def test_wrong_commands_are_ignored_and_logged_once(mara: RobotSpec) -> None:
    with run_sim("mara") as sim:
        with connect(sim, mara) as client:
            before = to_ns(client.place(mara.home).header.stamp)
            for _ in range(2):
                for name, message in wrong_messages(client, mara).items():
                    client.states.clear()
                    client.commands.publish(message)
                    assert not client.spin_until(lambda: client.states, timeout=0.03), name
            assert to_ns(client.place(mara.home).header.stamp) == before
        status, log = sim.end()
    assert status == 0 and "Traceback" not in log
    for said in (
        "the unknown joint 'elbow'",
        "'motor1' is NaN or outside its limits",
        "not a whole number of physics steps of 5000000 ns",
    ):
        assert log.count(said) == 1


def test_real_time_is_paced_and_ramps(mara: RobotSpec) -> None:
    with run_sim("mara", "--real-time", "--control-dt", "0.02") as sim, connect(sim, mara) as client:
        assert client.provider["lock_step"] is False
        assert client.spin_until(lambda: client.states)
        client.states.clear()
        start = time.monotonic()
        assert client.spin_until(lambda: len(client.states) > 50)
        passed = time.monotonic() - start
        stamps = np.array([to_ns(state.header.stamp) for state in client.states])
        assert np.all(np.diff(stamps) % 20_000_000 == 0) and np.median(np.diff(stamps)) == 20_000_000
        assert 0.5 < 1e-9 * (stamps[-1] - stamps[0]) / passed < 1.15, "a busy machine lets time slip, never run ahead"
        assert client.spin_until(lambda: client.clocks and client.clocks[-1] >= stamps[-1])
        placed = client.place(np.full(mara.dof, 0.3))
        assert np.abs(get_q(placed) - 0.3).max() < 1e-9
        client.states.clear()
        client.commands.publish(client.make_command(np.full(mara.dof, 0.4), 0.5))
        assert client.spin_until(lambda: len(client.states) > 40)
        way = np.array([get_q(state).mean() for state in client.states])
        speeds = np.array([np.mean(state.velocity) for state in client.states])
        assert way[-1] == pytest.approx(0.4, abs=1e-3) and 10 <= np.sum(np.abs(speeds - 0.2) < 0.02) <= 26


def test_in_real_time_the_name_of_a_frame_is_no_token(mara: RobotSpec) -> None:
    with run_sim("mara", "--real-time", "--robot-only", "--control-dt", "0.02") as sim:
        client = Client(sim.domain, "mara", mara.joint_names)
        assert client.spin_until_found(client.commands.get_subscription_count)
        for goal in (0.1, 0.2):
            command = client.make_command(np.full(mara.dof, goal), 0.5)
            command.header.frame_id = "base_link"
            client.commands.publish(command)
            assert client.spin_until(lambda goal=goal: client.states and np.abs(get_q(client.states[-1]) - goal).max() < 1e-3)
        client.close()
    with run_sim("mara", "--real-time", "--control-dt", "0.02") as sim, connect(sim, mara) as client:
        for goal in (0.1, 0.2, 0.3):
            client.places.publish(JointState(header=Header(frame_id="world"), name=client.joints, position=[goal] * mara.dof))
            assert client.spin_until(
                lambda goal=goal: client.states and np.abs(get_q(client.states[-1]) - goal).max() < 1e-3, 5
            )


def test_factor_is_how_fast_time_runs(mara: RobotSpec) -> None:
    with run_sim("mara", "--real-time", "--factor", "3") as sim, connect(sim, mara) as client:
        assert client.spin_until(lambda: client.states)
        first, start = to_ns(client.states[-1].header.stamp), time.monotonic()
        assert not client.spin_until(lambda: False, timeout=1.0)
        passed = 1e-9 * (to_ns(client.states[-1].header.stamp) - first)
        assert 1.5 < passed / (time.monotonic() - start) < 3.3, "a busy machine lets time slip, never run ahead"


def test_stands_in_for_the_robot(mara: RobotSpec) -> None:
    with run_sim("mara", "--real-time", "--robot-only", "--namespace", "left/arm") as sim:
        assert "place" not in sim.shown and "backend_options={'namespace': 'left/arm'}" in sim.shown
        client = Client(sim.domain, "left/arm", mara.joint_names)
        assert client.spin_until(lambda: len(client.states) > 10)
        assert client.spin_until_found(client.commands.get_subscription_count)
        stamp = to_ns(client.states[-1].header.stamp)
        assert abs(stamp - time.time_ns()) < 2e9, "a robot's stamps are those of its clock"
        topics = dict(client.node.get_topic_names_and_types())
        assert not client.places.get_subscription_count() and not client.node.count_publishers("/left/arm/provider")
        assert not client.resets.service_is_ready() and "/left/arm/joint_states" in topics
        q = get_q(client.states[-1])
        client.commands.publish(client.make_command(q + 0.1, 0.3217))
        assert client.spin_until(lambda: np.abs(get_q(client.states[-1]) - q - 0.1).max() < 1e-3, timeout=5)
        client.close()


def test_a_command_from_the_measured_pose_is_taken(mara: RobotSpec) -> None:
    arm = ServedArm(mara)
    arm.command(np.full(mara.dof, 0.05), 10)
    arm.advance(5)
    held = arm.q.copy()
    arm.command(held, 1)
    arm.advance(1)
    assert arm.steps_left == 0 and np.abs(arm.q - held).max() < 0.02
    with pytest.raises(RefusedError, match="'motor1' faster than its velocity limit"):
        arm.command(held + 0.1, 1)
    assert arm.time == 6 * arm.physics_dt_ns


@pytest.mark.parametrize(("duration", "exact", "steps"), [(50_000_000, True, 10), (321_700_000, False, 65), (1, False, 1)])
def test_durations_are_whole_steps(duration: int, exact: bool, steps: int) -> None:
    assert count_steps(duration, 5_000_000, exact) == steps


@pytest.mark.parametrize(("duration", "exact"), [(0, False), (-1, False), (60_000_000_001, False), (7_000_000, True)])
def test_durations_that_cannot_be(duration: int, exact: bool) -> None:
    with pytest.raises(RefusedError, match="time_from_start"):
        count_steps(duration, 5_000_000, exact)


@pytest.mark.parametrize(
    "wrong",
    [{"factor": -1.0}, {"factor": float("nan")}, {"robot_only": True}, {"control_dt": 0.052}, {"physics_dt": 1e-10 / 3}],
)
def test_values_that_cannot_work(mara: RobotSpec, wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
        serve(mara, **wrong)  # type: ignore[arg-type]


def test_serves_until_told_to_stop(mara: RobotSpec) -> None:
    asked = iter([False, False, True])
    serve(mara, domain_id=77, stop=lambda: next(asked))
    assert next(asked, None) is None, "it ended before it was told to"
