"""Grippers: found in URDFs, driven in every engine, part of the action where a task uses them."""

import dataclasses

import numpy as np
import pytest

from gym_gazebo2.backends import make_backend
from gym_gazebo2.controls import CONTROLS
from gym_gazebo2.core import ArmCore
from gym_gazebo2.env import ArmEnv
from gym_gazebo2.errors import InvalidArgumentError, RobotError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.options import make_options
from gym_gazebo2.robots import GripperRow, make_robot
from gym_gazebo2.tasks import ReachTask
from gym_gazebo2.testing import CHECKS
from gym_gazebo2.vector_env import ArmVectorEnv

from .arms import make_row
from .pincer import ROW, URDF, Squeeze, make_pincer

ONE = np.ones(1, dtype=bool)

# Arm → finger joints, closed, open [m or rad], grip force [N or N·m].
FOUND = {
    "panda": (("panda_finger_joint1", "panda_finger_joint2"), (0.0, 0.0), (0.04, 0.04), (100.0, 100.0)),
    "so101": (("gripper",), (-0.174533,), (1.74533,), (10.0,)),
    "z1": (("jointGripper",), (0.0,), (-1.5707,), (30.0,)),
    "talos": (("gripper_left_joint",), (0.0,), (-1.0471975512,), (1.0,)),
    "baxter": (
        ("l_gripper_l_finger_joint", "l_gripper_r_finger_joint"),
        (0.0, 0.0),
        (0.020833, -0.020833),
        (20.0, 20.0),
    ),
}


@pytest.fixture(params=sorted(FOUND))
def arm_name(request):
    return request.param


def test_a_gripper_is_found(arm_name):
    joints, closed, opened, force = FOUND[arm_name]
    gripper = make_robot(make_row(arm_name), gripper=True).gripper
    assert gripper.joint_names == joints
    np.testing.assert_allclose([gripper.closed, gripper.open, gripper.force], [closed, opened, force], atol=1e-9)
    np.testing.assert_allclose(
        gripper.mimic_ratios, [(b - a) / (opened[0] - closed[0]) for a, b in zip(closed, opened, strict=True)]
    )


def test_the_arm_is_the_same_with_and_without_its_gripper(arm_name):
    arm, whole = make_robot(make_row(arm_name)), make_robot(make_row(arm_name), gripper=True)
    fingers = len(FOUND[arm_name][0])
    assert arm.gripper is None and arm.dof == arm.chain_dof == whole.chain_dof == whole.dof - fingers
    for chain in (arm, whole.chain):
        for field in ("joint_names", "lower", "upper", "home", "drive_inertia", "control_speed", "T_joint_to_parent", "axis"):
            np.testing.assert_array_equal(getattr(chain, field), getattr(whole, field)[: arm.dof])
    q = np.random.default_rng(0).uniform(whole.lower, whole.upper, (5, whole.dof))
    one, two = Kinematics(arm), Kinematics(whole)
    np.testing.assert_array_equal(one.compute_tcp_pose(q[:, : arm.dof]), two.compute_tcp_pose(q))
    np.testing.assert_array_equal(one.compute_jacobian(q[:, : arm.dof]), two.compute_jacobian(q))
    speed = np.ones_like(q)
    np.testing.assert_array_equal(
        one.compute_tcp_state(q[:, : arm.dof], speed[:, : arm.dof]).velocity, two.compute_tcp_state(q, speed).velocity
    )


@pytest.mark.parametrize("engine", ["fake", "mujoco"])
@pytest.mark.parametrize("check", ["fingers", "fidelity", "effort", "reset", "random_actions", "misuse"])
def test_real_grippers_keep_the_contract(check, engine, arm_name):
    robot = make_robot(make_row(arm_name), gripper=True)
    CHECKS[check](lambda num_envs: make_backend(engine, robot, num_envs=num_envs), 3)


@pytest.mark.parametrize("check", CHECKS)
def test_backends_keep_the_contract_with_a_gripper(check, backend_name):
    robot = make_pincer()
    CHECKS[check](lambda num_envs: make_backend(backend_name, robot, num_envs=num_envs), 3)


