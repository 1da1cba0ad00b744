import contextlib
import copy
import dataclasses
import warnings

import gymnasium as gym
import numpy as np
import pytest

import gym_gazebo2  # noqa: F401
from gym_gazebo2.errors import InvalidArgumentError, RobotError, UnknownNameError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import make_robot
from gym_gazebo2.scene import SHAPES
from gym_gazebo2.state import ArmState, ObjectState
from gym_gazebo2.tasks import SortTask, TaskState
from gym_gazebo2.tasks.objects import _passes, compute_extent, compute_rpy, overlaps_box
from gym_gazebo2.tasks.placement import count_places, place_apart
from gym_gazebo2.tasks.rotations import make_rotation
from gym_gazebo2.tasks.sort import FLOOR, LEFT, REWARDS, RIGHT, WRONG
from gym_gazebo2.tasks.sort_observations import OBSERVATIONS, arrange
from gym_gazebo2.tasks.sort_table import AREA, Table
from gym_gazebo2.tasks.sort_view import compute_squeeze, make_view

BOX, CYLINDER, SPHERE = range(3)
ON_TABLE = (0.55, 0.0, 0.025)
HIGH_BAR = 0.05


@pytest.fixture(scope="module")
def kinematics():
    return Kinematics(make_robot("panda", gripper=True))


@pytest.fixture(scope="module")
def sorting(kinematics):
    """Makes a task that is bound to the Panda."""
    return lambda **options: SortTask(**options).bind(kinematics)


def find_member(task, shape):
    return int(np.flatnonzero(task.scene.pool.shape == shape)[0])


def make_state(task, places, shapes, memory=None, opening=1.0, setpoint=None, tool_at=None):
    """Return one arm with objects at positions (k, 3) [m], at rest; the tool is at home, or at a position."""
    kinematics, k = task.kinematics, len(places)
    robot = kinematics.robot
    q = robot.home.copy()[None]
    q[:, robot.chain_dof :] = robot.gripper.compute_positions([opening])
    q_setpoint = q.copy()
    if setpoint is not None:
        q_setpoint[:, robot.chain_dof :] = robot.gripper.compute_positions([setpoint])
    index = np.array([[find_member(task, shape) for shape in shapes]])
    pose = np.concatenate([np.array(places, dtype=float), np.tile([1.0, 0, 0, 0], (k, 1))], axis=1)[None]
    objects = ObjectState(index, pose, np.zeros((1, k, 6)), np.zeros((1, k), dtype=bool))
    arm = ArmState(np.zeros(1, dtype=np.int64), q, np.zeros_like(q), q_setpoint, np.zeros(1, dtype=bool), objects)
    tcp = kinematics.compute_tcp_state(q, np.zeros_like(q))
    if tool_at is not None:
        object.__setattr__(tcp, "position", np.array([tool_at], dtype=float))
    started = {name: np.asarray(value)[None] for name, value in task.start(np.random.default_rng(0)).items()}
    state = TaskState(arm, tcp, np.zeros((1, 4)), started if memory is None else memory)
    return state if memory is not None else state._replace(memory=task.begin(state, np.empty((1, 0))))


def move(task, state, places, shapes, **options):
    return task.advance(make_state(task, places, shapes, memory=state.memory, **options), np.empty((1, 0)))


def bin_of(shape, task):
    return (*task.bins[shape][:2], 0.02)


# Rewards and ends


@pytest.mark.parametrize("rewards", REWARDS)
@pytest.mark.parametrize("shape", [BOX, CYLINDER, SPHERE])
def test_the_right_bin_pays_and_ends_the_episode(sorting, rewards, shape):
    task, row = sorting(shaping=False, rewards=rewards), REWARDS[rewards]
    state = make_state(task, [ON_TABLE], [shape])
    there = move(task, state, [bin_of(shape, task)], [shape])
    assert there.reward == row.step + row.right
    assert there.terminated.all()
    assert there.park.all()
    assert task.compute_success(there.measures, state).all()
    assert there.measures["score"] == row.step + row.right


@pytest.mark.parametrize("rewards", REWARDS)
@pytest.mark.parametrize(("shape", "other"), [(BOX, CYLINDER), (CYLINDER, SPHERE), (SPHERE, BOX)])
def test_a_wrong_bin_pays_less_and_is_no_success(sorting, rewards, shape, other):
    task, row = sorting(shaping=False, rewards=rewards), REWARDS[rewards]
    there = move(task, make_state(task, [ON_TABLE], [shape]), [bin_of(other, task)], [shape])
    assert there.reward == row.step + row.wrong
    assert there.terminated.all()
    assert not task.compute_success(there.measures, make_any_state(task)).any()


