"""Objects in the backends and in the environment: the contract, MuJoCo's values, draws, states, failures."""

import copy
import dataclasses
import pickle
from contextlib import closing

import mujoco
import numpy as np
import pytest

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.backends.mujoco import MujocoBackend
from gym_gazebo2.backends.objects import PARK_POSE
from gym_gazebo2.env import ArmEnv
from gym_gazebo2.errors import BackendError, InvalidArgumentError, UnsupportedError, UsageError
from gym_gazebo2.robots import make_robot
from gym_gazebo2.robots.spec import FLOOR, ExcludedPair
from gym_gazebo2.scene import FixedBox, ObjectKind, Scene
from gym_gazebo2.scene.physics import GRAVITY
from gym_gazebo2.state import Placement
from gym_gazebo2.testing import CHECKS, OBJECT_CHECKS
from gym_gazebo2.vector_env import ArmVectorEnv

from .arms import make_row
from .scenes import PANDA, SCENE, TABLE, WatchTask, make, make_panda, place, reset

ALL = CHECKS | OBJECT_CHECKS
APART = [[0.55, -0.15], [0.55, 0.15]]


@pytest.mark.parametrize("backend", ["fake", "mujoco"])
@pytest.mark.parametrize("check", ALL)
def test_backends_with_objects_keep_the_contract(check, backend):
    ALL[check](lambda n: make(n, backend=backend), 3)


def _change_objects(**changes):
    """Return a fake backend that reports other objects after every step."""

    def step(self, *args):
        state = FakeBackend.step(self, *args)
        return dataclasses.replace(
            state, objects=dataclasses.replace(state.objects, **{n: f(state.objects) for n, f in changes.items()})
        )

    return type("Broken", (FakeBackend,), {"step": step})


class _Forgetful(FakeBackend):
    def get_state(self):
        return {name: value for name, value in super().get_state().items()} | {"pose": np.zeros_like(self._pose)}


class _Touchy(FakeBackend):
    def step(self, *args):
        state = super().step(*args)
        return dataclasses.replace(state, in_collision=np.ones_like(state.in_collision))


class _Careless(FakeBackend):
    def _check_reset(self, mask, q, current=None, objects=None):
        try:
            return super()._check_reset(mask, q, current, objects)
        except InvalidArgumentError:
            return mask, q

    def _place(self, mask, objects):
        try:
            return super()._place(mask, objects)
        except InvalidArgumentError:
            return None


class _Lenient(FakeBackend):
    def _check_factors(self, objects):
        """Take factors that it cannot use."""


BROKEN = {
    "placement": _change_objects(pose=lambda o: o.pose + 0.01),
    "bad_placement": _Careless,
    "park": _change_objects(is_parked=lambda o: np.zeros_like(o.is_parked)),
    "objects_determinism": _change_objects(pose=lambda o: o.pose + np.random.default_rng().normal(0, 1e-6, o.pose.shape)),
    "saved_objects": _Forgetful,
    "object_contacts": _Touchy,
    "object_factors": _Lenient,
}


@pytest.mark.parametrize("check", OBJECT_CHECKS)
def test_check_finds_a_backend_that_breaks_it(check):
    with pytest.raises(AssertionError):
        OBJECT_CHECKS[check](lambda n: BROKEN[check](make_panda(), n, scene=SCENE), 3)


@pytest.mark.parametrize("fault", ["ignores factors", "takes bad factors", "changes objects by a factor of 1"])
def test_the_check_of_factors_finds_each_fault(fault):
    class Faulty(MujocoBackend):
        def reset(self, mask, q, objects=None):
            try:
                return super().reset(mask, q, objects)
            except InvalidArgumentError:
                if fault != "takes bad factors":
                    raise
                return super().reset(mask, q, dataclasses.replace(objects, factors=None))

        def _place(self, mask, objects):
            placed = super()._place(mask, objects)
            if placed is None or not objects.factors:
                return placed
            if fault == "ignores factors":
                self._objects.factors = {name: np.ones_like(value) for name, value in self._objects.factors.items()}
            elif fault == "changes objects by a factor of 1":
                placed.pose[..., 2] += 1e-3
            return placed

    with pytest.raises(AssertionError):
        OBJECT_CHECKS["object_factors"](lambda n: Faulty(make_panda(), n, scene=SCENE), 3)


