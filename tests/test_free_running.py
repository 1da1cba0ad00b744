"""The client of a robot: paced by stamps, guarded on this side; the real-time provider stands in for the robot."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from rclpy.qos import qos_profile_sensor_data

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.errors import BackendError, InvalidArgumentError, UsageError
from gym_gazebo2.robots import make_robot
from gym_gazebo2.ros import JointState, from_ns, to_ns

from .processes import TIMEOUT, read_until, run_process, wait_until
from .ros_relay import Relay, change, delay, double, lose, relay, reorder
from .sim_process import Sim, run_sim

ONE, MARA = np.ones(1, dtype=bool), make_robot("mara")
DT = 0.05
ROBOT_TOPICS = ("command", "state")
PATIENT = 5.0
"""On a machine that does other work a state may come late; only tests of staleness are strict [s]."""
STALE = 1.0


@pytest.fixture(scope="module")
def robot() -> Iterator[Sim]:
    """A stand-in for the robot, which publishes a hundred states a second."""
    with run_sim("mara", "--real-time", "--robot-only", "--control-dt", "0.01", "--namespace", "far") as sim:
        yield sim


@pytest.fixture(scope="module")
def relay_of_module(robot: Sim) -> Iterator[Relay]:
    with relay(robot.domain, kinds=ROBOT_TOPICS) as running:
        yield running


@pytest.fixture
def between(relay_of_module: Relay) -> Iterator[Relay]:
    for messages in relay_of_module.seen.values():
        messages.clear()
    yield relay_of_module
    relay_of_module.faults.clear()
    relay_of_module.hooks.clear()


@pytest.fixture  # of each test: another client at the same time would be refused
def connection(relay_of_module: Relay, robot: Sim) -> Iterator[Any]:
    with connect(robot, stale_after=STALE) as backend:
        yield backend


@pytest.fixture
def arm(connection: Any, between: Relay) -> Any:
    """A client through the relay, with the arm at home."""
    wait_for(between, "state")
    connection.reset(ONE, MARA.home[None])
    return connection


def connect(sim: Sim, namespace: str = "near", **options: Any) -> Any:
    options = {"stale_after": PATIENT, "reset_speed": 1.0} | options
    return closing(make_backend("ros2", MARA, domain_id=sim.domain, namespace=namespace, **options))


def sway(backend: Any, periods: int, speed: float = 0.8) -> np.ndarray:
    """Swing to and fro at a share of the limit; return (periods, 3): goal, position and time of the first joint."""
    state, rows = backend.reset(ONE, MARA.home[None]), []
    for k in range(periods):
        step = speed * MARA.velocity_limit * DT * (1 if (k // 8) % 2 == 0 else -1)
        goal = state.q_setpoint + step
        state = backend.step(goal)
        rows.append((goal[0, 0], state.q[0, 0], state.time[0] * 1e-9))
    return np.array(rows)


def check_arrives(backend: Any) -> None:
    """The arm comes to rest where it was sent, within two seconds."""
    errors = (np.abs(backend.step(backend.q_setpoint).q - backend.q_setpoint).max() for _ in range(40))
    assert any(error < 0.02 for error in errors)


def read_positions(message: Any) -> np.ndarray:
    """Return the positions of a command or state in the robot's order."""
    names, values = (
        (message.name, message.position) if hasattr(message, "name") else (message.joint_names, message.points[0].positions)
    )
    return np.array([dict(zip(names, values, strict=True))[name] for name in MARA.joint_names])


def wait_for(between: Relay, kind: str, more: int = 1) -> None:
    """Wait until so many more messages of a kind have come."""
    wanted = len(between.seen[kind]) + more
    wait_until(lambda: len(between.seen[kind]) >= wanted)


def check_held(between: Relay) -> None:
    """The last command is the measured pose, and the arm comes to rest near it."""

    def is_last_measured() -> bool:
        held = read_positions(between.seen["command"][-1])
        return any(np.abs(read_positions(state) - held).max() < 1e-9 for state in list(between.seen["state"]))

    wait_until(is_last_measured)
    wait_for(between, "state", 30)
    last, held = between.seen["state"][-1], read_positions(between.seen["command"][-1])
    assert np.abs(last.velocity).max() < 0.05 and np.abs(read_positions(last) - held).max() < 0.05