def make_any_state(task):
    return make_state(task, [ON_TABLE] * task.num_objects, [BOX] * task.num_objects)


@pytest.mark.parametrize("rewards", REWARDS)
@pytest.mark.parametrize(
    "place", [(0.55, 0.6, -0.2), (0.9, 0.0, -0.06), (4.0, 0.0, 0.1), (np.nan, 0.0, 0.0), (0.5, np.inf, 0.0), (0.5, 0.0, 1e9)]
)
def test_an_object_on_the_floor_or_out_of_the_world_is_lost(sorting, rewards, place):
    task, row = sorting(shaping=False, rewards=rewards), REWARDS[rewards]
    lost = move(task, make_state(task, [ON_TABLE], [BOX]), [place], [BOX])
    assert lost.reward == row.step + row.floor
    assert lost.terminated.all()
    assert lost.park.all()
    assert lost.measures["on_floor"] == 1.0
    state = make_state(task, [place], [BOX], memory=lost.memory)
    assert np.isfinite(task.compute_observation(state, np.empty((1, 0)))).all()


def test_an_object_on_the_table_stays(sorting):
    task = sorting(shaping=False)
    after = move(task, make_state(task, [ON_TABLE], [BOX]), [(0.45, 0.2, 0.03)], [BOX])
    assert after.reward == -1.0
    assert not after.terminated.any()
    assert not after.park.any()
    assert after.measures["left_over"] == 1.0


def test_an_object_above_a_bin_is_not_in_it(sorting):
    task = sorting(shaping=False)
    half = task.scene.pool.half_size[find_member(task, BOX)][2]
    state = make_state(task, [(0.35, 0.2, 0.2)], [BOX])
    assert not move(task, state, [(0.35, 0.2, 0.021 + half)], [BOX]).terminated.any()
    # The way from the last place counts, too: this one starts in front of the bin, above it, and ends behind it.
    above = move(task, state, [(0.45, 0.2, 0.2)], [BOX])
    assert not above.terminated.any()
    through = task.advance(make_state(task, [(0.25, 0.2, -0.02)], [BOX], memory=above.memory), np.empty((1, 0)))
    assert through.terminated.all()


def test_at_the_border_of_two_bins_the_nearer_one_counts(sorting):
    task = sorting(shaping=False)
    state = make_state(task, [ON_TABLE], [BOX])
    assert move(task, state, [(0.35, 0.101, 0.02)], [BOX]).measures["sorted_right"] == 1.0
    assert move(task, state, [(0.35, 0.099, 0.02)], [BOX]).measures["sorted_wrong"] == 1.0


def test_several_objects_are_counted_one_by_one(sorting):
    task = sorting(shaping=False, num_objects=3)
    shapes, places = [BOX, CYLINDER, SPHERE], [(0.5, -0.15, 0.02), (0.5, 0.0, 0.02), (0.5, 0.15, 0.02)]
    state = make_state(task, places, shapes)
    first = move(task, state, [places[0], bin_of(CYLINDER, task), places[2]], shapes)
    assert first.reward == -1.0 + 100.0
    assert first.park.tolist() == [[False, True, False]]
    assert not first.terminated.any()
    # Objects that were taken away do not count again, wherever the engine keeps them.
    gone = (0.0, 0.0, -10.0)
    second = task.advance(make_state(task, [(0.5, 0.7, -1.0), gone, places[2]], shapes, memory=first.memory), np.empty((1, 0)))
    assert second.reward == -1.0 - 10.0
    third = task.advance(make_state(task, [gone, gone, bin_of(BOX, task)], shapes, memory=second.memory), np.empty((1, 0)))
    assert third.reward == -1.0 + 25.0
    assert third.terminated.all()
    shares = [third.measures[name] for name in ("sorted_right", "sorted_wrong", "on_floor", "left_over")]
    np.testing.assert_allclose(np.ravel(shares), [1 / 3, 1 / 3, 1 / 3, 0.0])
    assert third.measures["steps_per_object"] == 1.0
    assert third.measures["score"] == pytest.approx(99.0 - 11.0 + 24.0)
    assert third.memory["status"].tolist() == [[FLOOR, RIGHT, WRONG]]


# Progress