def test_constants_of_each_simulation_are_those_that_mujoco_computes():
    # MuJoCo's own computation from mass and inertia, for every member of the pool in every slot.
    with closing(make(12)) as backend:
        index = (np.arange(12)[:, None] + [0, 5]) % 12
        placement = place(backend, [0, 1], APART)
        reset(backend, dataclasses.replace(placement, index=index))
        names = ("dof_M0", "dof_invweight0", "body_invweight0", "body_subtreemass")
        for i in range(12):
            model = backend._batch.get_model(i)
            expected = copy.copy(model)
            mujoco.mj_setConst(expected, mujoco.MjData(expected))
            for name in names:
                rows = slice(1, None) if name.startswith("body") else slice(None)  # the world's mass is not used
                np.testing.assert_allclose(getattr(model, name)[rows], getattr(expected, name)[rows], rtol=1e-9, atol=1e-12)
            # The shapes: a model that is compiled from this member alone has the same bounds.
            alone = mujoco.MjModel.from_xml_string(_write_geom(SCENE.pool, index[i, 0]))
            geom = model.geom("scene/object0").id
            for name in ("geom_type", "geom_size", "geom_rbound", "geom_aabb"):
                np.testing.assert_allclose(getattr(model, name)[geom], getattr(alone, name)[0], atol=1e-12)


def _write_geom(pool, member):
    x, y, z = pool.half_size[member]
    shape, size = (("box", f"{x} {y} {z}"), ("cylinder", f"{x} {z}"), ("sphere", f"{x}"))[pool.shape[member]]
    return f'<mujoco><worldbody><body><freejoint/><geom type="{shape}" size="{size}"/></body></worldbody></mujoco>'


@pytest.mark.parametrize("control", ["position", "effort"])
def test_every_member_falls_as_fast_as_every_other(control):
    # Free fall, semi-implicit Euler: after m steps of h it is g·h²·m(m + 1)/2. A wrong mass in the mass matrix shows here.
    with closing(make(12)) as backend:
        placement = place(backend, [0, 1], APART, height=0.5)
        state = reset(backend, dataclasses.replace(placement, index=(np.arange(12)[:, None] + [0, 5]) % 12))
        start = state.objects.pose[..., 2]
        for _ in range(3):
            none = np.zeros_like(state.q)
            state = backend.step(state.q_setpoint) if control == "position" else backend.step_effort(none)
        fallen = GRAVITY * 0.005**2 * 30 * 31 / 2
        np.testing.assert_allclose(start - state.objects.pose[..., 2], fallen, rtol=1e-9)
        np.testing.assert_allclose(state.objects.twist[..., 2], -GRAVITY * 0.15, rtol=1e-9)
        assert np.abs(state.q - backend.robot.home).max() < 1e-9  # the arm has no weight


def test_a_turning_object_reports_its_velocity_along_the_axes_of_the_base():
    with closing(make(1)) as backend:
        placement = place(backend, [0, 1], APART, height=1.0)
        placement.pose[0, 0, 3:] = [np.cos(np.pi / 4), np.sin(np.pi / 4), 0.0, 0.0]  # its own y axis points up
        reset(backend, placement)
        backend._bodies.velocity[0, 0, 3:] = [0.0, 2.0, 0.0]
        state = backend.step(backend.q_setpoint)
        np.testing.assert_allclose(state.objects.twist[0, 0, 3:], [0.0, 0.0, 2.0], atol=0.6)  # the damping slows it
        assert np.abs(state.objects.twist[0, 0, 3:5]).max() < 1e-6
        yaw = 2.0 * np.arctan2(state.objects.pose[0, 0, 6], state.objects.pose[0, 0, 3])
        assert state.objects.twist[0, 0, 5] > 1.0 and abs(yaw) > 0.0


@pytest.mark.parametrize(("box", "thing", "slides"), [(0.5, 1.0, False), (0.5, 0.1, True), (0.1, 1.0, True)])
def test_a_contact_takes_the_smaller_friction(box, thing, slides):
    # On a slope of 20°, an object slides if the coefficient is below tan 20° = 0.36. The slope is made by turning the weight.
    kind = ObjectKind("cube", "box", (0.02,) * 3, (0.02,) * 3, friction=thing)
    scene = Scene((kind,), 1, (dataclasses.replace(TABLE, friction=box),))
    with closing(make(1, scene)) as backend:
        state = reset(backend, place(backend, [0], [[0.6, 0.0]]))
        weight = scene.pool.mass[0] * GRAVITY
        backend._bodies._applied[0, 0, :3] = [0.0, weight * np.sin(0.35), -weight * np.cos(0.35)]
        for _ in range(10):
            state = backend.step(state.q_setpoint)
        moved = state.objects.pose[0, 0, 1]
        assert (moved > 0.05) if slides else (moved < 0.002)


