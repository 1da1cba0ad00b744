import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import make_robot

ROBOTS = ("mara", "scara", "scara4", "panda", "ur5e")


def draw_poses(robot, n, seed=0):
    return np.random.default_rng(seed).uniform(robot.lower, robot.upper, (n, robot.dof))


@pytest.mark.parametrize("name", ["mara", "scara"])
def test_equals_the_golden_values(name, golden):
    rows, kinematics = golden[name], Kinematics(make_robot(name))
    q = np.array([row["q"] for row in rows])
    T = kinematics.compute_tcp_pose(q)
    np.testing.assert_allclose(T[:, :3, 3], [row["p_tcp_in_base"] for row in rows], atol=1e-8)
    np.testing.assert_allclose(T[:, :3, :3], [row["R_tcp_in_base"] for row in rows], atol=1e-8)
    np.testing.assert_allclose(kinematics.compute_jacobian(q)[:, :3], [row["J_linear"] for row in rows], atol=1e-5)


def test_equals_mujoco(robot):
    spec = mujoco.MjSpec.from_file(robot.urdf)
    spec.compiler.fusestatic = False
    model = spec.compile()
    data, kinematics = mujoco.MjData(model), Kinematics(robot)
    tool = model.body(robot.tool_frame).id
    for q in draw_poses(robot, 50):
        data.qpos[:] = q
        mujoco.mj_forward(model, data)
        jacobian = np.zeros((6, robot.dof))
        mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], tool)
        T = kinematics.compute_tcp_pose(q[None])[0]
        np.testing.assert_allclose(T[:3, 3], data.xpos[tool], atol=1e-9)
        np.testing.assert_allclose(T[:3, :3], data.xmat[tool].reshape(3, 3), atol=1e-9)
        np.testing.assert_allclose(kinematics.compute_jacobian(q[None])[0], jacobian, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(ROBOTS), seed=st.integers(0, 2**32 - 1))
def test_jacobian_equals_finite_differences(name, seed):
    robot = make_robot(name)
    kinematics, q, h = Kinematics(robot), draw_poses(robot, 1, seed), 1e-6
    J = kinematics.compute_jacobian(q)[0]
    R = kinematics.compute_tcp_pose(q)[0, :3, :3]
    for i in range(robot.dof):
        step = h * np.eye(robot.dof)[i]
        ahead, behind = kinematics.compute_tcp_pose(q + step)[0], kinematics.compute_tcp_pose(q - step)[0]
        slope = (ahead - behind) / (2 * h)
        np.testing.assert_allclose(J[:3, i], slope[:3, 3], atol=1e-7)
        spin = slope[:3, :3] @ R.T
        np.testing.assert_allclose(J[3:, i], [spin[2, 1], spin[0, 2], spin[1, 0]], atol=1e-7)


def test_tool_velocity_is_jacobian_times_joint_velocity(robot):
    kinematics, q = Kinematics(robot), draw_poses(robot, 20)
    dq = draw_poses(robot, 20, seed=1)
    state = kinematics.compute_tcp_state(q, dq)
    np.testing.assert_allclose(state.velocity, np.einsum("nij,nj->ni", kinematics.compute_jacobian(q)[:, :3], dq), atol=1e-12)
    np.testing.assert_array_equal(state.position, kinematics.compute_tcp_pose(q)[:, :3, 3])


def test_a_batch_equals_its_rows(robot):
    kinematics, q = Kinematics(robot), draw_poses(robot, 64)
    rows = np.concatenate([kinematics.compute_tcp_pose(row[None]) for row in q])
    np.testing.assert_allclose(kinematics.compute_tcp_pose(q), rows, atol=1e-14)


def test_reach_bounds_every_pose(robot):
    kinematics = Kinematics(robot)
    positions = kinematics.compute_tcp_pose(draw_poses(robot, 5000))[:, :3, 3]
    assert np.linalg.norm(positions, axis=1).max() <= kinematics.compute_reach()


def test_distance_to_reach(robot):
    kinematics = Kinematics(robot)
    for q in draw_poses(robot, 3):
        T = kinematics.compute_tcp_pose(q[None])[0]
        assert kinematics.compute_distance_to_reach(T[:3, 3]) < 1e-4
        assert kinematics.compute_distance_to_reach(T[:3, 3], T[:3, :3]) < 1e-4
    far = np.array([10.0, 0.0, 0.3])
    nearest = np.linalg.norm(kinematics.compute_tcp_pose(draw_poses(robot, 20000))[:, :3, 3] - far, axis=1).min()
    assert kinematics.compute_distance_to_reach(far) == pytest.approx(nearest, abs=0.05)


DENAVIT_HARTENBERG = {
    # Franka, "Robot and interface specifications": rows (a, d, α) in Craig's convention, then flange, hand and tool.
    "panda": [(0, 0.333, 0), (0, 0, -np.pi / 2), (0, 0.316, np.pi / 2), (0.0825, 0, np.pi / 2), (-0.0825, 0.384, -np.pi / 2)]
    + [(0, 0, np.pi / 2), (0.088, 0, np.pi / 2)],
    # Universal Robots, "DH parameters": rows (a, d, α) in the classic convention.
    "ur5e": [
        (0, 0.1625, np.pi / 2),
        (-0.425, 0, 0),
        (-0.3922, 0, 0),
        (0, 0.1333, np.pi / 2),
        (0, 0.0997, -np.pi / 2),
        (0, 0.0996, 0),
    ],
}


def make_screw(axis, distance, angle):
    """Return a motion along and about the x or z axis."""
    T = np.eye(4)
    T["xz".index(axis) * 2, 3] = distance
    i, j = {"x": (1, 2), "z": (0, 1)}[axis]
    T[[i, j, i, j], [i, j, j, i]] = np.cos(angle), np.cos(angle), -np.sin(angle), np.sin(angle)
    return T


@pytest.mark.parametrize("name", DENAVIT_HARTENBERG)
def test_built_in_arms_have_the_makers_kinematics(name):
    robot = make_robot(name)
    for q in draw_poses(robot, 20):
        rows = [
            (make_screw("x", a, alpha), make_screw("z", d, t))
            for (a, d, alpha), t in zip(DENAVIT_HARTENBERG[name], q, strict=True)
        ]
        if name == "panda":
            T = np.linalg.multi_dot([x @ z for x, z in rows])
            T = T @ make_screw("z", 0.107 + 0.1034, -np.pi / 4)
        else:  # the maker's base frame is turned by half a turn against the URDF's base_link
            T = make_screw("z", 0, np.pi) @ np.linalg.multi_dot([z @ x for x, z in rows])
        np.testing.assert_allclose(Kinematics(robot).compute_tcp_pose(q[None])[0], T, atol=1e-12)
