import numpy as np
import pytest
import transforms3d
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.kinematics import Kinematics, TcpState
from gym_gazebo2.registration import ENVIRONMENTS
from gym_gazebo2.robots import make_robot
from gym_gazebo2.state import ArmState
from gym_gazebo2.tasks import TASKS, ReachTask, Task, TaskState, compute_reach_reward, make_task
from gym_gazebo2.tasks.rotations import compute_angle, compute_quat_error, make_rotation

REACHES = [name for name, task in TASKS.items() if isinstance(task, ReachTask)]
ROBOT_OF = {row.task: row.robot for row in ENVIRONMENTS.values()} | {"mara_reach_high": "mara"}


def look(robot, q, dq=None):
    n = len(q)
    dq = np.zeros_like(q) if dq is None else dq
    arm = ArmState(np.zeros(n, dtype=np.int64), q, dq, q, np.zeros(n, dtype=bool))
    return TaskState(arm, Kinematics(robot).compute_tcp_state(q, dq), np.zeros_like(q), {})


def test_reward_equals_the_golden_values(golden):
    rows = golden["reach_reward"]
    column = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    reward = compute_reach_reward(column["rmse_m"] * np.sqrt(3), column["angle_rad"], column["collided"])
    np.testing.assert_allclose(reward, column["reward"], atol=1e-9)


@pytest.mark.parametrize(("rmse", "penalty"), [(0.5, 3.0), (2.0, 3.0), (0.1, 3.0 * 0.2**0.03)])
def test_collision_penalty(rmse, penalty):
    distance = np.array([rmse * np.sqrt(3)])
    free, hit = (compute_reach_reward(distance, None, np.array([c]))[0] for c in (False, True))
    assert free - hit == pytest.approx(penalty, abs=1e-12)


@pytest.mark.parametrize(("distance", "reward"), [(0.0, 10.0), (0.001, 7.78), (0.005, 2.84), (1.0, -1.0)])
def test_reward_at_round_distances(distance, reward):
    assert compute_reach_reward(np.array([distance * np.sqrt(3)]))[0] == pytest.approx(reward, abs=0.005)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 2), st.floats(0, 2), st.floats(0, np.pi))
def test_reward_falls_with_distance_angle_and_collision(near, far, angle):
    near, far = sorted((near, far))
    d, angles = np.array([near, far]), np.array([angle, angle])
    closer, farther = compute_reach_reward(d, angles)
    assert closer >= farther - 1e-12
    assert np.all(compute_reach_reward(d, angles, np.array([True, True])) <= compute_reach_reward(d, angles))


@pytest.mark.parametrize("name", REACHES)
def test_every_goal_of_the_table_can_be_reached(name):
    kinematics, rng = Kinematics(make_robot(ROBOT_OF[name])), np.random.default_rng(0)
    task = TASKS[name].bind(kinematics)
    corners = [task.sample_goal(rng) for _ in range(10 if task.goal_box or task.in_workspace else 1)]
    for goal in corners:
        R = None if task.quat_goal is None else make_rotation(goal[3:])
        assert kinematics.compute_distance_to_reach(goal[:3], R) < 1e-3


@pytest.mark.parametrize("name", REACHES)
def test_observations_stay_inside_their_bounds(name):
    robot, rng = make_robot(ROBOT_OF[name]), np.random.default_rng(0)
    task = TASKS[name].bind(Kinematics(robot))
    q = rng.uniform(robot.lower, robot.upper, (2000, robot.dof))
    dq = rng.choice([-1.4, 1.4], q.shape) * robot.control_speed
    goals = np.array([task.sample_goal(rng) for _ in q])
    low, high = task.compute_bounds(Kinematics(robot))
    observation = task.compute_observation(look(robot, q, dq), goals)
    assert observation.shape == (2000, len(low)) and np.all(np.isfinite(low)) and np.all(np.isfinite(high))
    assert np.all(observation >= low) and np.all(observation <= high)