def test_progress_sums_to_the_difference_of_the_potentials(sorting):
    rng, shapes = np.random.default_rng(0), [BOX, SPHERE]
    task, plain = sorting(num_objects=2, blocker=HIGH_BAR), sorting(num_objects=2, blocker=HIGH_BAR, shaping=False)
    state = make_state(task, rng.uniform([0.5, -0.2, 0.03], [0.6, 0.2, 0.2], (2, 3)), shapes)
    start, total = state.memory["potential"], 0.0
    for _ in range(20):
        places = rng.uniform([0.45, -0.2, 0.03], [0.6, 0.2, 0.2], (2, 3))
        after = move(task, state, places, shapes)
        total += after.reward - move(plain, state, places, shapes).reward
        state = state._replace(memory=after.memory)
    assert total == pytest.approx(after.memory["potential"] - start)


@pytest.mark.parametrize("blocker", [0.0, HIGH_BAR])
@pytest.mark.parametrize("motion", [{}, {"motion": "toss", "bin_x": 0.95}])
def test_with_progress_the_right_bin_still_beats_a_wrong_one_and_the_floor(sorting, motion, blocker):
    task = sorting(blocker=blocker, **motion)
    state = make_state(task, [ON_TABLE], [BOX])
    ends = [bin_of(BOX, task), bin_of(SPHERE, task), (0.5, 0.7, -0.1)]
    right, wrong, floor = (move(task, state, [place], [BOX]).reward.item() for place in ends)
    assert right > wrong + 100.0
    assert wrong > floor


def test_progress_leads_to_the_object_then_over_the_bar_to_the_bin(sorting):
    task = sorting(blocker=HIGH_BAR)
    far = make_state(task, [ON_TABLE], [BOX], tool_at=(0.4, 0.0, 0.4))

    def rate(**options):
        place = options.pop("place", ON_TABLE)
        return move(task, far, [place], [BOX], **options).reward.item()

    steps = [
        rate(tool_at=(0.4, 0.0, 0.4)),
        rate(tool_at=(0.55, 0.0, 0.06)),
        rate(tool_at=ON_TABLE),
        rate(tool_at=ON_TABLE, opening=0.2, setpoint=-0.5),  # held
        rate(place=(0.55, 0.0, 0.12), tool_at=(0.55, 0.0, 0.12), opening=0.2, setpoint=-0.5),
        rate(place=(0.5, 0.2, 0.12), tool_at=(0.5, 0.2, 0.12), opening=0.2, setpoint=-0.5),
        rate(place=(0.35, 0.2, 0.12), tool_at=(0.35, 0.2, 0.12), opening=0.2, setpoint=-0.5),
        rate(place=bin_of(BOX, task), tool_at=bin_of(BOX, task), opening=0.2, setpoint=-0.5),
    ]
    assert steps == sorted(steps)
    assert min(np.diff(steps)) > 1.0


def test_without_a_bar_the_lane_comes_before_the_bins(sorting):
    task = sorting()
    state = make_state(task, [(0.5, -0.2, 0.03)], [BOX])
    into_wrong_lane = move(task, state, [(0.43, -0.2, 0.03)], [BOX]).reward
    along_the_bins = move(task, state, [(0.5, -0.1, 0.03)], [BOX]).reward
    assert along_the_bins > into_wrong_lane


def test_a_missed_toss_keeps_the_worth_of_the_place_where_it_fell(sorting):
    task = sorting(motion="toss", bin_x=0.95)
    state = make_state(task, [ON_TABLE], [BOX])
    near, far = (move(task, state, [(x, 0.2, -0.06)], [BOX]) for x in (0.88, 0.78))
    assert near.memory["kept"] > far.memory["kept"] + 5.0
    assert near.reward > far.reward > 0.0
    # An object that falls off at the side, in reach of the arm, keeps nothing.
    assert move(task, state, [(0.5, 0.6, -0.06)], [BOX]).memory["kept"] == 0.0


def test_progress_of_a_throw_is_that_of_its_landing_point(sorting):
    task = sorting(motion="toss", bin_x=0.95)
    state = make_state(task, [(0.6, 0.2, 0.3)], [BOX])
    view = task.make_view(state, np.ones((1, 1), dtype=bool))
    speeds = np.array([0.5, 1.0, 1.5])
    rows = []
    for speed in speeds:
        object.__setattr__(view, "velocity", np.array([[[speed, 0.0, 0.0]]]))
        from gym_gazebo2.tasks.sort_shaping import compute_throw_distance

        rows.append(compute_throw_distance(view, task.bins, 0.0).item())
    height = view.bottom.item() - 0.02
    expected = np.abs(0.6 + speeds * np.sqrt(2 * height / 9.81) - 0.95)
    np.testing.assert_allclose(rows, expected, atol=1e-9)