def test_two_objects_take_the_smaller_friction_of_both():
    kinds = [ObjectKind(n, "box", (0.02,) * 3, (0.02,) * 3, friction=f) for n, f in (("rough", 0.9), ("smooth", 0.05))]
    with closing(make(1, Scene(tuple(kinds), 2, (TABLE,)))) as backend:
        placement = place(backend, [0, 1], [[0.6, 0.0], [0.6, 0.0]])
        placement.pose[0, 1, 2] += 0.04  # the smooth one lies on the rough one
        state = reset(backend, placement)
        backend._bodies.velocity[0, 1, 1] = 0.15
        for _ in range(4):
            state = backend.step(state.q_setpoint)
        assert state.objects.pose[0, 1, 1] > 0.018 and abs(state.objects.pose[0, 0, 1]) < 0.002


def test_a_stack_stands():
    kinds = (ObjectKind("cube", "box", (0.02,) * 3, (0.02,) * 3, count=3),)
    with closing(make(1, Scene(kinds, 3, (TABLE,)))) as backend:
        placement = place(backend, [0, 1, 2], [[0.6, 0.1]] * 3)
        placement.pose[0, :, 2] += [0.0, 0.04, 0.08]
        state = reset(backend, placement)
        for _ in range(40):
            state = backend.step(state.q_setpoint)
        np.testing.assert_allclose(state.objects.pose[..., :3], placement.pose[..., :3], atol=5e-4)


def _make_low_panda():
    """Return a Panda whose links may touch the floor."""
    robot = make_panda()
    pairs = [ExcludedPair(FLOOR, link, "test") for link in (*robot.link_names[1:], "panda_hand")]
    return dataclasses.replace(robot, excluded_pairs=(*robot.excluded_pairs, *pairs))


@pytest.mark.parametrize("make_arm", [make_panda, _make_low_panda])
def test_arm_and_boxes_collide_and_objects_are_carried_by_them(make_arm):
    wall = FixedBox("wall", (0.42, 0.0, 0.5), (0.02, 0.5, 0.5))
    for scene in (Scene((), 0, (wall,)), Scene(SCENE.kinds, 2, (TABLE, wall))):
        with closing(make_backend("mujoco", make_arm(), scene=scene)) as backend:
            placement = place(backend, [0, 1], [[0.5, -0.3], [0.5, 0.3]]) if scene.num_objects else None
            state, periods = reset(backend, placement), 0
            assert not state.in_collision.any()
            while not state.in_collision.any():
                goal = state.q_setpoint.copy()
                goal[:, 1] += 0.08  # towards the wall
                state, periods = backend.step(goal), periods + 1
                assert periods < 15
            assert periods > 1
            inside = state.q[0] + 0.05 * (np.arange(9) == 1)
            again = reset(backend, placement, np.clip(inside, backend.robot.lower, backend.robot.upper))
            assert again.in_collision.all()  # found at the reset, too


def test_collisions_of_the_arm_are_the_same_beside_objects():
    robot, rng, n = make_panda(), np.random.default_rng(0), 256
    q = rng.uniform(robot.lower, robot.upper, (n, robot.dof))
    with closing(make(n, Scene(SCENE.kinds, 2))) as backend, closing(make(n, None)) as plain:
        placement = place(backend, [0, 1], [[3.0, 0.0], [3.0, 1.0]], height=-0.4)
        states = [backend.reset(np.ones(n, dtype=bool), q, placement), plain.reset(np.ones(n, dtype=bool), q)]
        for _ in range(5):
            np.testing.assert_array_equal(states[0].in_collision, states[1].in_collision)
            assert 0.01 < states[0].in_collision.mean() < 0.9
            goal = states[1].q_setpoint
            states = [backend.step(goal), plain.step(goal)]


def test_a_lost_object_is_parked_and_a_nan_is_an_error():
    with closing(make(2)) as backend:
        state = reset(backend, place(backend, [0, 1], APART))
        backend._bodies.velocity[1, 0, :3] = [900.0, 0.0, 10.0]
        state = backend.step(state.q_setpoint)
        np.testing.assert_array_equal(state.objects.is_parked, [[False, False], [True, False]])
        np.testing.assert_array_equal(state.objects.pose[1, 0], PARK_POSE)
        state = backend.step(state.q_setpoint)
        assert state.objects.is_parked.sum() == 1
        backend._bodies.pose[0, 1, 0] = np.nan
        with pytest.raises(BackendError, match="Arm 0, object 'cube1' reports the pose"):
            backend.step(state.q_setpoint)
        assert not reset(backend, place(backend, [0, 1], APART)).objects.is_parked.any()
        backend.step(backend.q_setpoint)