def test_mara_observation_has_the_components_of_its_task():
    robot, task = make_robot("mara"), TASKS["mara_reach"]
    q, dq = np.full((1, 6), 0.2), np.full((1, 6), 0.3)
    state, goal = look(robot, q, dq), task.sample_goal(np.random.default_rng(0))[None]
    T, J = Kinematics(robot).compute_tcp_pose(q)[0], Kinematics(robot).compute_jacobian(q)[0]
    expected = np.concatenate([q[0], T[:3, 3] - goal[0, :3], J[:3] @ dq[0], T[:3, 3], T[:3, :3].ravel()])
    np.testing.assert_allclose(task.compute_observation(state, goal)[0], expected, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_quat_error_equals_transforms3d(seed):
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(2, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    R_tcp, R_goal = make_rotation(quats)
    np.testing.assert_allclose(R_tcp, transforms3d.quaternions.quat2mat(quats[0]), atol=1e-12)
    error = compute_quat_error(R_tcp[None], R_goal[None])
    expected = transforms3d.quaternions.qmult(quats[0], transforms3d.quaternions.qinverse(quats[1]))
    np.testing.assert_allclose(error[0], expected * np.sign(expected[0]), atol=1e-9)
    assert error[0, 0] >= 0
    _, angle = transforms3d.quaternions.quat2axangle(expected * np.sign(expected[0]))
    assert compute_angle(error)[0] == pytest.approx(abs(angle), abs=1e-9)


@pytest.mark.parametrize("axis", np.eye(3))
def test_quat_error_of_half_a_turn(axis):
    R = transforms3d.axangles.axangle2mat(axis, np.pi)[None]
    error = compute_quat_error(R, np.eye(3)[None])
    np.testing.assert_allclose(np.abs(error[0, 1:]), axis, atol=1e-9)
    assert compute_angle(error)[0] == pytest.approx(np.pi)


def test_success_needs_position_and_orientation():
    task, state = TASKS["mara_reach_orient"], look(make_robot("mara"), np.zeros((3, 6)))
    measures = {"position_error": np.array([0.0049, 0.0051, 0.001]), "orientation_error": np.deg2rad([4.9, 1.0, 5.1])}
    np.testing.assert_array_equal(task.compute_success(measures, state), [True, False, False])
    np.testing.assert_array_equal(Task.compute_success(task, measures, state), [True, False, False])


@pytest.mark.parametrize("options", [{"quat_goal": (1.0, 0.0, 0.0, 0.0)}, {"collision_penalty": True}])
def test_hindsight_goals_are_positions_alone(options):
    with pytest.raises(InvalidArgumentError, match="layout 'goal'"):
        ReachTask((0.3, 0.0, 0.3), layout="goal", **options)


def test_a_goal_that_asks_for_the_identity_orientation_is_checked_for_reach():
    task, kinematics = ReachTask((-0.4, 0.0956, 0.72466), quat_goal=(1.0, 0.0, 0.0, 0.0)), Kinematics(make_robot("mara"))
    goal = task.sample_goal(np.random.default_rng(0))
    assert ReachTask(task.goal).explain_out_of_reach(kinematics, goal) is None
    assert kinematics.compute_distance_to_reach(goal[:3], np.eye(3)) > 1e-3
    assert "in that orientation" in task.explain_out_of_reach(kinematics, goal)


def test_random_goals_fill_their_box():
    task, rng = TASKS["mara_reach_random"], np.random.default_rng(0)
    goals = np.array([task.sample_goal(rng) for _ in range(2000)])[:, :3]
    low, high = np.array(task.goal_box)
    assert np.all(goals >= low) and np.all(goals <= high)
    np.testing.assert_allclose(goals.min(axis=0), low, atol=0.01)
    np.testing.assert_allclose(goals.max(axis=0), high, atol=0.01)


def test_pure_functions_leave_their_arguments_alone():
    robot, task = make_robot("mara"), TASKS["mara_reach_collision_orient"]
    q = np.full((2, 6), 0.3)
    state, goal = look(robot, q), np.array([task.sample_goal(np.random.default_rng(0))] * 2)
    before = [a.copy() for a in (q, goal, state.tcp.position, state.tcp.rotation)]
    measures = task.measure(state, goal)
    task.compute_observation(state, goal)
    task.compute_reward(measures, state)
    task.compute_success(measures, state)
    task.advance(state, goal)
    for array, copy in zip((q, goal, state.tcp.position, state.tcp.rotation), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert isinstance(state.tcp, TcpState)


@pytest.mark.parametrize("goal", [(1, 2), (np.nan, 0, 0), (1, 2, 3, 1, 0, 0, 0), "here"])
def test_invalid_goals(goal):
    with pytest.raises(ValueError, match="goal|could not convert"):
        TASKS["mara_reach"].with_goal(goal)


def test_goal_with_a_quaternion_is_normalised():
    goal = TASKS["mara_reach_orient"].with_goal([0, 0.3, 0.4, 2, 0, 0, 0]).sample_goal(np.random.default_rng(0))
    np.testing.assert_allclose(goal, [0, 0.3, 0.4, 1, 0, 0, 0])
    with pytest.raises(ValueError, match="positive length"):
        TASKS["mara_reach_orient"].with_goal([0, 0.3, 0.4, 0, 0, 0, 0])


def test_invalid_tasks():
    with pytest.raises(ValueError, match="exactly one"):
        ReachTask()
    for field in ("reward", "layout"):
        with pytest.raises(UnknownNameError):
            ReachTask((0, 0, 1), **{field: "other"})
    with pytest.raises(UnknownNameError, match="Did you mean 'velocity'"):
        ReachTask((0, 0, 1), components=("q", "velocty"))
    with pytest.raises(UnknownNameError, match="mara_reach"):
        make_task("mara_reech")


@pytest.mark.parametrize(
    "box",
    [
        ((0.3, 0.0, 0.0), (0.1, 1.0, 1.0)),
        ((0.3, 0.0), (0.4, 1.0)),
        ((0.3, 0.0, 0.0),),
        ((0.3, 0.0, 0.0), (0.4, 1.0, np.nan)),
        ((0.3, 0.0, 0.0), (0.4, 1.0, np.inf)),
    ],
)
def test_invalid_boxes_of_goals(box):
    with pytest.raises(InvalidArgumentError, match="goal_box is .*, expected a lower and an upper corner"):
        ReachTask(goal_box=box)
    ReachTask(goal_box=((0.1, 0.0, 0.2), (0.3, 1.0, 0.2)))