def test_a_squeeze_is_a_lag_of_the_fingers_or_in_torque_control_a_share_of_the_force():
    lagging = compute_squeeze(np.array([0.2, 0.2, 0.2, 1.0]), np.array([-0.25, 0.05, 0.3, 0.995]), np.full(4, -1.0))
    np.testing.assert_allclose(lagging, [1.0, 1 / 3, 0.0, 0.005 / 0.45], atol=1e-12)
    pressing = compute_squeeze(np.array([0.2, 0.2, -0.99]), np.array([0.2, 0.2, -0.99]), np.array([-0.5, 0.5, -1.0]))
    np.testing.assert_allclose(pressing, [0.5, 0.0, 0.0])


# Observation


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_the_observation_has_the_tool_first_then_blocks_of_objects(sorting, name):
    task = sorting(observation=name, num_objects=2)
    state = make_state(task, [(0.5, -0.1, 0.03), (0.6, 0.1, 0.03)], [BOX, SPHERE])
    observation = task.compute_observation(state, np.empty((1, 0)))[0]
    low, high = task.compute_bounds(task.kinematics)
    assert observation.shape == low.shape == high.shape
    assert ((low <= observation) & (observation <= high)).all()
    block = len(OBSERVATIONS[name].object_bounds)
    tool, first, second = np.split(observation, [len(observation) - 2 * block, len(observation) - block])
    assert len(tool) == len(OBSERVATIONS[name].tool_bounds)
    assert first[:3].tolist() == [1.0, 0.0, 0.0]
    assert second[:3].tolist() == [0.0, 0.0, 1.0]
    assert block == {"source": 18, "relative": 24}[name]


def test_the_observation_of_the_source_holds_plain_numbers(sorting):
    task = sorting(observation="source")
    state = make_state(task, [(0.5, -0.1, 0.03)], [CYLINDER])
    block = task.compute_observation(state, np.empty((1, 0)))[0, -18:]
    size = 2.0 * task.scene.pool.half_size[find_member(task, CYLINDER)]
    np.testing.assert_allclose(block, [0, 1, 0, *size, 0.5, -0.1, 0.03, *np.zeros(9)], atol=1e-12)


def test_remaining_objects_move_to_the_front(sorting):
    task = sorting(num_objects=3, shaping=False)
    shapes, places = [BOX, CYLINDER, SPHERE], [(0.5, -0.15, 0.02), (0.5, 0.0, 0.02), (0.5, 0.15, 0.02)]
    state = make_state(task, places, shapes)
    after = move(task, state, [bin_of(BOX, task), places[1], places[2]], shapes)
    gone = make_state(task, [(0, 0, -10.0), places[1], places[2]], shapes, memory=after.memory)
    blocks = task.compute_observation(gone, np.empty((1, 0)))[0, -72:].reshape(3, 24)
    assert blocks[:, :3].tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert not blocks[2].any()


def test_slots_choose_how_many_objects_are_seen(sorting):
    places, shapes = [(0.5, -0.1, 0.03), (0.6, 0.1, 0.03)], [BOX, SPHERE]
    seen = {}
    for slots in (1, 2, 4):
        task = sorting(num_objects=2, slots=slots)
        seen[slots] = task.compute_observation(make_state(task, places, shapes), np.empty((1, 0)))[0]
    alone = sorting()
    single = alone.compute_observation(make_state(alone, places[:1], shapes[:1]), np.empty((1, 0)))[0]
    np.testing.assert_array_equal(seen[1], single)
    np.testing.assert_array_equal(seen[2][: len(seen[1])], seen[1])
    np.testing.assert_array_equal(seen[4], [*seen[2], *np.zeros(48)])


def test_arrange_keeps_the_order():
    blocks = np.arange(1.0, 13.0).reshape(1, 4, 3)
    remains = np.array([[False, True, False, True]])
    assert arrange(blocks, remains, 4).tolist() == [[4, 5, 6, 10, 11, 12, 0, 0, 0, 0, 0, 0]]
    assert arrange(blocks, remains, 1).tolist() == [[4, 5, 6]]


# Geometry


