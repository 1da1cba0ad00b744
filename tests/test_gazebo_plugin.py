"""The Gazebo plug-in, in a real gzserver, driven by a real rclpy client over the ROS 2 contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.robots import RobotSpec, make_robot

from .gazebo_client import Client, get_q, serve, to_ns

PERIOD = 50_000_000
ALL = np.ones(1, dtype=bool)
BOX = """<model name="box"><pose>0.6 0 0.05 0 0 0</pose><link name="box"><collision name="c">
<geometry><box><size>.1 .1 .1</size></box></geometry></collision></link></model><plugin name="gym"""


@pytest.fixture(scope="module")
def mara() -> RobotSpec:
    return make_robot("mara")


@pytest.fixture(scope="module")
def served(mara: RobotSpec) -> Iterator[tuple[GazeboServer, Client]]:
    with serve(mara, edit=lambda world: world.replace('<plugin name="gym', BOX)) as both:
        yield both


@pytest.fixture
def client(served: tuple[GazeboServer, Client]) -> Client:
    served[0].check_alive()
    return served[1]


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


def test_provider_says_what_it_is(client: Client, mara: RobotSpec) -> None:
    told = client.provider
    assert (told["kind"], told["lock_step"], told["physics_dt"]) == ("gazebo", True, 0.001)
    assert tuple(told["joints"]) == mara.joint_names and len(told["version"]) == 16


def test_stamps_are_exact(client: Client, mara: RobotSpec) -> None:
    start = client.place(mara.home)
    stamps = [to_ns(client.step(q).header.stamp) for q in walk(mara, np.random.default_rng(0), get_q(start), 200)]
    assert stamps == [to_ns(start.header.stamp) + k * PERIOD for k in range(1, 201)]
    assert client.spin_until(lambda: client.clocks and client.clocks[-1] == stamps[-1])


@pytest.mark.parametrize("dt", [0.001, 0.013, 0.2])
def test_period_is_what_the_command_says(client: Client, mara: RobotSpec, dt: float) -> None:
    start = client.place(mara.home)
    state = client.step(get_q(start) + 0.0005, dt)
    assert to_ns(state.header.stamp) - to_ns(start.header.stamp) == round(dt * 1e9)


def test_time_stands_still_without_a_command(client: Client, mara: RobotSpec) -> None:
    first = client.place(mara.home)
    assert not client.spin_until(lambda: len(client.states) > 1, timeout=0.5)
    assert to_ns(client.place(mara.home).header.stamp) == to_ns(first.header.stamp)


def test_agrees_with_the_reference(client: Client, mara: RobotSpec) -> None:
    errors = []
    for seed in range(5):
        fake, rng = FakeBackend(mara), np.random.default_rng(seed)
        start = rng.uniform(-0.5, 0.5, mara.dof)
        client.place(start)
        fake.reset(ALL, start[None])
        for setpoint in walk(mara, rng, start, 40):
            state = client.step(setpoint)
            errors.append(get_q(state) - fake.step(setpoint[None]).q[0])
    assert np.sqrt(np.mean(np.square(errors))) < 0.004
    assert np.abs(errors).max() < 0.02


def test_agrees_with_embedded_physics(client: Client, mara: RobotSpec) -> None:
    mujoco = pytest.importorskip("gym_gazebo2.backends.mujoco")
    errors = []
    for seed in range(5):
        embedded, rng = mujoco.MujocoBackend(mara, physics_dt=0.001), np.random.default_rng(seed)
        start = rng.uniform(-0.5, 0.5, mara.dof)
        client.place(start)
        embedded.reset(ALL, start[None])
        for setpoint in walk(mara, rng, start, 40):
            state, other = client.step(setpoint), embedded.step(setpoint[None])
            if other.in_collision[0]:
                break
            errors.append(get_q(state) - other.q[0])
    assert len(errors) > 150
    assert np.sqrt(np.mean(np.square(errors))) < 0.001


def test_same_commands_move_it_bit_equally(client: Client, mara: RobotSpec) -> None:
    runs = []
    for _ in range(2):
        start = client.place(mara.home)
        runs.append([get_q(client.step(q)) for q in walk(mara, np.random.default_rng(7), get_q(start), 60)])
    assert np.array_equal(runs[0], runs[1])


def test_places_exactly_out_of_motion(client: Client, mara: RobotSpec) -> None:
    rng = np.random.default_rng(3)
    for trial in range(150):
        q = rng.uniform(mara.lower, mara.upper)
        if trial % 3 == 0:
            q = np.sign(q) * np.minimum(mara.upper, np.pi - rng.uniform(0, 0.05, mara.dof))
        placed = client.place(q)
        assert np.abs(get_q(placed) - q).max() < 1e-9 and not np.any(placed.velocity)
        is_free = contact_force(client, placed) == 0
        held = client.step(q)
        if is_free:
            assert np.abs(get_q(held) - q).max() < 1e-6 and np.abs(held.velocity).max() < 1e-3
        client.step(np.clip(q + rng.uniform(-0.07, 0.07, mara.dof), mara.lower, mara.upper))