@pytest.mark.parametrize(
    ("xy", "height", "text"),
    [
        ([[0.55, 0.0], [0.55, 0.02]], 0.0, r"Object 'cube1' of arm 0 .*inside another object\. Place it elsewhere"),
        ([[0.55, 0.0], [0.55, 0.2]], -0.05, "'cube0' of arm 0 .*inside the box 'table'"),
        ([[1.5, 0.0], [1.5, 0.2]], -1.0, "below the floor"),
    ],
)
def test_a_placement_inside_something_is_refused(xy, height, text):
    with closing(make(2)) as backend:
        with pytest.raises(InvalidArgumentError, match=text):
            reset(backend, place(backend, [0, 1], xy, height))
        with pytest.raises(UsageError):  # it has changed nothing: the backend was never reset
            backend.step(backend.q_setpoint)


def test_step_effort_step_and_advance_keep_objects_going():
    with closing(make(1, measure_forces=True)) as backend, closing(make(1)) as other:
        state = reset(backend, place(backend, [4, 9], APART, height=0.02))
        backend.step_effort(np.zeros((1, 9)))
        state = backend.step(state.q_setpoint, np.array([[True, False]]))
        state = backend.advance(state.q_setpoint, 10)
        state = backend.advance_effort(np.zeros((1, 9)), 10)
        assert state.objects.is_parked.tolist() == [[True, False]]
        saved = backend.get_state()
        assert backend.advance(state.q_setpoint, 3, np.array([[False, True]])).objects.is_parked.all()
        state = backend.set_state(saved)
        assert state.objects.pose[0, 1, 2] == pytest.approx(SCENE.pool.half_size[9, 2], abs=1e-3)
        assert backend.contact_force[0] == 0.0 and not state.in_collision[0]  # the object on the table is no collision
        other.set_state(backend.get_state())
        np.testing.assert_array_equal(other.step(state.q_setpoint).objects.pose, backend.step(state.q_setpoint).objects.pose)


def test_threads_do_not_change_a_bit():
    rng, states = np.random.default_rng(0), []
    index = np.array([rng.choice(12, 2, replace=False) for _ in range(32)])
    for threads in (1, 2):
        with closing(make(32, num_threads=threads)) as backend:
            placement = place(backend, [0, 1], APART, height=0.03)
            state = reset(backend, dataclasses.replace(placement, index=index))
            for _ in range(10):
                state = backend.step(state.q_setpoint)
            states.append(state.objects.pose)
    np.testing.assert_array_equal(*states)


def test_without_a_scene_the_model_is_the_one_of_before():
    with closing(make_backend("mujoco", make_robot("panda"))) as backend:
        model = backend.model
        assert (model.nv, model.nsensor, model.npair) == (7, 0, 0)
        assert (model.opt.cone, model.opt.impratio, model.opt.iterations) == (0, 1.0, 100)
        assert backend.step  # the bits themselves: tests/test_first_version.py


def test_backends_without_scenes_refuse_them():
    def make_plain(robot, num_envs=1, control_dt=0.05):
        return FakeBackend(robot, num_envs, control_dt)

    with pytest.raises(UnsupportedError, match="has no scenes: it takes no keyword 'scene'"):
        make_backend(make_plain, make_panda(), num_envs=1, scene=SCENE)
    with closing(make_backend("mujoco", make_panda())) as backend:
        placement = place(make(1, backend="fake"), [0, 1], APART)
        with pytest.raises(InvalidArgumentError, match="no scene with objects"):
            reset(backend, placement)
        state = reset(backend, None)
        with pytest.raises(InvalidArgumentError, match="no scene with objects"):
            backend.step(state.q_setpoint, np.ones((1, 1), dtype=bool))
        backend.step(state.q_setpoint, np.zeros((1, 0), dtype=bool))  # nothing to park


# ---- the environment


def make_env(**options):
    return ArmEnv(PANDA, WatchTask(), **options)