def test_bounding_boxes_hold_every_point_and_are_tight(sorting):
    rng, pool = np.random.default_rng(1), sorting().scene.pool
    quat = rng.normal(size=(1, len(pool), 4))
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
    extent = compute_extent(pool, np.arange(len(pool))[None], make_rotation(quat))[0]
    for i in range(len(pool)):
        points = rng.normal(size=(20_000, 3))
        if SHAPES[pool.shape[i]] == "box":
            points = np.sign(points)
        elif SHAPES[pool.shape[i]] == "cylinder":
            points = np.column_stack([points[:, :2] / np.linalg.norm(points[:, :2], axis=1)[:, None], np.sign(points[:, 2])])
        else:
            points /= np.linalg.norm(points, axis=1)[:, None]
        reach = np.abs((points * pool.half_size[i]) @ make_rotation(quat[0, i]).T).max(axis=0)
        np.testing.assert_allclose(extent[i], reach, rtol=2e-2)


def test_roll_pitch_yaw_rebuild_the_rotation():
    transforms3d = pytest.importorskip("transforms3d")
    rpy = np.random.default_rng(0).uniform(-1.5, 1.5, (50, 3))
    R = np.array([transforms3d.euler.euler2mat(*angles) for angles in rpy])
    np.testing.assert_allclose(compute_rpy(R), rpy, atol=1e-12)


def test_a_flat_zone_is_hit_by_a_fast_object():
    start, end, extent = np.array([[[0.8, 0, 0.5]]]), np.array([[[1.0, 0, -0.2]]]), np.full((1, 1, 3), 0.02)
    assert overlaps_box(start, end, extent, (0.95, 0, 0.01), (0.05, 0.1, 0.01)).all()
    assert not overlaps_box(start, end, extent, (0.75, 0, 0.01), (0.05, 0.1, 0.01)).any()


def test_the_kept_view_is_that_of_the_state():
    """After steps, resets of some arms, a restored state and a copy."""

    def check(core):
        state, task = core.require_state(), core.task
        remains = state.memory["status"] == LEFT
        arguments = task.frame, task.scene.pool, core.kinematics, task._R_home
        kept, fresh = task.make_view(state, remains), make_view(state, remains, *arguments)
        for field in dataclasses.fields(fresh):
            np.testing.assert_array_equal(getattr(kept, field.name), getattr(fresh, field.name), field.name)

    with contextlib.closing(gym.make_vec("PandaSort-v0", num_envs=3, num_objects=2, max_episode_steps=7)) as env:
        env.reset(seed=0)
        env.action_space.seed(0)
        saved = env.core.get_state()
        for i in range(20):
            env.step(env.action_space.sample())
            check(env.core)
            if i == 10:
                env.core.set_state(saved)
                check(env.core)
        with contextlib.closing(copy.deepcopy(env)) as other:
            other.step(env.action_space.sample())
            check(other.core)


def test_the_coarse_test_of_boxes_changes_nothing():
    """Objects far away and near, at rest and moving along one axis or all, some of them exactly at the border."""
    rng = np.random.default_rng(0)
    start = rng.uniform(-0.3, 0.3, (4000, 2, 1, 3))
    end = start + rng.choice([0.0, 0.1, 0.5], (4000, 2, 1, 3)) * rng.normal(size=(4000, 2, 1, 3))
    extent, centers, half = (
        np.full((4000, 2, 1, 3), 0.0625),
        np.array([[0.0, -0.25, 0.0], [0.0, 0.0, 0.0], [0.0, 0.25, 0.0]]),
        0.125,
    )
    start[:400, ..., 0], end[:400, ..., 0] = 0.1875, 0.1875  # touching: these numbers have no rounding
    found = overlaps_box(start, end, extent, centers, (half, half, half))
    start, end, extent, centers = np.broadcast_arrays(start, end, extent, centers)
    exact = _passes(start - centers, end - start, extent + half)
    np.testing.assert_array_equal(found, exact)
    assert 0.05 < found.mean() < 0.5 and found[:400].any()
    for i in range(20):  # also a single object and a single box
        assert overlaps_box(start[i, 0, 0], end[i, 0, 0], extent[i, 0, 0], centers[i, 0, 0], half) == exact[i, 0, 0]


