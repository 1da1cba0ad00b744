"""Grippers over ROS 2: fingers by joint name, also for clients that command the arm alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.base import Backend
from gym_gazebo2.env import ArmEnv
from gym_gazebo2.errors import BackendError, UnsupportedError
from gym_gazebo2.provider.messages import RefusedError, read_joints
from gym_gazebo2.robots import RobotRow, make_robot
from gym_gazebo2.testing import CHECKS

from .arms import make_row
from .gazebo_client import get_q, serve
from .pincer import URDF, Squeeze
from .sim_process import Sim, run_sim

ONE = np.ones(1, dtype=bool)
ROW = RobotRow(str(URDF))
WHOLE, ARM = make_robot(ROW, gripper=True), make_robot(ROW)


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with run_sim(str(URDF), "--gripper") as running:
        yield running


@pytest.fixture(scope="module", params=["mujoco", "gazebo"])
def either(request: pytest.FixtureRequest) -> Iterator[Sim]:
    """Both providers: a client must not be able to tell them apart by their fingers."""
    if request.param == "mujoco":
        yield request.getfixturevalue("sim")
        return
    with run_sim(str(URDF), "--gripper", "--provider", "gazebo") as running:
        yield running


WRONG = {
    ("yaw", "pitch", "left_finger"): "a command without the joint 'elbow'",
    ("yaw", "pitch"): "2 names and 2 positions, expected 5 of each, or 3 without the fingers",
    ("yaw", "yaw", "pitch"): "names a joint twice",
    ("yaw", "pitch", "thumb"): "unknown joint 'thumb'",
}
"""Joints of an invalid command → what both providers log."""


def connect(sim: Sim, robot=WHOLE) -> Backend:
    return make_backend("ros2", robot, domain_id=sim.domain, timeout=10.0)


@pytest.mark.parametrize("check", ["state", "setpoint", "reset", "fidelity", "fingers", "effort"])
def test_the_client_keeps_the_contract_with_a_gripper(sim, check):
    CHECKS[check](lambda num_envs: connect(sim), 1)


def test_it_moves_as_the_embedded_physics(sim):
    with closing(connect(sim)) as far, closing(make_backend("mujoco", WHOLE)) as near:
        states = [backend.reset(ONE, WHOLE.home[None]) for backend in (far, near)]
        rng = np.random.default_rng(0)
        for _ in range(20):
            travel = WHOLE.control_speed * far.control_dt * rng.uniform(-1, 0, WHOLE.dof)
            goal = np.clip(states[0].q_setpoint + travel, WHOLE.lower, WHOLE.upper)
            states = [backend.step(goal) for backend in (far, near)]
            np.testing.assert_allclose(states[0].q, states[1].q, atol=1e-9)


@pytest.mark.parametrize("check", ["state", "setpoint", "reset", "fidelity", "fingers"])
def test_the_client_keeps_the_contract_with_a_gripper_in_gazebo(either, check):
    CHECKS[check](lambda num_envs: connect(either), 1)


def test_a_provider_announces_its_fingers(either):
    with closing(connect(either)) as backend:
        provider = backend.link.provider
        assert provider.joints == WHOLE.joint_names and provider.fingers == WHOLE.gripper.joint_names
        assert provider.takes_effort
        backend.reset(ONE, WHOLE.home[None])
        state = backend.step_effort(np.zeros((1, WHOLE.dof)))
        np.testing.assert_allclose(state.q[0], WHOLE.home, atol=1e-6)


def test_gazebo_arranges_fingers_by_name_and_names_what_is_wrong():
    """A plain client: no check of this package's client stands between the message and the plug-in."""
    arm, fingers = list(ARM.joint_names), list(WHOLE.gripper.joint_names)
    with serve(WHOLE) as (server, client):
        q = np.array([0.1, 0.2, 0.3, 0.01, 0.03])
        client.place(q)
        client.joints = [arm[2], fingers[0], arm[0], fingers[1], arm[1]]
        order = [WHOLE.joint_names.index(name) for name in client.joints]
        state = client.step(q[order] + 0.001)
        np.testing.assert_allclose(read(state), q + 0.001, atol=2e-3)
        client.joints = [arm[1], arm[2], arm[0]]
        client.step([0.22, 0.32, 0.12])
        state = client.step([0.22, 0.32, 0.12])
        np.testing.assert_allclose(read(state), [0.12, 0.22, 0.32, 0.011, 0.031], atol=4e-3)  # the drives lag
        np.testing.assert_allclose(read(client.place([0.2, 0.3, 0.1])), [0.1, 0.2, 0.3, 0.011, 0.031], atol=1e-4)
        for names, text in WRONG.items():
            client.joints = list(names)
            message = client.make_command([0.0] * len(names))
            message.header.frame_id = f"wrong {text}"
            client.commands.publish(message)
            assert client.spin_until_found(lambda text=text: text in server.quote_log(1000)), text
        client.joints = list(WHOLE.joint_names)
        np.testing.assert_allclose(read(client.step(q)), q, atol=2e-3)  # what was ignored has changed nothing