@pytest.mark.parametrize("engine", ["fake", "mujoco"])
@pytest.mark.parametrize("name", ["panda", "baxter", "so101"])
def test_a_gripper_closes_in_time_and_its_fingers_stay_symmetric(name, engine):
    robot = make_robot(make_row(name), gripper=True)
    core = ArmCore(robot, Squeeze(), make_options({"backend": engine, "control": "delta"}))
    core.reset(ONE, [np.random.default_rng(0)])
    action = np.zeros((1, robot.chain_dof + 1))
    for opening in (-1.0, 1.0):
        action[0, -1] = opening
        stroke = np.abs(np.subtract(robot.gripper.open, robot.gripper.closed))
        travel_time = (stroke / robot.control_speed[robot.chain_dof :]).max()
        for _ in range(int(np.ceil(travel_time / core.control_dt)) + 4):  # 4 periods of 50 ms for the drive to settle
            core.step(action)
            share = (core.arm.q[0, robot.chain_dof :] - robot.gripper.closed) / np.subtract(
                robot.gripper.open, robot.gripper.closed
            )
            assert np.ptp(share) < 0.01
        np.testing.assert_allclose(share, (opening + 1) / 2, atol=0.02)
        assert not core.arm.in_collision[0]
        # The rest of the arm does not move: the reaction of the fingers is small against its drives.
        np.testing.assert_allclose(core.arm.q[0, : robot.chain_dof], robot.home[: robot.chain_dof], atol=1e-3)


@pytest.mark.parametrize(("gap", "force"), [(0.01, 15.0), (0.02, 30.0), (0.03, 30.0)])
def test_a_blocked_finger_pushes_with_at_most_the_grip_force(gap, force):
    """Half of it a quarter of the stroke away from the set-point, all of it from half the stroke on."""
    robot = make_pincer(gripper=GripperRow(force=30.0))
    backend = make_backend("mujoco", robot, control_dt=0.005, measure_forces=True)
    backend.reset(ONE, robot.home[None])
    state = backend.get_state()
    state["setpoint"][0, 3:] = 0.0
    state["q"][0, 3:] = gap
    backend.set_state(state)
    backend.step(state["setpoint"])
    np.testing.assert_allclose(backend.effort[0, 3:], -force, rtol=0.05)  # the links' 30 g are part of the inertia


@pytest.mark.parametrize("control", CONTROLS)
def test_environment_with_a_gripper(control, backend_name):
    """One component more; arm i of a batch moves as a single environment; a saved state continues bit-equally."""
    single = ArmEnv(ROW, Squeeze(), backend=backend_name, control=control, start_noise=0.1)
    batch = ArmVectorEnv(ROW, Squeeze(), num_envs=3, backend=backend_name, control=control, start_noise=0.1)
    size = {"tool_yaw": 5, "tool_pitch": 5, "tool_yaw_pitch": 6}.get(control, 4)
    assert single.action_space.shape == (size,) and batch.action_space.shape == (3, size)
    assert single.observation_space.shape == (11,)
    alone, _ = single.reset(seed=6)
    together, _ = batch.reset(seed=5)
    np.testing.assert_array_equal(alone, together[1])
    np.testing.assert_array_equal(together[:, 3:5], np.float32(0.04))  # start noise leaves the open fingers alone
    assert np.ptp(together[:, :3], axis=0).min() > 0.0
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (30, 3, size)).astype(np.float32)
    for k, action in enumerate(actions):
        if k == 10:
            saved, first = single.core.get_state(), []
        alone = single.step(action[1])[0]
        np.testing.assert_allclose(alone, batch.step(action)[0][1], atol=1e-6, rtol=0)
        if k >= 10:
            first.append(alone)
    other = ArmEnv(ROW, Squeeze(), backend=backend_name, control=control, start_noise=0.1)
    other.core.set_state(saved)
    for expected, action in zip(first, actions[10:], strict=True):
        np.testing.assert_array_equal(other.step(action[1])[0], expected)


def test_the_last_component_is_the_position_of_the_gripper():
    for control in ("delta", "position"):
        env = ArmEnv(ROW, Squeeze(), backend="fake", control=control)
        env.reset(seed=0)
        for opening, width in ((0.0, 0.02), (-1.0, 0.0), (0.5, 0.03), (1.0, 0.04)):
            for _ in range(10):
                env.step(np.array([0.0, 0.0, 0.0, opening]))
            np.testing.assert_allclose(env.core.arm.q[0, 3:], width, atol=1e-4)


def test_a_task_without_gripper_holds_the_fingers():
    env = ArmEnv(ROW, ReachTask((0.3, 0.0, 0.3)), backend="mujoco")
    assert env.action_space.shape == (3,) and env.core.robot.dof == 3


def test_a_gripper_that_the_task_does_not_use_stays_where_it_is():
    env = ArmEnv(make_pincer(), ReachTask((0.3, 0.0, 0.3)), backend="mujoco")
    assert env.action_space.shape == (3,) and env.core.robot.dof == 5
    env.reset(seed=0)
    for _ in range(20):
        env.step(env.action_space.sample())
    np.testing.assert_allclose(env.core.arm.q[0, 3:], 0.04, atol=1e-3)