def test_places_do_not_overlap_and_fill_the_area():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        radius = rng.uniform(0.02, 0.04, rng.integers(1, 13))
        places = place_apart(rng, radius, *AREA)
        apart = np.linalg.norm(places[:, None] - places, axis=-1) + np.eye(len(radius))
        assert (apart >= radius[:, None] + radius - 1e-12).all()
        assert ((places >= AREA[0]) & (places <= AREA[1])).all()
    assert count_places(0.0424, *AREA) >= 12
    with pytest.raises(InvalidArgumentError, match="places"):
        place_apart(np.random.default_rng(0), np.full(30, 0.04), *AREA)


def test_the_table_scales_and_moves():
    table = Table(scale=0.5, x=0.1, z=0.2)
    assert table.to_base((0.4, -0.2, 0.1)) == pytest.approx((0.3, -0.1, 0.25))
    np.testing.assert_allclose(table.from_base(np.array(table.to_base((0.4, -0.2, 0.1)))), (0.4, -0.2, 0.1))


# The environment


OPTIONS = {"backend": "fake"}


def test_placement_is_on_the_table_inside_the_area():
    env = gym.make_vec("PandaSort-v0", num_envs=64, num_objects=5, yaw=0.5, **OPTIONS)
    env.reset(seed=0)
    objects, task = env.core.arm.objects, env.core.task
    half = task.scene.pool.half_size[objects.index]
    np.testing.assert_allclose(objects.pose[..., 2], half[..., 2])
    assert ((objects.pose[..., :2] >= AREA[0]) & (objects.pose[..., :2] <= AREA[1])).all()
    assert all(len(set(row)) == 5 for row in objects.index.tolist())
    assert len(np.unique(task.scene.pool.shape[objects.index])) == 3
    yaw = 2.0 * np.arctan2(objects.pose[..., 6], objects.pose[..., 3])
    assert 0.4 < np.abs(yaw).max() <= 0.5
    env.close()


@pytest.mark.parametrize("backend", ["fake", "mujoco"])
def test_arms_of_a_batch_move_as_single_environments(backend):
    keywords = {"backend": backend, "num_objects": 2, "blocker": 0.05}
    batch = gym.make_vec("PandaSort-v0", num_envs=3, **keywords)
    singles = [gym.make("PandaSort-v0", **keywords) for _ in range(3)]
    together, _ = batch.reset(seed=5)
    alone = [env.reset(seed=5 + i)[0] for i, env in enumerate(singles)]
    rng = np.random.default_rng(0)
    for _ in range(20):
        np.testing.assert_allclose(together, alone, atol=1e-6)
        actions = rng.uniform(-1, 1, (3, 4))
        together, rewards, *_ = batch.step(actions)
        steps = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        alone = [step[0] for step in steps]
        np.testing.assert_allclose(rewards, [step[1] for step in steps], atol=1e-9)
    for env in (batch, *singles):
        env.close()


def test_same_seed_same_episode():
    def roll():
        env = gym.make("PandaSort-v0", num_objects=3)
        env.reset(seed=3)
        env.action_space.seed(3)
        rewards = [env.step(env.action_space.sample())[1] for _ in range(30)]
        env.close()
        return rewards

    assert roll() == roll()


def test_a_state_is_restored():
    env = gym.make_vec("PandaSort-v0", num_envs=2, num_objects=2)
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 2, 4))
    for action in actions[:20]:
        env.step(action)
    state = env.core.get_state()
    rewards = [env.core.step(action).reward for action in actions[20:]]
    env.core.set_state(state)
    again = [env.core.step(action).reward for action in actions[20:]]
    np.testing.assert_array_equal(rewards, again)
    env.close()


def run_script(env, steps=100):
    """Sort with a scripted hand: above the first object, down, close, up, over the bin, down. Returns the last info."""
    core, n = env.core, env.num_envs
    task, phase, since, results = core.task, np.zeros(n, int), np.zeros(n, int), [None] * n
    for _ in range(steps):
        view = task.make_view(core.state, core.state.memory["status"] == LEFT)
        rows, first = np.arange(n), np.argmax(view.is_first, axis=1)
        place, home = view.position[rows, first], task.bins[view.shape[rows, first]]
        up, down = np.array([0.0, 0.0, 0.16]), np.array([0.0, 0.0, 0.02])
        goals = np.stack(
            [place + 0.4 * up, place, place, np.column_stack([view.tcp[:, :2], np.full(n, 0.2)]), home + up, home + down]
        )
        way = goals[phase, rows] - view.tcp
        close = np.where(phase >= 2, -1.0, 1.0)
        action = np.column_stack([np.clip(way / 0.04, -1, 1), close])
        *_, terminated, truncated, info = env.step(action)
        ended = terminated | truncated
        for i in np.flatnonzero(ended):
            results[i] = results[i] or {name: info["final_info"][name][i] for name in task.MEASURES}
        there = np.linalg.norm(way, axis=1) < 0.012
        since = np.where(phase == 2, since + 1, 0)
        go_on = np.where(phase == 2, since > 4, there)
        # A new object begins a new round.
        counts = (core.state.memory["status"] != LEFT).sum(axis=1)
        before = getattr(run_script, "counts", counts)
        phase = np.where(ended | (counts != before), 0, np.minimum(phase + go_on, 5))
        run_script.counts = counts
    del run_script.counts
    return results