def test_comes_out_of_what_it_was_placed_in_no_faster_than_it_may_turn(client: Client, mara: RobotSpec) -> None:
    rng, touching = np.random.default_rng(3), 0
    for _ in range(200):
        q = rng.uniform(mara.lower, mara.upper)
        touching += contact_force(client, client.place(q)) > 0
        assert np.all(np.abs(client.step(q).velocity) <= mara.velocity_limit)
    assert touching > 20


def test_contacts_tell_touching_from_free(client: Client, mara: RobotSpec) -> None:
    free, floor = np.zeros(mara.dof), np.array([0, 2.3, 0, 0, 0, 0])
    folded = np.array([0, 0, 2.6, 0, 2.5, 0])
    assert [contact_force(client, client.place(q)) > 0 for q in (free, floor, folded)] == [False, True, True]
    client.place([0, 1.35, 0, 0, 0, 0])
    forces = [contact_force(client, client.step([0, 1.35 + 0.05 * k, 0, 0, 0, 0])) for k in range(1, 13)]
    assert forces[0] == 0 and max(forces) > 10


def test_repeated_token_is_answered_without_stepping(client: Client, mara: RobotSpec) -> None:
    start = get_q(client.place(mara.home))
    first = client.step(start + 0.01, token="t:1")
    again = client.step(start + 0.01, token="t:1")
    assert (again.header.stamp, again.position) == (first.header.stamp, first.position)
    for _ in range(100):
        second = client.step(start + 0.02)
    late = client.make_command(start + 0.01)
    late.header.frame_id = "t:1"
    client.states.clear()
    client.commands.publish(late)
    assert not client.spin_until(lambda: client.states, timeout=0.3), "an old token was answered"
    assert to_ns(client.step(start + 0.03).header.stamp) == to_ns(second.header.stamp) + PERIOD


def test_joints_go_by_name(client: Client, mara: RobotSpec) -> None:
    client.place(mara.home)
    command = client.make_command(np.linspace(0.01, 0.06, mara.dof)[::-1])
    command.joint_names = command.joint_names[::-1]
    state = client.ask(client.commands, command)
    assert np.allclose(get_q(state), np.linspace(0.01, 0.06, mara.dof), atol=0.02)
    assert tuple(state.name) == mara.joint_names


def wrong_messages(client: Client, robot: RobotSpec) -> dict[str, JointTrajectory]:
    home = np.array(robot.home)
    wrong = {name: client.make_command(home) for name in ("unknown", "twice", "missing", "no point", "two points", "backwards")}
    wrong["unknown"].joint_names = [*robot.joint_names[:-1], "elbow"]
    wrong["twice"].joint_names = [*robot.joint_names[:-1], robot.joint_names[0]]
    wrong["missing"].joint_names = wrong["missing"].joint_names[:-1]
    wrong["no point"].points = []
    wrong["two points"].points = wrong["two points"].points * 2
    wrong["backwards"].points[0].time_from_start.sec = -1
    wrong["nothing"] = JointTrajectory()
    wrong["short"] = client.make_command(home[:-1])
    wrong["nan"] = client.make_command([np.nan, *home[1:]])
    wrong["infinite"] = client.make_command([np.inf, *home[1:]])
    wrong["outside"] = client.make_command([3.2, *home[1:]])
    wrong["fast"] = client.make_command([1.0, *home[1:]])
    wrong["at once"] = client.make_command(home, 0.0)
    wrong["part of a step"] = client.make_command(home, 0.0005)
    wrong["an hour"] = client.make_command(home, 3600.0)
    return wrong


def test_wrong_commands_are_ignored(client: Client, served: tuple[GazeboServer, Client], mara: RobotSpec) -> None:
    before = to_ns(client.place(mara.home).header.stamp)
    for name, message in wrong_messages(client, mara).items():
        client.states.clear()
        client.commands.publish(message)
        assert not client.spin_until(lambda: client.states, timeout=0.05), name
    assert to_ns(client.place(mara.home).header.stamp) == before
    log = served[0].quote_log(1000)
    assert "ignored a command for the unknown joint 'elbow'" in log
    assert log.count("ignored a command: 'motor1' is NaN or outside its limits (logged once)") == 1
    for said in ("is not between 0 and 60 s", "is not a whole number of physics steps of 1000000 ns"):
        assert log.count(said) == 1