def test_a_start_pose_may_leave_the_fingers_out():
    env = ArmEnv(ROW, Squeeze(), backend="fake")
    env.reset(options={"q": [0.1, 0.2, 0.3]})
    np.testing.assert_array_equal(env.core.arm.q[0], [0.1, 0.2, 0.3, 0.04, 0.04])
    env.reset(options={"q": [0.1, 0.2, 0.3, 0.01, 0.02]})
    np.testing.assert_array_equal(env.core.arm.q[0], [0.1, 0.2, 0.3, 0.01, 0.02])
    with pytest.raises(InvalidArgumentError, match="shape"):
        env.reset(options={"q": [0.1, 0.2, 0.3, 0.01]})


def test_row_overrides_what_was_found():
    row = GripperRow(
        closed=0.01, open={"left_finger": 0.03}, force=12.0, velocity_limit=0.1, control_speed=0.08, rotor_inertia=0.5
    )
    robot = make_pincer(gripper=row)
    assert robot.gripper.closed == (0.01, 0.01) and robot.gripper.open == (0.03, 0.03) and robot.gripper.force == (12.0, 12.0)
    np.testing.assert_array_equal(robot.effort_limit[3:], 12.0)
    np.testing.assert_array_equal(robot.velocity_limit[3:], 0.1)
    np.testing.assert_array_equal(robot.control_speed[3:], 0.08)
    np.testing.assert_array_equal(robot.rotor_inertia[3:], 0.5)
    named = make_pincer(gripper=GripperRow(joints=("left_finger",)))
    assert named.gripper.joint_names == ("left_finger", "right_finger")  # a follower comes with its master


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (GripperRow(joints=("elbow",)), r"gripper\.joints is \['elbow'\], expected moving joints beyond the last joint"),
        (GripperRow(joints=("right_finger",)), "'right_finger' mimics 'left_finger', which is not another finger"),
        (GripperRow(force=-1.0), "gripper.force of 'left_finger' is -1.0, expected a positive number"),
        (GripperRow(control_speed=0.4), r"gripper\.control_speed is .*expected speeds up to the limits"),
        (GripperRow(open=0.05), r"gripper\.open is .*expected positions between"),
        (GripperRow(open=0.0), "fingers whose open and closed positions differ"),
        (
            GripperRow(open={"thumb": 0.01}),
            "gripper.open is 'thumb', expected positions of the fingers left_finger, right_finger",
        ),
        (GripperRow(closed=float("nan")), "gripper.closed of 'left_finger' is nan, expected a finite position"),
    ],
)
def test_invalid_rows(row, message):
    with pytest.raises((InvalidArgumentError, RobotError), match=message):
        make_pincer(gripper=row)


def test_a_robot_without_gripper_is_refused_where_a_task_needs_one():
    with pytest.raises(RobotError, match="has no gripper: its last joint carries no further moving joint"):
        ArmEnv("mara", Squeeze(), backend="fake")
    with pytest.raises(RobotError, match=r"Make it with make_robot\(…, gripper=True\)"):
        ArmEnv(make_pincer(driven=False), Squeeze(), backend="fake")


def test_fingers_without_limits_name_the_option(tmp_path):
    text = URDF.read_text().replace('velocity="0.3" effort="40"', 'velocity="0.3"')
    path = tmp_path / "weak.urdf"
    path.write_text(text)
    row = dataclasses.replace(ROW, urdf=str(path))
    with pytest.raises(RobotError, match=r"'left_finger' .* has no effort limit.*gripper=GripperRow\(force=…\)"):
        make_robot(row, gripper=True)
    assert make_robot(dataclasses.replace(row, gripper=GripperRow(force=5.0)), gripper=True).gripper.force == (5.0, 5.0)


def test_a_follower_without_effort_has_that_of_its_master(tmp_path):
    head, tail = URDF.read_text().split('<joint name="right_finger"')
    path = tmp_path / "follower.urdf"
    path.write_text(head + '<joint name="right_finger"' + tail.replace('velocity="0.3" effort="40"', 'velocity="0" effort="0"'))
    assert make_robot(dataclasses.replace(ROW, urdf=str(path)), gripper=True).gripper.force == (40.0, 40.0)


def test_effort_of_a_gripper_closes_and_opens():
    robot = make_robot(make_row("baxter"), gripper=True)
    np.testing.assert_allclose(robot.gripper.compute_effort(-1.0), [-20.0, 20.0])
    np.testing.assert_allclose(
        robot.gripper.compute_opening(robot.gripper.compute_positions([-1.0, 0.3, 1.0])), [-1.0, 0.3, 1.0]
    )
