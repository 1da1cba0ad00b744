"""Differential inverse kinematics, compared with MuJoCo's Jacobian, a dense solver and mink."""

import gymnasium as gym
import mink
import mujoco
import numpy as np
import pytest

from gym_gazebo2.controls import TOOL_SPEED
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.inverse_kinematics import DAMPING, TILT_TOLERANCE, compute_joint_step, compute_tool_step
from gym_gazebo2.kinematics import Kinematics, compute_rotation_vector
from gym_gazebo2.robots import make_robot

DT = 0.05


def draw_poses(robot, n, seed=0):
    return np.random.default_rng(seed).uniform(robot.lower, robot.upper, (n, robot.dof))


def draw_displacements(n, size=0.03, columns=3, seed=1):
    return np.random.default_rng(seed).uniform(-size, size, (n, columns))


def load_mujoco(robot):
    spec = mujoco.MjSpec.from_file(robot.urdf)
    spec.compiler.fusestatic = False
    return spec.compile()


def measure_tilt(kinematics, q, q_start):
    R, R_start = (kinematics.compute_tcp_pose(pose)[:, :3, :3] for pose in (q, q_start))
    return np.linalg.norm(compute_rotation_vector(R @ R_start.swapaxes(1, 2)), axis=1)


@pytest.mark.parametrize("columns", [3, 6])
def test_a_joint_step_solves_the_damped_least_squares(robot, columns):
    """The same problem, with MuJoCo's Jacobian and a dense solver: min ‖J dq − d‖² + λ² ‖dq − h‖²."""
    model = load_mujoco(robot)
    data, tool = mujoco.MjData(model), model.body(robot.tool_frame).id
    q, d = draw_poses(robot, 100), draw_displacements(100, 0.003, columns)
    posture = 0.02 * np.sign(robot.home - q)
    actual, compared = compute_joint_step(Kinematics(robot), q, d, posture, damping=0.1), 0
    for i in range(len(q)):
        data.qpos[:] = q[i]
        mujoco.mj_forward(model, data)
        J = np.zeros((6, robot.dof))
        mujoco.mj_jacBody(model, data, J[:3], J[3:], tool)
        A = np.concatenate([J[:columns], 0.1 * np.eye(robot.dof)])
        expected = np.linalg.lstsq(A, np.concatenate([d[i], 0.1 * posture[i]]), rcond=None)[0]
        if np.all((q[i] + expected > robot.lower) & (q[i] + expected < robot.upper)):
            np.testing.assert_allclose(actual[i], expected, atol=1e-9)
            compared += 1
    assert compared > 50


def solve_with_mink(robot, model, q, displacement, posture):
    """Solve the same problem, limits included, by mink's quadratic program."""
    configuration = mink.Configuration(model, q)
    frame = mink.FrameTask(robot.tool_frame, "body", position_cost=1.0, orientation_cost=1.0)
    start = configuration.get_transform_frame_to_world(robot.tool_frame, "body")
    frame.set_target(mink.SE3.from_rotation_and_translation(start.rotation(), start.translation() + displacement))
    rest = mink.PostureTask(model, cost=DAMPING)
    rest.set_target(q + posture)
    limits = [mink.ConfigurationLimit(model, gain=1.0)]
    return mink.solve_ik(configuration, [frame, rest], dt=1.0, solver="daqp", damping=0.0, limits=limits)


def test_equals_mink(robot):
    """Equal joint motions free of limits; at a limit, the same limits are kept and the cost is as low."""
    model, kinematics = load_mujoco(robot), Kinematics(robot)
    q, d = draw_poses(robot, 200), draw_displacements(200, 0.02)
    q[100:] = np.where(np.random.default_rng(2).random((100, robot.dof)) < 0.5, robot.upper, q[100:])
    posture = 0.02 * np.sign(robot.home - q)
    wanted = np.concatenate([d, np.zeros_like(d)], axis=1)
    actual, num_free, num_bounded = compute_joint_step(kinematics, q, wanted, posture), 0, 0
    J = kinematics.compute_jacobian(q)

    def compute_cost(i, dq):
        return np.sqrt(np.sum((J[i] @ dq - wanted[i]) ** 2) + DAMPING**2 * np.sum((dq - posture[i]) ** 2))

    for i in range(len(q)):
        expected = solve_with_mink(robot, model, q[i], d[i], posture[i])
        reached = q[i] + expected
        if np.all((reached > robot.lower + 1e-6) & (reached < robot.upper - 1e-6)):
            np.testing.assert_allclose(actual[i], expected, atol=1e-6)
            num_free += 1
        else:
            assert np.all((q[i] + actual[i] >= robot.lower - 1e-12) & (q[i] + actual[i] <= robot.upper + 1e-12))
            assert compute_cost(i, actual[i]) <= compute_cost(i, expected) + 1e-7
            num_bounded += 1
    assert num_free > 50 and num_bounded > 20