@pytest.mark.parametrize("num_objects", [1, 3])
def test_a_scripted_hand_lifts_all_shapes_over_the_bar_and_sorts_them(num_objects):
    env = gym.make_vec("PandaSort-v0", num_envs=24, num_objects=num_objects, blocker=0.05, max_episode_steps=100 * num_objects)
    env.reset(seed=0)
    results = run_script(env, 100 * num_objects)
    assert all(result is not None for result in results)
    assert np.mean([result["sorted_right"] for result in results]) > 0.95
    env.close()


# Options and bad input


def test_options_are_keywords_and_task_options():
    env = gym.make("PandaSort-v0", num_objects=2, blocker=0.04, task_options={"rewards": "late"}, **OPTIONS)
    task = env.unwrapped.core.task
    assert (task.num_objects, task.blocker, task.rewards) == (2, 0.04, "late")
    with pytest.raises(InvalidArgumentError, match="given as a keyword and in task_options"):
        gym.make("PandaSort-v0", num_objects=2, task_options={"num_objects": 3}, **OPTIONS)


def test_an_unknown_keyword_lists_the_options_of_the_task():
    with pytest.raises(UnknownNameError, match="Did you mean 'num_objects'.*blocker.*shaping"):
        gym.make("PandaSort-v0", num_object=2, **OPTIONS)
    with pytest.raises(UnknownNameError, match="num_objects"):
        gym.make("MARA-v0", num_objects=2, **OPTIONS)
    with pytest.raises(UnknownNameError, match="bin_x, blocker"):
        gym.make("PandaSort-v0", task_options={"height": 2}, **OPTIONS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_objects": 40}, InvalidArgumentError, "num_objects is 40, but the table has 12 places"),
        ({"num_objects": 0}, InvalidArgumentError, "num_objects"),
        ({"num_objects": 1.5}, InvalidArgumentError, "num_objects"),
        ({"shapes": ["cone"]}, UnknownNameError, "no shape 'cone'.*box, cylinder, sphere"),
        ({"shapes": []}, InvalidArgumentError, "shapes"),
        ({"half_size": 0.02}, InvalidArgumentError, "half_size"),
        ({"half_size": (0.01, 0.02, 0.03)}, InvalidArgumentError, "half_size"),
        ({"half_size": ("a", "b")}, InvalidArgumentError, "half_size"),
        ({"half_size": (0.03, 0.02)}, InvalidArgumentError, "smallest"),
        ({"half_size": (-0.01, 0.02)}, InvalidArgumentError, "half_size"),
        ({"blocker": -0.1}, InvalidArgumentError, "blocker"),
        ({"bin_x": 0.5}, InvalidArgumentError, "overlap the objects' area"),
        ({"bin_x": float("nan")}, InvalidArgumentError, "bin_x"),
        ({"rewards": "large"}, UnknownNameError, "early, late"),
        ({"observation": "pixels"}, UnknownNameError, "relative, source"),
        ({"shaping": "yes"}, InvalidArgumentError, "shaping"),
        ({"slots": 0}, InvalidArgumentError, "slots"),
        ({"table": {"size": 2}}, UnknownNameError, "scale"),
        ({"table": {"scale": 0}}, InvalidArgumentError, "table.scale"),
        ({"table": 3}, InvalidArgumentError, "dictionary"),
        ({"table": {"x": 3.0}}, InvalidArgumentError, "reaches no corner.*Change the table"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        gym.make("PandaSort-v0", **options, **OPTIONS)


def test_a_robot_without_a_gripper_is_refused():
    with pytest.raises(RobotError, match="no gripper"):
        gym.make("PandaSort-v0", robot="ur5e", **OPTIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"half_size": (0.02, 0.05)}, "100 mm do not fit between fingers that open 80 mm"),
        ({"table": {"x": 0.25}}, "out of the tool's reach"),
        ({"bin_x": -1.5}, "the bin at .* is out of reach"),
    ],
)
def test_what_does_not_fit_the_robot_warns(options, message):
    with pytest.warns(UserWarning, match=message):
        gym.make("PandaSort-v0", **options, **OPTIONS).close()