@pytest.mark.parametrize("name", ["panda", "so101"])
def test_real_fingers_close_and_open_in_gazebo_as_in_mujoco(name):
    """Two fingers that slide, of which one mimics the other, and a jaw that turns, with the makers' meshes."""
    robot = make_robot(make_row(name), gripper=True)
    fingers, reach = slice(robot.chain_dof, None), robot.control_speed * 0.05
    with closing(make_backend("gazebo", robot)) as gazebo, closing(make_backend("mujoco", robot, physics_dt=1e-3)) as mujoco:
        assert gazebo.link.provider.fingers == robot.gripper.joint_names
        states = [backend.reset(ONE, robot.home[None]) for backend in (gazebo, mujoco)]
        goal, differences, openings = robot.home.copy(), [], []
        for period in range(80):
            wanted = robot.gripper.compute_positions(-1.0 if period < 40 else 1.0)
            goal[fingers] = np.clip(wanted, (goal - reach)[fingers], (goal + reach)[fingers])
            states = [backend.step(goal[None]) for backend in (gazebo, mujoco)]
            differences.append((states[0].q - states[1].q)[0] / robot.scale)
            openings.append(float(robot.gripper.compute_opening(states[0].q[0, fingers])))
    assert np.sqrt(np.mean(np.square(differences))) < 0.01
    assert openings[39] == pytest.approx(-1.0, abs=0.02) and openings[-1] == pytest.approx(1.0, abs=0.02)


def read(state) -> np.ndarray:
    """Return the positions of a state in the robot's order."""
    return get_q(state)[[list(state.name).index(name) for name in WHOLE.joint_names]]


def test_a_client_of_the_arm_alone_leaves_the_fingers_where_they_are(either):
    sim = either
    with closing(connect(sim)) as whole:
        q = WHOLE.home.copy()
        q[3:] = 0.01
        whole.reset(ONE, q[None])
    with closing(connect(sim, ARM)) as alone:
        readings, take = [], alone.link.on_state
        alone.link.on_state = lambda reading: (readings.append(reading), take(reading))
        state = alone.reset(ONE, ARM.home[None])
        for _ in range(5):
            state = alone.step(state.q_setpoint + 0.02)
        assert state.q.shape == (1, 3)
    assert len(readings) >= 6
    for reading in readings:
        for finger in WHOLE.gripper.joint_names:
            assert abs(reading.position[reading.names.index(finger)] - 0.01) < 1e-4


def test_an_environment_squeezes_over_ros(sim):
    options = {"domain_id": sim.domain}
    with closing(ArmEnv(WHOLE, Squeeze(), backend="ros2", backend_options=options)) as env:
        assert env.action_space.shape == (4,)
        env.reset(seed=0)
        for _ in range(10):
            env.step(np.array([0.0, 0.0, 0.0, -1.0]))
        np.testing.assert_allclose(env.core.arm.q[0, 3:], 0.0, atol=1e-3)


def test_a_client_with_a_gripper_needs_a_provider_with_one():
    with run_sim(str(URDF)) as held, pytest.raises(BackendError, match="Start a provider of this robot with its gripper"):
        connect(held)


def test_messages_name_the_arm_or_all_joints():
    current = np.array([0.0, 0.0, 0.0, 0.02, 0.03])
    arm = read_joints("command", ["elbow", "yaw", "pitch"], [0.3, 0.1, 0.2], WHOLE, current)
    np.testing.assert_array_equal(arm, [0.1, 0.2, 0.3, 0.02, 0.03])
    whole = read_joints("command", WHOLE.joint_names, [0.1, 0.2, 0.3, 0.0, 0.01], WHOLE, current)
    np.testing.assert_array_equal(whole, [0.1, 0.2, 0.3, 0.0, 0.01])
    for names, message in WRONG.items():
        with pytest.raises(RefusedError, match=message):
            read_joints("command", names, [0.0] * len(names), WHOLE, current)
    with pytest.raises(RefusedError, match="'right_finger' is NaN or outside its limits"):
        read_joints("command", WHOLE.joint_names, [0.0, 0.0, 0.0, 0.0, 0.05], WHOLE, current)


def test_torques_move_it_as_in_the_embedded_physics(sim):
    with closing(connect(sim)) as far, closing(make_backend("mujoco", WHOLE)) as near:
        states = [backend.reset(ONE, WHOLE.home[None]) for backend in (far, near)]
        rng = np.random.default_rng(0)
        for _ in range(20):
            effort = rng.uniform(-0.3, 0.3, (1, WHOLE.dof)) * WHOLE.effort_limit
            states = [backend.step_effort(effort) for backend in (far, near)]
            np.testing.assert_allclose(states[0].q, states[1].q, atol=1e-9)
            np.testing.assert_allclose(states[0].q_setpoint, states[1].q_setpoint, atol=1e-9)
        states = [backend.step(backend.q_setpoint) for backend in (far, near)]
        np.testing.assert_allclose(states[0].q, states[1].q, atol=1e-9)


def test_a_provider_in_real_time_refuses_torques():
    with run_sim(str(URDF), "--gripper", "--real-time") as free, closing(connect(free)) as backend:
        backend.reset(ONE, WHOLE.home[None])
        with pytest.raises(UnsupportedError, match="Torque control needs a provider in lock-step that takes efforts"):
            backend.step_effort(np.zeros((1, WHOLE.dof)))