def test_the_posture_is_approached_where_the_tool_leaves_the_joints_free():
    """Four joints in a plane have one more than position and orientation need."""
    robot, q_rest = make_robot("scara4"), np.array([0.2, 0.6, 0.5, 0.3])
    kinematics, travel, q = Kinematics(robot), robot.control_speed * DT, q_rest[None]
    T_rest, still = kinematics.compute_tcp_pose(q)[0], np.zeros((1, 3))
    for _ in range(200):  # away from the posture: along the null space, which comes from a singular value decomposition
        null = np.linalg.svd(kinematics.compute_jacobian(q)[0])[2][3:4]
        q = compute_tool_step(kinematics, q, still, travel, q + null * np.sign(null[0, 0]))
    assert np.abs(q[0] - q_rest).max() > 0.3
    np.testing.assert_allclose(kinematics.compute_tcp_pose(q)[0], T_rest, atol=5e-3)
    for _ in range(200):
        q = compute_tool_step(kinematics, q, still, travel, q_rest)
    np.testing.assert_allclose(q[0], q_rest, atol=0.02)


def test_the_tool_moves_as_asked_away_from_singularities(robot):
    kinematics, q, d = Kinematics(robot), draw_poses(robot, 500), draw_displacements(500, 0.004)
    if robot.name.startswith("scara"):
        d[:, 2] = 0.0  # its tool stays in a plane
    J = kinematics.compute_jacobian(q)
    rank = np.linalg.matrix_rank(J, tol=1e-9).max()
    margin = np.min(np.minimum(q - robot.lower, robot.upper - q), axis=1)
    chosen = (np.linalg.svd(J)[1][:, rank - 1] > 0.08) & (margin > 0.2)
    assert chosen.sum() > 20
    q, d = q[chosen], d[chosen]
    moved = compute_tool_step(kinematics, q, d, np.full(robot.dof, 0.5))
    actual = kinematics.compute_tcp_pose(moved)[:, :3, 3] - kinematics.compute_tcp_pose(q)[:, :3, 3]
    np.testing.assert_allclose(actual, d, atol=2e-5)


@pytest.mark.parametrize("kind", ["random walk", "into the border"])
def test_speed_limits_and_orientation_hold_everywhere(robot, kind):
    """From uniformly drawn poses, many of them singular or at a limit: 100 periods, mostly at the border of the workspace."""
    kinematics, travel, rng = Kinematics(robot), robot.control_speed * DT, np.random.default_rng(3)
    start = draw_poses(robot, 64)
    start[::4] = np.where(rng.random((16, robot.dof)) < 0.5, robot.lower, robot.upper)
    start[1] = robot.home
    q, action, path = start, rng.uniform(-1, 1, (64, 3)), 0.0
    for _ in range(100):
        action = rng.uniform(-1, 1, (64, 3)) if kind == "random walk" else action
        new = compute_tool_step(kinematics, q, TOOL_SPEED * DT * action, travel)
        assert np.all(np.abs(new - q) <= travel + 1e-12)
        assert np.all((new >= robot.lower) & (new <= robot.upper))
        assert measure_tilt(kinematics, new, q).max() <= TILT_TOLERANCE
        path += np.linalg.norm(kinematics.compute_tcp_pose(new)[:, :3, 3] - kinematics.compute_tcp_pose(q)[:, :3, 3], axis=1)
        q = new
    assert measure_tilt(kinematics, q, start).max() <= 100 * TILT_TOLERANCE
    assert np.median(path) > 0.1  # the arms did move


def test_an_arm_moves_alike_alone_and_in_a_batch(robot):
    kinematics, travel = Kinematics(robot), robot.control_speed * DT
    q, d = draw_poses(robot, 32), draw_displacements(32)
    rows = [compute_tool_step(kinematics, q[i : i + 1], d[i : i + 1], travel) for i in range(32)]
    np.testing.assert_allclose(compute_tool_step(kinematics, q, d, travel), np.concatenate(rows), atol=1e-12)


def test_the_arguments_are_left_alone(robot):
    q, d, travel = draw_poses(robot, 4), draw_displacements(4), robot.control_speed * DT
    before = q.copy(), d.copy(), travel.copy()
    compute_tool_step(Kinematics(robot), q, d, travel)
    for array, copy in zip((q, d, travel), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(("shape", "damping", "message"), [((2, 4), 0.1, "shape of displacement"), ((2, 3), 0.0, "damping")])
def test_invalid_arguments(shape, damping, message):
    robot = make_robot("mara")
    with pytest.raises(InvalidArgumentError, match=message):
        compute_joint_step(Kinematics(robot), draw_poses(robot, 2), np.zeros(shape), damping=damping)


@pytest.mark.parametrize("env_id", ["MARA-v0", "SCARA-v0"])
def test_tool_control_holds_the_orientation_in_physics(env_id):
    """The tool drives around in MuJoCo. In motion the drives lag behind the set-point; at rest the orientation is back."""
    envs = gym.make_vec(env_id, num_envs=4, control="tool", start_noise=0.3)
    assert envs.single_action_space.shape == (3,)
    envs.reset(seed=0)
    core, rng = envs.unwrapped.core, np.random.default_rng(0)
    start, collided = core.arm.q.copy(), np.zeros(4, dtype=bool)
    for step in range(80):
        action = rng.uniform(-0.3, 0.3, (4, 3)) if step < 60 else np.zeros((4, 3))
        *_, infos = envs.step(action)
        collided |= infos["in_collision"]
    moved = np.linalg.norm(core.tcp.position - core.kinematics.compute_tcp_pose(start)[:, :3, 3], axis=1)
    tilt = measure_tilt(core.kinematics, core.arm.q, start)
    envs.close()
    assert (~collided).sum() >= 2 and np.median(moved[~collided]) > 0.01
    assert tilt[~collided].max() < 0.01