def test_the_default_table_fits_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for env_id in ("PandaSort-v0", "PandaToss-v0"):
            gym.make(env_id, **OPTIONS).close()


@pytest.mark.parametrize(
    ("arm", "options"),
    [("so101", {"table": {"scale": 0.4, "x": 0.05}}), ("panda", {"table": {"scale": 0.8, "x": 0.05, "z": 0.1}})],
)
def test_another_robot_gets_a_table_of_its_size(arm, options):
    """The observation is in the table's frame, so that its numbers are alike for all robots."""
    from .arms import make_row

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make("PandaSort-v0", robot=make_row(arm), num_objects=2, **options)
    core = env.unwrapped.core
    observation, _ = env.reset(seed=0)
    table, objects = core.task.frame, core.arm.objects
    half = core.task.scene.pool.half_size[objects.index]
    assert half.max() <= 0.03 * table.scale + 1e-12
    np.testing.assert_allclose(objects.pose[..., 2], table.z + half[..., 2])
    position = 5.0 * (table.from_base(objects.pose[0, 1, :3]) - [0.5, 0.0, 0.05])
    np.testing.assert_allclose(observation[-18:-15], position, atol=1e-5)
    for _ in range(20):
        observation, reward, _, _, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation) and np.isfinite(reward)
    assert info["left_over"] == 1.0, "objects stay on a table of this height"
    env.close()


def test_an_object_that_is_pushed_off_the_table_is_on_the_floor():
    env = gym.make_vec("PandaSort-v0", num_envs=6, max_episode_steps=120, shaping=False, shapes=["box"])
    env.reset(seed=0)
    core, ends = env.core, {}
    near = core.arm.objects.pose[:, 0, 0] < 0.6
    for _ in range(119):
        view = core.task.make_view(core.state, core.state.memory["status"] == LEFT)
        cube = view.position[:, 0]
        beside = np.abs(view.tcp[:, 0] - cube[:, 0]) < 0.015
        ready = beside & (view.tcp[:, 2] < 0.04) & (view.tcp[:, 1] < cube[:, 1])
        goal = np.column_stack([cube[:, 0], np.where(ready, cube[:, 1] + 0.05, cube[:, 1] - 0.08), np.full(6, 0.02)])
        goal[:, 2] = np.where(ready | (np.linalg.norm(goal[:, :2] - view.tcp[:, :2], axis=1) < 0.02), 0.02, 0.15)
        action = np.column_stack([np.clip((goal - view.tcp) / 0.03, -1.0, 1.0), -np.ones(6)])
        _, reward, terminated, _, info = env.step(action)
        for i in np.flatnonzero(terminated):
            ends.setdefault(i, (reward[i], info["final_info"]["on_floor"][i]))
    assert near.sum() >= 2
    assert all(ends.get(i) == (-11.0, 1.0) for i in np.flatnonzero(near)), ends
    env.close()


def test_episodes_start_with_the_tool_above_the_objects_unless_a_home_pose_is_given():
    env = gym.make("PandaSort-v0", table={"y": 0.05}, **OPTIONS)
    env.reset(seed=0)
    core = env.unwrapped.core
    np.testing.assert_allclose(core.tcp.position, [[0.5, 0.05, 0.2]], atol=2e-4)
    np.testing.assert_allclose(core.tcp.rotation[0], np.diag([1.0, -1.0, -1.0]), atol=1e-3)
    home = core.robot.home[:7]
    env.reset(seed=0, options={"q": home})
    assert core.tcp.position[0, 2] > 0.4
    given = gym.make("PandaSort-v0", home=home.tolist(), **OPTIONS)
    given.reset(seed=0)
    np.testing.assert_allclose(given.unwrapped.core.arm.q[0, :7], home)
    env.close()
    given.close()


def test_an_arm_that_cannot_hold_its_tool_upright_starts_at_home():
    from .arms import make_row

    env = gym.make("PandaSort-v0", robot=make_row("so101"), table={"scale": 0.4, "x": 0.05}, **OPTIONS)
    env.reset(seed=0)
    core = env.unwrapped.core
    np.testing.assert_allclose(core.arm.q[0], core.robot.home)
    env.close()
