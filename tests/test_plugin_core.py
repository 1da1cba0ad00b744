"""The core of the plug-in, driven by a real rclpy client over the ROS 2 contract: tokens, invalid messages, placements, ends.

It runs on joints that move by themselves, where a placement takes a physics step as in gz-sim, or none as in Gazebo 11; and in
the simulator.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState, MultiDOFJointState
from trajectory_msgs.msg import JointTrajectory

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.contract import OBJECTS_MARK, PLACE_OBJECTS_TOPIC
from gym_gazebo2.errors import BackendError
from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.robots import RobotSpec, make_robot
from gym_gazebo2.ros import Domain
from gym_gazebo2.scene import Scene
from gym_gazebo2.testing import CHECKS, OBJECT_CHECKS

from .conftest import ROOT
from .gazebo_client import Client, contact_force, get_q, serve, start_server, start_world, to_ns, walk
from .processes import wait_gone
from .scenes import SCENE, make_panda
from .servo import Servo, start_servo
from .simulator import PLACE_STEPS, SIMULATOR

PERIOD, STEP = 50_000_000, 1_000_000
ALL = np.ones(1, dtype=bool)


@dataclasses.dataclass(frozen=True)
class Provider:
    """What runs the core.

    Attributes:
        kind: Its kind in the provider topic.
        place_steps: Physics steps that a placement takes.
        takes_effort: Whether it carries out commands of efforts.
        start: Starts a server of a robot in a domain.
    """

    kind: str
    place_steps: int
    takes_effort: bool
    start: Callable[..., GazeboServer]

    def serve(self, robot: RobotSpec, **options: Any) -> AbstractContextManager[tuple[GazeboServer, Client]]:
        return serve(robot, self.start, **options)


PROVIDERS = {
    "servo": Provider("servo", 1, False, start_servo),
    "servo that places at once": Provider(
        "servo", 0, True, functools.partial(start_servo, places_at_once=True, takes_effort=True)
    ),
    SIMULATOR: Provider(SIMULATOR, PLACE_STEPS, True, start_server),
}


@pytest.fixture(scope="module", params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]


@pytest.fixture(scope="module")
def mara() -> RobotSpec:
    return make_robot("mara")


@pytest.fixture(scope="module")
def served(mara: RobotSpec, provider: Provider) -> Iterator[tuple[GazeboServer, Client]]:
    with provider.serve(mara) as both:
        yield both


@pytest.fixture
def client(served: tuple[GazeboServer, Client]) -> Client:
    served[0].check_alive()
    return served[1]


@pytest.fixture
def domain() -> Iterator[int]:
    taken = Domain()
    yield taken.id
    taken.release()


def test_provider_says_what_it_is(client: Client, mara: RobotSpec, provider: Provider) -> None:
    told = client.provider
    assert (told["kind"], told["lock_step"], told["physics_dt"]) == (provider.kind, True, 0.001)
    assert tuple(told["joints"]) == mara.joint_names and len(told["version"]) == 16
    assert told["fingers"] == [] and told["takes_effort"] == provider.takes_effort and "scene" not in told


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


def test_time_stands_still_without_a_command(client: Client, mara: RobotSpec, provider: Provider) -> None:
    first = client.place(mara.home)
    assert not client.spin_until(lambda: len(client.states) > 1, timeout=0.5)
    again = client.place(mara.home)
    assert to_ns(again.header.stamp) == to_ns(first.header.stamp) + provider.place_steps * STEP


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


def test_same_commands_move_it_bit_equally(client: Client, mara: RobotSpec) -> None:
    runs = []
    for _ in range(2):
        start = client.place(mara.home)
        runs.append([get_q(client.step(q)) for q in walk(mara, np.random.default_rng(7), get_q(start), 60)])
    assert np.array_equal(runs[0], runs[1])


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


def test_efforts_are_ignored_where_the_simulator_does_not_take_them(
    client: Client, served: tuple[GazeboServer, Client], mara: RobotSpec, provider: Provider
) -> None:
    start = client.place(mara.home)
    message = client.make_command(mara.home)
    point = message.points[0]
    point.positions, point.effort = [], [0.0] * mara.dof
    if client.provider["takes_effort"]:
        assert to_ns(client.ask(client.commands, message).header.stamp) == to_ns(start.header.stamp) + PERIOD
        return
    reason = "ignored a command of efforts, which this simulator does not take"
    client.states.clear()
    client.commands.publish(message)
    assert client.spin_until_found(lambda: reason in served[0].quote_log(100))
    assert not client.states


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


def test_wrong_commands_are_ignored(
    client: Client, served: tuple[GazeboServer, Client], mara: RobotSpec, provider: Provider
) -> None:
    before = to_ns(client.place(mara.home).header.stamp)
    for name, message in wrong_messages(client, mara).items():
        client.states.clear()
        client.commands.publish(message)
        assert not client.spin_until(lambda: client.states, timeout=0.05), name
    assert to_ns(client.place(mara.home).header.stamp) == before + provider.place_steps * STEP
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


def test_reset_world_puts_everything_back_and_lets_time_run_on(client: Client, mara: RobotSpec, provider: Provider) -> None:
    moved = client.step(get_q(client.place(mara.home)) + 0.05)
    client.reset_world()
    state = client.step(mara.home, token="after-reset")
    assert np.abs(get_q(state) - mara.home).max() < 1e-6
    assert to_ns(state.header.stamp) == to_ns(moved.header.stamp) + provider.place_steps * STEP + PERIOD


@pytest.mark.parametrize("name", ["scara", "scara4", "panda"])
def test_other_robots(name: str, provider: Provider) -> None:
    robot, rng = make_robot(name), np.random.default_rng(0)
    fake = FakeBackend(robot)
    with provider.serve(robot, namespace="left/arm") as (_, client):
        start = client.place(np.array(robot.home))
        fake.reset(ALL, get_q(start)[None])
        errors = [get_q(client.step(q)) - fake.step(q[None]).q[0] for q in walk(robot, rng, get_q(start), 40)]
    assert np.abs(errors).max() < 0.02


def test_real_time_runs_by_itself(mara: RobotSpec, provider: Provider) -> None:
    with provider.serve(mara, real_time_factor=1.0, control_dt=0.02) as (_, client):
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


def test_a_physics_step_is_told_to_the_last_digit(mara: RobotSpec, provider: Provider) -> None:
    with provider.serve(mara, control_dt=1 / 32, physics_dt=1 / 512) as (_, client):
        assert client.provider["physics_dt"] == pytest.approx(1 / 512, abs=1e-12)


def test_real_time_rounds_the_time_of_a_command_up(mara: RobotSpec, provider: Provider) -> None:
    """A command of 1.5 ms takes two physics steps: a joint may go as far as it can in two, and no farther."""
    step = 0.001 * mara.velocity_limit
    with provider.serve(mara, real_time_factor=1.0, control_dt=0.02) as (server, client):
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


def test_a_command_behind_a_placement_waits_for_it(client: Client, mara: RobotSpec) -> None:
    """Both are in the queues before the server looks: the placement comes first, and the command starts from its pose."""
    for trial in range(20):
        client.states.clear()
        place = JointState(name=client.joints, position=np.full(mara.dof, 0.02 * trial).tolist())
        place.header.frame_id = f"place:{trial}"
        command = client.make_command(np.full(mara.dof, 0.02 * trial + 0.01))
        command.header.frame_id = f"command:{trial}"
        client.places.publish(place)
        assert client.spin_until(lambda token=place.header.frame_id: any(s.header.frame_id == token for s in client.states))
        placed = client.states[-1]
        state = client.ask(client.commands, command, command.header.frame_id)
        assert to_ns(state.header.stamp) == to_ns(placed.header.stamp) + PERIOD
        assert np.abs(get_q(placed) - 0.02 * trial).max() < 1e-9 and np.abs(get_q(state) - get_q(placed) - 0.01).max() < 0.01


@pytest.mark.parametrize("places_at_once", [True, False])
def test_contacts_of_a_pose_and_of_a_period(mara: RobotSpec, places_at_once: bool) -> None:
    with serve(mara, start_servo, wall=0.5, places_at_once=places_at_once) as (_, client):
        touching = np.array([0.6, *mara.home[1:]])
        placed = client.place(touching)
        assert contact_force(client, placed) > 0
        np.testing.assert_array_equal(
            get_q(placed), touching
        )  # the wall has pushed during a step, but the pose is the wanted one
        assert not np.any(placed.velocity)
        assert contact_force(client, client.place(mara.home)) == 0
        client.place([0.45, *mara.home[1:]])
        forces = [contact_force(client, client.step([0.45 + 0.02 * k, *mara.home[1:]])) for k in range(1, 6)]
        assert forces[0] == 0 and forces[-1] > 1


def start_backend(stack: ExitStack, robot: RobotSpec, num_envs: int, scene: Scene | None = None) -> Any:
    """Return a backend with a servo of its own: a check may have two backends at a time."""
    domain = Domain()
    stack.callback(domain.release)
    stack.enter_context(closing(start_servo(robot, domain.id, scene=scene, takes_effort=True)))
    return make_backend("ros2", robot, num_envs=num_envs, domain_id=domain.id, lock_step=True, scene=scene)


@pytest.mark.parametrize("check", CHECKS)
def test_the_core_keeps_the_contract(check: str) -> None:
    with ExitStack() as stack:
        CHECKS[check](functools.partial(start_backend, stack, make_robot("mara")), 1)


@pytest.mark.parametrize("check", OBJECT_CHECKS)
def test_the_core_keeps_the_contract_of_objects_where_a_placement_takes_a_step(check: str) -> None:
    with ExitStack() as stack:
        OBJECT_CHECKS[check](functools.partial(start_backend, stack, make_panda(), scene=SCENE), 1)


def test_a_command_that_waits_for_objects_goes_on_after_a_placement() -> None:
    """The objects of a command and a placement of the arm come in any order: both are carried out, without a second message."""
    robot = make_panda()
    with serve(robot, start_servo, scene=SCENE) as (_, client):
        topic = f"/{robot.name}/{PLACE_OBJECTS_TOPIC}"
        objects = client.node.create_publisher(MultiDOFJointState, topic, QoSProfile(depth=1))
        assert client.spin_until_found(objects.get_subscription_count)
        now = to_ns(client.place(robot.home).header.stamp)
        for trial in range(50):
            command = client.make_command(robot.home)
            command.header.frame_id = f"{trial}:command{OBJECTS_MARK}"
            message, place = MultiDOFJointState(), JointState(name=client.joints, position=robot.home.tolist())
            message.header.frame_id, place.header.frame_id = command.header.frame_id, f"{trial}:place"
            client.commands.publish(command)
            for publisher, sent in ((client.places, place), (objects, message))[:: -1 if trial % 2 else 1]:
                publisher.publish(sent)
            now += PERIOD + STEP  # the first of the two answers may be overwritten by the second
            assert client.spin_until(lambda now=now: client.states and to_ns(client.states[-1].header.stamp) == now, 5.0), trial


@pytest.mark.parametrize("factor", [None, 0.0], ids=["waiting", "running"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it(provider: Provider, domain: int, number: int, factor: float | None) -> None:
    with provider.start(make_robot("scara"), domain, real_time_factor=factor) as server:
        os.kill(server.process.pid, number)
        assert server.process.wait(5) == 0


START = """
import os, sys
sys.path.insert(0, {root!r})
from tests.test_plugin_core import PROVIDERS
from gym_gazebo2.robots import make_robot
server = PROVIDERS[{name!r}].start(make_robot("scara"), {domain})
print(server.process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("name", PROVIDERS)
def test_it_ends_with_its_parent(name: str, domain: int) -> None:
    code = START.format(root=str(ROOT), name=name, domain=domain)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip().isdigit(), done.stderr
    assert wait_gone(int(done.stdout), 5)


def test_a_world_without_joints_ends_with_a_reason(domain: int) -> None:
    with closing(start_servo(make_robot("scara"), domain)):
        pass  # it is built
    with pytest.raises(BackendError, match=r"(?s)servo ended with exit status 3.*names no joint"):
        start_world(Servo(), "namespace /scara\n", domain)