@pytest.mark.parametrize("backend", ["fake", "mujoco"])
def test_a_seed_draws_goal_pose_memory_and_objects_in_this_order(backend):
    env = make_env(backend=backend, start_noise=0.1)
    observation, _ = env.reset(seed=3)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(3)))
    rng.uniform(-0.1, 0.1, 7)
    assert env.core._memory["drawn"][0] == rng.random()
    index, pose = WatchTask().place(rng, np.empty(0))
    np.testing.assert_array_equal(env.core.arm.objects.index[0], index)
    np.testing.assert_allclose(observation[:3], pose[0, :3], atol=1e-6)
    np.testing.assert_allclose(env.core._memory["first"][0], pose[0, :3], atol=1e-9)  # what begin() stored


def test_the_task_parks_and_the_next_episode_places_again():
    env = make_env()
    env.reset(seed=0)
    parked = []
    for _ in range(5):
        env.step(np.zeros(env.action_space.shape))
        parked.append(bool(env.core.arm.objects.is_parked[0, 0]))
    assert parked == [False, False, False, True, True]  # asked for at the end of the third period
    env.reset()
    env.step(np.zeros(env.action_space.shape))
    assert not env.core.arm.objects.is_parked.any()


@pytest.mark.parametrize("backend", ["fake", "mujoco"])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_states_copies_and_pickles_continue_to_the_bit(backend, steps):
    env, action = make_env(backend=backend), np.full(8, 0.3)
    env.reset(seed=1)
    for _ in range(steps):
        env.step(action)
    saved = env.core.get_state()
    others = [copy.deepcopy(env), pickle.loads(pickle.dumps(env)), make_env(backend=backend)]
    others[2].reset(seed=9)
    others[2].core.set_state(saved)
    expected = [env.step(action)[0] for _ in range(4)]
    for other in others:
        for row in expected:
            np.testing.assert_array_equal(other.step(action)[0], row)


def test_an_arm_of_a_batch_is_the_single_environment_of_its_seed():
    batch, single = ArmVectorEnv(PANDA, WatchTask(), num_envs=3), make_env()
    rows, _ = batch.reset(seed=5)
    row, _ = single.reset(seed=7)
    rng = np.random.default_rng(0)
    for _ in range(20):
        np.testing.assert_allclose(rows[2], row, atol=1e-6)
        action = rng.uniform(-1, 1, (3, 8)).astype(np.float32)
        rows, row = batch.step(action)[0], single.step(action[2])[0]


class FailingAtTheFifth(FakeBackend):
    made = 0

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        type(self).made += 1
        self.calls = 0

    def step(self, q_setpoint, park=None):
        self.calls += 1
        if self.calls == 5 and type(self).made == 1:
            raise BackendError("The simulator died while objects flew.")
        return super().step(q_setpoint, park)


def test_a_simulator_that_dies_while_objects_fly_truncates_one_episode():
    env = make_env(backend=FailingAtTheFifth, backend_options={"on_failure": "restart"})
    env.reset(seed=0)
    truncated = [env.step(np.zeros(8))[3] for _ in range(5)]
    assert truncated == [False] * 4 + [True]
    env.reset()
    env.step(np.zeros(8))
    assert not env.core.arm.objects.is_parked.any() and FailingAtTheFifth.made == 2


def test_a_robot_without_a_gripper_or_a_task_without_place_is_a_clear_error():
    from gym_gazebo2.errors import RobotError

    with pytest.raises(RobotError, match="no gripper"):
        ArmEnv("mara", WatchTask())
    task = WatchTask()
    task.place = super(WatchTask, task).place
    with pytest.raises(NotImplementedError, match="has a scene but no place"):
        ArmEnv(PANDA, task).reset()
    task.place = lambda rng, goal: (np.array([0]), np.zeros((1, 7)))
    with pytest.raises(InvalidArgumentError, match=r"WatchTask.place is 'int64 \(1,\).*members \(2,\) and poses \(2, 7\)"):
        ArmEnv(PANDA, task).reset()


@pytest.mark.parametrize("name", ["z1", "ur5"])
def test_a_base_that_is_the_world_has_scenes(name):
    """Makers call the base "world". An object that lies on the floor is then no part of the arm."""
    robot = make_robot(make_row(name), False)
    with closing(make_backend("mujoco", robot, num_envs=1, scene=SCENE)) as backend:
        far = [[0.9, 0.3 * i, 0.05, 1.0, 0.0, 0.0, 0.0] for i in range(SCENE.num_objects)]
        placement = Placement(np.arange(SCENE.num_objects)[None], np.array([far]))
        state = backend.reset(np.ones(1, dtype=bool), robot.home[None], placement)
        for _ in range(10):
            state = backend.step(state.q_setpoint)
        assert not state.in_collision.any()