@pytest.mark.parametrize("position", [[np.nan] * 6, [9.0] * 6, [0.0] * 5, []])
def test_wrong_placements_are_ignored(client: Client, mara: RobotSpec, position: list[float]) -> None:
    client.place(mara.home)
    client.states.clear()
    client.places.publish(JointState(name=client.joints, position=position))
    assert not client.spin_until(lambda: client.states, timeout=0.05)


def test_reset_world_puts_everything_back_and_lets_time_run_on(client: Client, mara: RobotSpec) -> None:
    moved = client.step(get_q(client.place(mara.home)) + 0.05)
    client.reset_world()
    state = client.step(mara.home, token="after-reset")
    assert np.abs(get_q(state) - mara.home).max() < 1e-6
    assert to_ns(state.header.stamp) == to_ns(moved.header.stamp) + PERIOD


def test_nothing_grows(client: Client, served: tuple[GazeboServer, Client], mara: RobotSpec) -> None:
    def count() -> tuple[int, int]:
        status = Path(f"/proc/{served[0].process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["VmRSS"].split()[0]), int(fields["Threads"])

    rng = np.random.default_rng(5)
    sizes = []
    for _ in range(3):
        for _ in range(300):
            client.step(get_q(client.place(rng.uniform(-1, 1, mara.dof))))
        sizes.append(count())
    assert sizes[2][0] - sizes[1][0] < 1000 and sizes[2][1] == sizes[0][1], sizes


@pytest.mark.parametrize("name", ["scara", "scara4", "panda"])
def test_other_robots(name: str) -> None:
    robot, rng = make_robot(name), np.random.default_rng(0)
    fake = FakeBackend(robot)
    with serve(robot, namespace="left/arm") as (_, client):
        start = client.place(np.array(robot.home))
        fake.reset(ALL, get_q(start)[None])
        errors = [get_q(client.step(q)) - fake.step(q[None]).q[0] for q in walk(robot, rng, get_q(start), 40)]
    assert np.abs(errors).max() < 0.02


def test_real_time_runs_by_itself(mara: RobotSpec) -> None:
    with serve(mara, real_time_factor=1.0, control_dt=0.02) as (_, client):
        assert client.provider["lock_step"] is False
        client.states.clear()
        assert client.spin_until(lambda: len(client.states) > 20)
        stamps = np.array([to_ns(state.header.stamp) for state in client.states])
        assert np.all(np.diff(stamps) % 20_000_000 == 0) and np.all(np.diff(stamps) > 0)
        placed = client.place(np.full(mara.dof, 0.3))
        assert np.abs(get_q(placed) - 0.3).max() < 1e-9
        for pose in (0.1, 0.2):  # "world" is no token: in real time every placement counts
            message = JointState(name=client.joints, position=[pose] * mara.dof)
            message.header.frame_id = "world"
            client.places.publish(message)
            assert client.spin_until(lambda pose=pose: np.abs(get_q(client.states[-1]) - pose).max() < 1e-6, timeout=5)
        for goal in (0.4, 0.5):
            command = client.make_command(np.full(mara.dof, goal), 0.5)
            command.header.frame_id = "base_link"  # no token: in real time every command counts
            client.commands.publish(command)
            assert client.spin_until(lambda goal=goal: np.abs(get_q(client.states[-1]) - goal).max() < 1e-3, timeout=5)


def test_a_physics_step_is_told_to_the_last_digit(mara: RobotSpec) -> None:
    with serve(mara, control_dt=1 / 32, physics_dt=1 / 512) as (_, client):
        assert client.provider["physics_dt"] == pytest.approx(1 / 512, abs=1e-12)


def test_real_time_rounds_the_time_of_a_command_up(mara: RobotSpec) -> None:
    """A command of 1.5 ms takes two physics steps: a joint may go as far as it can in two, and no farther."""
    step = 0.001 * mara.velocity_limit
    with serve(mara, real_time_factor=1.0, control_dt=0.02) as (server, client):
        start = get_q(client.place(mara.home))
        too_far = client.make_command(start + 2.1 * step, 0.0015)
        too_far.header.frame_id = "too far"
        client.states.clear()
        client.commands.publish(too_far)
        assert client.spin_until(lambda: len(client.states) > 5)
        assert all(state.header.frame_id != "too far" for state in client.states)
        client.ask(client.commands, client.make_command(start + 1.9 * step, 0.0015))
        assert client.spin_until(lambda: np.abs(get_q(client.states[-1]) - start - 1.9 * step).max() < 1e-4, timeout=5)
        log = server.quote_log(1000)
    assert "faster than its velocity limit" in log and "physics steps" not in log