def test_follows_in_its_own_time(robot: Sim) -> None:
    with connect(robot, "far") as backend:
        assert backend.lock_step is False
        rows = sway(backend, 40)
    assert np.all(np.diff(rows[:, 2]) >= DT - 1e-9) and rows[0, 2] >= DT - 1e-9
    assert np.median(np.abs(rows[:, 0] - rows[:, 1])) < 0.04, "two thirds of the way of a period"


def test_reset_is_slow_and_begins_where_the_arm_is(between: Relay, robot: Sim) -> None:
    start = np.array([0.5, -0.4, 0.3, 0.2, -0.1, 0.4])
    with connect(robot, reset_speed=0.3) as backend:
        wait_for(between, "state")
        before = read_positions(between.seen["state"][-1])
        state = backend.reset(ONE, start[None])
        asked = np.array([read_positions(message) for message in between.seen["command"]])
        assert not between.graph.node.count_publishers("/near/place"), "no mistake can make a robot jump"
    assert np.abs(asked[0] - before).max() < 0.01
    speed = np.abs(np.diff(asked, axis=0)).max(axis=0) / (MARA.velocity_limit * DT)
    assert np.all(speed < 0.3 + 1e-6) and speed.max() > 0.25
    assert np.abs(state.q - start).max() < 0.02 and state.time[0] == 0
    assert np.array_equal(state.q_setpoint, state.q), "after reset the set-point is the measured pose"


def test_an_arm_outside_its_limits_comes_in_slowly_and_is_held_so(between: Relay, robot: Sim) -> None:
    """The stand-in ignores what is faster than its velocity limit; here its first joint seems to be elsewhere."""
    with connect(robot) as backend:
        backend.reset(ONE, MARA.home[None])
    between.seen["command"].clear()
    at, inside = MARA.home.copy(), MARA.home.copy()
    at[0], inside[0] = MARA.upper[0] + 0.3, MARA.upper[0] - 0.1

    def show(message: Any) -> None:
        message.position[message.name.index("motor1")] += at[0]

    def follow(message: Any) -> None:
        message.points[0].positions[message.joint_names.index("motor1")] -= at[0]

    between.faults["state"], between.faults["command"] = change(show), change(follow)
    with connect(robot) as backend:
        assert np.abs(backend.reset(ONE, inside[None]).q - inside).max() < 0.02
    asked = np.array([read_positions(message) for message in between.seen["command"]])
    assert np.all((asked >= MARA.lower) & (asked <= MARA.upper))
    speeds = np.array([message.velocity for message in between.seen["state"]])
    assert np.all(np.abs(speeds) < 1.3 * MARA.velocity_limit)
    at[0] += 0.4
    wait_for(between, "state")  # the states shown from now on have the new fault
    before = len(between.seen["command"])
    with connect(robot):
        pass  # it is held as soon as it is closed
    wait_until(lambda: len(between.seen["command"]) > before)
    held = between.seen["command"][-1]
    assert read_positions(held)[0] == MARA.upper[0]
    assert 1e-9 * to_ns(held.points[0].time_from_start) >= 0.29 / MARA.velocity_limit[0]


def test_a_slow_policy_is_never_paired_with_an_older_state(between: Relay, arm: Any) -> None:
    state, errors, moves = arm.reset(ONE, MARA.home[None]), [], []
    for k in range(20):
        time.sleep(1.5 * DT)  # the policy thinks
        newest = to_ns(between.seen["state"][-1].header.stamp)
        goal = state.q_setpoint + 0.05 * (1 if k % 2 == 0 else -1)
        before, state = state, arm.step(goal)
        errors.append(np.abs(state.q - goal).max())
        moves.append(np.abs(state.q - before.q).max())
        stamps = [to_ns(m.header.stamp) for m in between.seen["state"] if np.array_equal(read_positions(m), state.q[0])]
        assert stamps and min(stamps) > newest, "the state was published before the command"
    assert np.median(errors) < 0.03 and np.median(moves) > 0.03


FAULTS = {
    "late states": ("state", delay(0.04)),
    "lost states": ("state", lose(3)),
    "doubled states": ("state", double(0.015)),
    "reordered states": ("state", reorder(3, 0.025)),
    "late commands": ("command", delay(0.02)),
    "lost commands": ("command", lose(5)),
    "doubled commands": ("command", double(0.02)),
    "reordered commands": ("command", reorder(4, 0.06)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_survives_an_unreliable_network(fault: str, between: Relay, arm: Any) -> None:
    kind, rule = FAULTS[fault]
    between.faults[kind] = rule
    rows = sway(arm, 24)
    times = np.concatenate([[0.0], rows[:, 2]])
    assert np.all(np.diff(times) >= DT - 1e-9), "time does not run backwards, and no period is short"
    between.faults.clear()
    check_arrives(arm)
    speeds = np.array([message.velocity for message in between.seen["state"]])
    assert np.all(np.abs(speeds) < 1.3 * MARA.velocity_limit), "nothing made it faster than it may be"


def test_full_speed_after_lost_commands_does_not_get_stuck(between: Relay, arm: Any) -> None:
    state = arm.reset(ONE, MARA.home[None])
    between.faults["command"] = lose(4)
    for _ in range(16):
        state = arm.step(np.clip(state.q_setpoint + MARA.velocity_limit * DT, None, 0.9))
    between.faults.clear()
    for _ in range(20):
        state = arm.step(np.clip(state.q_setpoint + MARA.velocity_limit * DT, None, 0.9))
    assert np.all(state.q_setpoint == 0.9)
    check_arrives(arm)


def test_a_state_that_stays_away_holds_the_arm(between: Relay, arm: Any) -> None:
    state = arm.step(arm.q_setpoint + 0.05)
    between.faults["state"] = lose(1)
    started = time.monotonic()
    with pytest.raises(BackendError, match=r"is 1\.\d+ s old, expected one every 0\.05 s and none older than 1 s"):
        for _ in range(100):
            state = arm.step(state.q_setpoint + 0.02)
    assert 0.9 < time.monotonic() - started < 5.0
    check_held(between)
    with pytest.raises(UsageError, match="reset"):
        arm.step(state.q_setpoint)
    between.faults.clear()
    wait_for(between, "state", 5)
    assert arm.reset(ONE, MARA.home[None]).time[0] == 0


def test_by_default_three_periods_are_too_old(between: Relay, robot: Sim) -> None:
    with connect(robot, stale_after=None, control_dt=0.2) as backend:
        state = backend.reset(ONE, MARA.home[None])
        between.faults["state"] = lose(1)
        with pytest.raises(BackendError, match=r"none older than 0\.6 s"):
            backend.step(state.q_setpoint)


def test_a_stamp_that_stands_still_is_as_bad(between: Relay, arm: Any) -> None:
    stamp = between.seen["state"][-1].header.stamp
    between.faults["state"] = change(lambda message: setattr(message.header, "stamp", stamp))
    with pytest.raises(BackendError, match="their stamps do not advance"):
        for _ in range(100):
            arm.step(arm.q_setpoint)


def spoil(position: float) -> Any:
    def edit(message: Any) -> None:
        message.position[2] = position

    return edit


def drop_joint(message: Any) -> None:
    message.name, message.position, message.velocity = message.name[:-1], message.position[:-1], message.velocity[:-1]


WRONG = {
    "NaN": (spoil(math.nan), "'motor3' at nan rad.*expected finite values"),
    "far out of its limits": (spoil(30.0), r"'motor3' at 30\.0 rad"),
    "a jump": (spoil(1.5), r"'motor3' moved 1\.\d+ rad between two states.*another node"),
    "a missing joint": (drop_joint, r"Missing: \['motor6'\]"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_state_that_cannot_be_true_holds_the_arm(wrong: str, between: Relay, arm: Any) -> None:
    edit, said = WRONG[wrong]
    arm.step(arm.q_setpoint + 0.03)
    between.faults["state"] = change(edit)
    with pytest.raises(BackendError, match=said):
        for _ in range(100):
            arm.step(arm.q_setpoint)
    between.faults.clear()
    check_held(between)


def test_ctrl_c_holds_the_arm(between: Relay, arm: Any) -> None:
    sent = len(between.seen["command"])

    def interrupt(message: Any) -> None:
        if len(between.seen["command"]) == sent + 5:
            os.kill(os.getpid(), signal.SIGINT)

    between.hooks["command"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        for _ in range(100):
            arm.step(arm.q_setpoint + 0.02)
    between.hooks.clear()
    check_held(between)


def test_ctrl_c_holds_the_arm_beside_a_node_of_the_users_own(between: Relay, robot: Sim) -> None:
    """Once rclpy.init() was called, Ctrl-C shuts every ROS context of the process down, the backend's too."""
    script = f"""
import numpy as np, rclpy
from gym_gazebo2.backends import make_backend
from gym_gazebo2.robots import make_robot
rclpy.init(args=[])
arm = make_backend("ros2", make_robot("mara"), domain_id={robot.domain}, namespace="near", stale_after=5.0, reset_speed=1.0)
state = arm.reset(np.ones(1, dtype=bool), np.zeros((1, 6)))
print("ready", flush=True)
try:
    while True:
        state = arm.step(np.clip(state.q_setpoint + 0.01, None, 1.0))
finally:
    arm.close()
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with run_process([sys.executable, "-c", script], **pipes, text=True) as user:
        assert read_until(user, user.stdout, "ready") == "ready\n"
        wait_for(between, "command", 5)
        user.send_signal(signal.SIGINT)
        error = user.communicate(timeout=TIMEOUT)[1]
    assert "KeyboardInterrupt" in error and "RCLError" not in error
    check_held(between)


def test_a_silent_robot_is_waited_for_no_longer_than_the_deadline(between: Relay, robot: Sim) -> None:
    wait_for(between, "state")
    with connect(robot, stale_after=8.0) as backend:
        backend.pacing.timeout = 1.0
        between.faults["state"] = lose(1)
        started = time.monotonic()
        with pytest.raises(BackendError, match="No state came on /near/joint_states"):
            backend.reset(ONE, MARA.home[None])
        assert time.monotonic() - started < 6.0


def test_close_does_not_command_a_pose_of_long_ago(between: Relay, robot: Sim) -> None:
    with connect(robot, stale_after=1.0) as backend:
        backend.reset(ONE, MARA.home[None])
        between.faults["state"] = lose(1)
        silent = time.monotonic()
        with pytest.raises(BackendError, match="old, expected"):
            backend.step(backend.q_setpoint)
        wait_until(lambda: time.monotonic() - silent > 3.0)
        sent = len(between.seen["command"])
        backend.close()
        wait_for(between, "state", 20)
        assert len(between.seen["command"]) == sent, "the arm may have been moved by others since"


def test_close_holds_the_arm(between: Relay, robot: Sim) -> None:
    with connect(robot) as backend:
        state = backend.reset(ONE, MARA.home[None])
        backend.step(state.q_setpoint + 0.05)
        backend.close()
        check_held(between)


def test_a_clock_that_jumps_back_is_survived(between: Relay, arm: Any) -> None:
    def jump(message: Any) -> None:
        message.header.stamp = from_ns(type(message.header.stamp), to_ns(message.header.stamp) - 10**15)

    times = []
    for k in range(16):
        if k == 8:
            between.faults["state"] = change(jump)
        times.append(arm.step(arm.q_setpoint + 0.01).time[0] * 1e-9)
    assert np.all(np.diff(times) >= DT - 1e-9) and times[-1] < 20.0
    between.faults.clear()
    assert arm.reset(ONE, MARA.home[None]).time[0] == 0


@pytest.mark.parametrize("ahead", [0.2, 2.0, 1.8e9])
def test_a_node_with_a_clock_of_its_own_is_noticed(ahead: float, between: Relay, arm: Any) -> None:
    start = to_ns(between.seen["state"][-1].header.stamp)

    def rebase(message: Any, ahead: float = 0.0) -> None:
        stamp = to_ns(message.header.stamp) - start + round((10.0 + ahead) * 1e9)
        message.header.stamp = from_ns(type(message.header.stamp), stamp)

    def mix(k: int, message: Any) -> list[tuple[float, Any]]:
        other = JointState(header=message.header, name=message.name, position=[0.6] * MARA.dof, velocity=[0.0] * MARA.dof)
        messages = [*change(rebase)(1, message), *change(lambda other: rebase(other, ahead))(1, other)]
        return messages if k % 10 == 0 else messages[:1]

    between.faults["state"] = change(rebase)
    arm.reset(ONE, MARA.home[None])
    between.faults["state"] = mix
    wrong = 0
    with pytest.raises(BackendError, match="expected one clock. Check whether a second node publishes there"):
        for _ in range(100):
            wrong += np.abs(arm.step(arm.q_setpoint).q - 0.6).max() < 0.3
    assert wrong <= 2
    between.faults.clear()
    assert arm.reset(ONE, MARA.home[None]).time[0] == 0


def test_a_state_that_waited_while_nobody_looked_is_of_no_known_age(between: Relay, robot: Sim) -> None:
    with connect(robot, stale_after=0.3) as backend:
        state = backend.reset(ONE, MARA.home[None])
        for _ in range(2):  # the policy thinks, and the robot goes on: one more state is awaited
            time.sleep(0.5)
            state = backend.step(state.q_setpoint + 0.02)
        wait_for(between, "state", 5)
        between.faults["state"] = lose(1)
        silent, sent = time.monotonic(), len(between.seen["command"])
        wait_until(lambda: time.monotonic() - silent > 3.0)
        with pytest.raises(BackendError, match=r"is [3-9]\.\d+ s old"):
            backend.step(state.q_setpoint + 0.02)
        backend.close()
        wait_for(between, "state", 20)
        assert len(between.seen["command"]) == sent, "the arm may have been moved by others since"


def test_a_policy_that_takes_nearly_as_long_as_a_state_may_is_no_failure(between: Relay, robot: Sim) -> None:
    with connect(robot, stale_after=0.3) as backend:
        state = backend.reset(ONE, MARA.home[None])
        start = state.q_setpoint.copy()
        between.faults["state"] = lambda k, message: [(0.0, message)] if k % 8 == 0 else []  # one in 80 ms
        for _ in range(6):
            time.sleep(0.28)
            state = backend.step(state.q_setpoint + 0.01)
        np.testing.assert_allclose(state.q_setpoint, start + 0.06, atol=1e-9, err_msg="every step was taken")


def test_another_device_on_the_same_topic_is_ignored(between: Relay, arm: Any) -> None:
    gripper = between.graph.publish(JointState, "/near/joint_states")
    message = JointState(name=["finger"], position=[math.nan], velocity=[0.0])
    between.hooks["state"] = lambda _: gripper.publish(message)
    sway(arm, 16)
    check_arrives(arm)


def test_best_effort_states_are_accepted(robot: Sim) -> None:
    with relay(robot.domain, kinds=ROBOT_TOPICS, state_qos=qos_profile_sensor_data), connect(robot) as backend:
        sway(backend, 10)
        assert backend.link.graph.best_effort == {"/near/joint_states"}
        check_arrives(backend)


def test_states_without_velocities_get_those_of_their_way(between: Relay, arm: Any) -> None:
    between.faults["state"] = change(lambda message: setattr(message, "velocity", []))
    speeds = [arm.step(arm.q_setpoint + 0.02).dq[0] for _ in range(8)]
    assert np.median(speeds[2:]) == pytest.approx(0.02 / DT, rel=0.5)


def test_a_robot_is_not_in_lock_step(robot: Sim) -> None:
    with pytest.raises(BackendError, match="lock_step=True is required.*a robot, or a Gazebo Sim without"):
        make_backend("ros2", MARA, domain_id=robot.domain, namespace="far", lock_step=True)


def test_a_simulator_that_runs_freely_goes_to_its_start_too() -> None:
    with run_sim("mara", "--real-time") as sim, connect(sim, "mara", lock_step=False) as backend:
        state = backend.reset(ONE, np.full((1, MARA.dof), 0.2))
        fake = FakeBackend(MARA)
        fake.reset(ONE, state.q)
        errors = []
        for k in range(20):
            goal = state.q_setpoint + 0.02 * math.sin(k)
            state = backend.step(goal)
            errors.append(np.abs(state.q - fake.step(goal).q).max())
        assert np.median(errors) < 0.02 and not state.in_collision[0]
        with pytest.raises(BackendError, match="lock_step=True is required.*lock_step=False"):
            make_backend("ros2", MARA, domain_id=sim.domain, lock_step=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reset_speed": 0.0},
        {"reset_speed": 2.0},
        {"stale_after": 0.01},
        {"stale_after": math.nan},
        {"stale_after": math.inf},
        {"stale_after": "long"},
        {"reset_speed": "fast"},
        {"reset_speed": True},
        {"timeout": math.nan},
        {"timeout": 0.0},
        {"timeout": "soon"},
        {"namespace": "my-robot"},
        {"namespace": "left//arm"},
    ],
)
def test_options_that_cannot_work(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
        make_backend("ros2", MARA, **wrong)
