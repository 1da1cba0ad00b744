"""The keyword ``randomize``: every part has a measured effect, stays in its range, repeats with the seed, and is saved."""

import copy
import dataclasses
import pickle
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from gym_gazebo2 import Randomize
from gym_gazebo2.algos import TrainConfig, make_vec_env, train
from gym_gazebo2.algos.settings.env_keywords import change_env_kwargs
from gym_gazebo2.algos.settings.options import join_assignments
from gym_gazebo2.algos.settings.values import parse_assignments
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.backends.mujoco import MujocoBackend
from gym_gazebo2.env import ArmEnv
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UnsupportedError
from gym_gazebo2.options import EnvOptions
from gym_gazebo2.randomize.noise import BLOCK
from gym_gazebo2.scene import FixedBox, ObjectKind, Scene
from gym_gazebo2.scene.physics import GRAVITY
from gym_gazebo2.vector_env import ArmVectorEnv

from .scenes import PANDA, SCENE, TABLE, WatchTask

EVERYTHING = Randomize(
    friction=(0.5, 1.5), mass=(0.5, 2.0), size=(0.5, 2.0), latency=(0, 3), noise=0.01, noise_factor=(0.0, 2.0)
)
ON_ARMS = Randomize(latency=(0, 3), noise=0.01, noise_factor=(0.0, 2.0))


class StillTask(WatchTask):
    """Objects stay where a test puts them; nothing is taken away."""

    def __init__(self, scene, poses, members):
        self.scene, self.poses, self.members = scene, np.array(poses, dtype=float), np.array(members)

    def compute_bounds(self, kinematics):
        size = 13 * self.scene.num_objects
        return np.full(size, -200.0), np.full(size, 200.0)

    def start(self, rng):
        return {}

    def place(self, rng, goal):
        return self.members, self.poses

    def begin(self, state, goal):
        return state.memory

    def advance(self, state, goal):
        after = super().advance(state._replace(memory={"count": np.zeros(len(state.action))}), goal)
        return dataclasses.replace(after, memory=state.memory, park=None)


BOX = ObjectKind("box", "box", (0.03,) * 3, (0.03,) * 3, count=1)
BALL = ObjectKind("ball", "sphere", (0.03,) * 3, (0.03,) * 3, count=2)
BALLS = StillTask(Scene((BALL,), 2), [[0.6, -0.2, 1.0, 1, 0, 0, 0], [0.6, 0.2, 1.0, 1, 0, 0, 0]], [0, 1])
SLIDE = StillTask(
    Scene((BOX,), 1, (FixedBox("table", (0.5, 0.0, -0.05), (0.6, 3.0, 0.05)),)), [[0.6, 0, 0.03, 1, 0, 0, 0]], [0]
)


def make(task=None, num_envs=None, **keywords):
    robot, task = PANDA, WatchTask() if task is None else task
    return ArmEnv(robot, task, **keywords) if num_envs is None else ArmVectorEnv(robot, task, num_envs=num_envs, **keywords)


def kick(core, velocity):
    """Give the objects velocities (k, 6)."""
    state = core.get_state()
    state["backend.object_velocity"] = np.array(velocity, dtype=float)[None]
    core.set_state(state)


def roll_out(env, steps, seed=7):
    env.action_space.seed(seed)
    return [env.step(env.action_space.sample())[:4] for _ in range(steps)]


# Objects


@pytest.mark.parametrize("seed", [0, 1])
def test_a_mass_changes_what_a_collision_does_and_not_the_fall(seed):
    with closing(make(BALLS, control="delta", randomize={"mass": (0.25, 4.0)})) as env:
        env.reset(seed=seed)
        core = env.core
        mass = core.task.scene.pool.mass * core.randomizer.values["mass"][0]
        assert abs(mass[0] / mass[1] - 1.0) > 0.2
        kick(core, [[0, 4.0, 0, 0, 0, 0], np.zeros(6)])
        for _ in range(3):
            env.step(np.zeros(env.action_space.shape))
        twist = core.arm.objects.twist[0]
        # The balls fall freely, however heavy, and the one that was hit has taken momentum from the other.
        np.testing.assert_allclose(twist[:, 2], -GRAVITY * 0.15, rtol=1e-3)
        assert twist[1, 1] > 0.5
        np.testing.assert_allclose(mass @ twist[:, 1], mass[0] * 4.0, rtol=1e-3)
        assert abs(core.task.scene.pool.mass @ (twist[:, 1] - [4.0, 0.0])) > 0.02 * mass[0]


def test_a_mass_is_that_of_the_arrays_which_an_engine_derives_from_it():
    with closing(make(num_envs=3, randomize={"mass": (0.25, 4.0)})) as env:
        env.reset(seed=0)
        backend, factor = env.core.backend, env.core.randomizer.values["mass"]
        assert np.unique(factor).size == factor.size and ((factor >= 0.25) & (factor <= 4.0)).all()
        mass = SCENE.pool.mass[env.core.arm.objects.index] * factor
        for name, exponent in (("body_mass", 1), ("dof_M0", 1), ("body_invweight0", -1), ("dof_invweight0", -1)):
            values = backend._batch.expand(name)
            rows = values[:, -6 * 2 :].reshape(3, 2, 6)[..., 0] if "dof" in name else values[:, backend_rows(backend)]
            rows = rows[..., 0] if rows.ndim == 3 else rows
            np.testing.assert_allclose(rows, mass**exponent, rtol=1e-12, err_msg=name)


def backend_rows(backend):
    return [backend.model.body(f"scene/object{slot}").id for slot in range(backend.num_objects)]


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.6])
def test_friction_changes_how_far_a_box_slides(factor):
    with closing(make(SLIDE, control="delta", randomize={"friction": (factor, factor)})) as env:
        env.reset(seed=0)
        kick(env.core, [[0, 1.5, 0, 0, 0, 0]])
        for _ in range(25):
            env.step(np.zeros(env.action_space.shape))
        coefficient = factor * 0.5  # the table's 0.5 is smaller than the box's 1.0
        distance = env.core.arm.objects.pose[0, 0, 1]
        np.testing.assert_allclose(distance, 1.5**2 / (2.0 * coefficient * GRAVITY), rtol=0.05)
        np.testing.assert_allclose(env.core.backend._bodies._link_friction[0, 0, 0], factor)


def test_sizes_come_from_the_pool_and_keep_kind_and_height():
    low, high = 0.7, 1.4
    pool, plain, drawn = SCENE.pool, make(backend="fake"), make(backend="fake", randomize={"size": (low, high)})
    size, seen = np.cbrt(np.prod(pool.half_size, axis=1)), set()
    with closing(plain), closing(drawn):
        for seed in range(40):
            plain.reset(seed=seed), drawn.reset(seed=seed)
            before, after = plain.core.arm.objects, drawn.core.arm.objects
            assert len(set(after.index[0])) == 2
            for old, new, old_pose, new_pose in zip(
                before.index[0], after.index[0], before.pose[0], after.pose[0], strict=True
            ):
                assert pool.kind[old] == pool.kind[new] and low <= size[new] / size[old] <= high
                assert np.array_equal(old_pose[[0, 1, 3, 4, 5, 6]], new_pose[[0, 1, 3, 4, 5, 6]])
                seen.add((old, new))
            # The first object stands upright, so its half height is the height of its centre above its lowest point.
            bottoms = [o.pose[0, 0, 2] - pool.half_size[o.index[0, 0], 2] for o in (before, after)]
            np.testing.assert_allclose(*bottoms, atol=1e-12)
    assert sum(old != new for old, new in seen) > 10


@pytest.mark.parametrize("wall", [False, True])
def test_a_larger_object_is_not_put_where_it_does_not_fit(wall):
    kind = ObjectKind("cube", "box", (0.01,) * 3, (0.04,) * 3, count=12, is_cube=True)
    boxes = (TABLE, FixedBox("wall", (0.5, 0.05, 0.1), (0.2, 0.02, 0.1)))
    scene = Scene((kind,), 1 if wall else 2, boxes if wall else (TABLE,))
    order = np.argsort(scene.pool.half_size[:, 0])
    small, half = order[[0, 1]], scene.pool.half_size[order[[0, 1]], 0]
    poses = [[0.5, 0.0, half[0], 1, 0, 0, 0], [0.5, half.sum() + 1e-3, half[1], 1, 0, 0, 0]]
    poses[0][1] = 0.03 - half[0] - 1e-3 if wall else 0.0
    k = scene.num_objects
    with closing(make(StillTask(scene, poses[:k], small[:k]), randomize={"size": (0.2, 5.0)})) as env:
        for seed in range(20):
            env.reset(seed=seed)
            assert (scene.pool.half_size[env.core.arm.objects.index[0], 0] <= half.max()).all()


def test_a_sorting_task_takes_every_part():
    randomize = dataclasses.replace(EVERYTHING, size=(0.3, 3.0))
    envs = gym.make_vec("PandaSort-v0", num_envs=16, num_objects=5, randomize=randomize)
    with closing(envs), closing(gym.make_vec("PandaSort-v0", num_envs=16, num_objects=5)) as plain:
        for seed in range(5):
            observations, _ = envs.reset(seed=seed)
            plain.reset(seed=seed)
            before, after = (each.unwrapped.core.arm.objects for each in (plain, envs))
            assert (before.index != after.index).mean() > 0.3
            assert np.array_equal(before.pose[..., :2], after.pose[..., :2])
            for _ in range(5):
                observations, *_ = envs.step(envs.action_space.sample())
                assert envs.observation_space.contains(observations)


# Actions and observations


@pytest.mark.parametrize("control", ["delta", "position", "tool", "torque"])
@pytest.mark.parametrize("latency", [0, 1, 3])
def test_latency_delays_actions_by_whole_periods(control, latency):
    keywords = {"backend": "fake", "control": control}
    actions = np.random.default_rng(0).uniform(-1, 1, (8, 3 if control == "tool" else 6))
    with (
        closing(gym.make("MARA-v0", **keywords).unwrapped) as prompt,
        closing(gym.make("MARA-v0", randomize={"latency": [latency, latency]}, **keywords).unwrapped) as late,
    ):
        prompt.reset(seed=0), late.reset(seed=0)
        start = late.core.arm.q
        expected = [start] * latency + [(prompt.step(action), prompt.core.arm.q)[1] for action in actions]
        for action, q in zip(actions, expected, strict=False):
            late.step(action)
            np.testing.assert_array_equal(late.core.arm.q, q)
            np.testing.assert_array_equal(late.core.require_state().action[0], action)  # the task sees what the policy chose
        assert not np.array_equal(late.core.arm.q, start)


def test_latency_is_drawn_per_episode_and_stays_in_its_range():
    with closing(gym.make_vec("MARA-v0", num_envs=64, backend="fake", randomize={"latency": (1, 3)})) as envs:
        envs.reset(seed=0)
        core, q = envs.unwrapped.core, envs.unwrapped.core.arm.q
        first = core.randomizer.values["latency"]
        assert set(first) == {1, 2, 3}
        for step in range(1, 5):
            envs.step(np.ones(envs.action_space.shape))
            np.testing.assert_array_equal((core.arm.q != q).any(axis=1), first < step)
        envs.reset()
        assert not np.array_equal(core.randomizer.values["latency"], first)


def test_a_gripper_waits_as_the_arm_does():
    with closing(make(BALLS, control="position", randomize={"latency": (2, 2)})) as env:
        env.reset(seed=0)
        q = env.core.arm.q.copy()
        for _ in range(2):
            env.step(-np.ones(env.action_space.shape))
            np.testing.assert_allclose(env.core.arm.q, q, atol=1e-5)
        env.step(-np.ones(env.action_space.shape))
        assert (np.abs(env.core.arm.q - q)[0, [0, -1]] > 1e-3).all()


def read_noise(envs, seed, steps):
    """Return the noise (steps + 1, n, 24) of a randomized vector environment of MARA-v0 at rest, from one without."""
    with closing(gym.make_vec("MARA-v0", num_envs=envs.num_envs, backend="fake")) as plain:
        pairs = [(envs.reset(seed=seed)[0], plain.reset(seed=seed)[0])]
        for _ in range(steps):
            action = np.zeros(envs.action_space.shape)
            (noisy, reward, *_), (exact, plain_reward, *_) = envs.step(action), plain.step(action)
            np.testing.assert_array_equal(reward, plain_reward)
            pairs.append((noisy, exact))
    return np.array([noisy - exact for noisy, exact in pairs])


def test_noise_is_gaussian_per_component_and_new_in_every_step():
    deviation = np.linspace(0.0, 0.023, 24)
    steps = 3 * BLOCK
    with closing(gym.make_vec("MARA-v0", num_envs=32, backend="fake", randomize={"noise": deviation.tolist()})) as envs:
        noise = read_noise(envs, 0, steps)
        with closing(gym.make("MARA-v0", backend="fake")) as plain:
            space, rest = plain.observation_space, plain.reset()[0]
    assert (noise[..., 0] == 0.0).all()
    inside = np.minimum(space.high - rest, rest - space.low) > 6.0 * deviation  # elsewhere noise is clipped
    inside[0] = False
    assert inside.sum() > 15
    noise, deviation = noise[..., inside], deviation[inside]
    samples = (noise / deviation).reshape(-1, len(deviation))
    count = len(samples)
    assert np.abs(samples.mean(axis=0)).max() < 5.0 / np.sqrt(count)
    assert np.abs(samples.std(axis=0) - 1.0).max() < 5.0 / np.sqrt(2 * count)
    kurtosis = (samples**4).mean() / (samples**2).mean() ** 2
    assert abs(kurtosis - 3.0) < 0.1
    # Neither repeated from step to step, nor shared between arms or components.
    assert np.unique(np.round(samples, 5)).size > 0.9 * samples.size
    series = noise / deviation
    lagged = (series[1:] * series[:-1]).mean()
    assert abs(lagged) < 5.0 / np.sqrt(samples.size)


def test_the_factor_on_noise_is_drawn_per_episode():
    randomize = {"noise": 0.001, "noise_factor": (0.0, 4.0)}
    with closing(gym.make_vec("MARA-v0", num_envs=8, backend="fake", randomize=randomize)) as envs:
        noise = read_noise(envs, 3, 40)
        factor = envs.unwrapped.core.randomizer.values["noise_factor"]
    assert ((factor >= 0.0) & (factor <= 4.0)).all() and np.ptp(factor) > 1.0
    np.testing.assert_allclose(np.median(noise.std(axis=0), axis=1), 0.001 * factor, rtol=0.1)


@pytest.mark.parametrize("env_id", ["MARA-v0", "MARAReachGoal-v0"])
def test_observations_with_much_noise_stay_in_their_space(env_id):
    with closing(gym.make(env_id, backend="fake", randomize={"noise": 100.0})) as env:
        observation, _ = env.reset(seed=0)
        for _ in range(5):
            assert env.observation_space.contains(observation)
            observation, reward, *_, info = env.step(env.action_space.sample())
            if env_id == "MARAReachGoal-v0":  # goals are exact, so that hindsight rewards equal the step's
                goals = observation["achieved_goal"], observation["desired_goal"]
                assert env.unwrapped.compute_reward(*goals, info) == reward
        flat = observation if env_id == "MARA-v0" else observation["observation"]
        box = env.observation_space if env_id == "MARA-v0" else env.observation_space["observation"]
        assert ((flat == box.low) | (flat == box.high)).mean() > 0.5


# Draws, seeds, states


def test_nothing_else_of_an_episode_changes():
    keywords = {"start_noise": 0.1, "control": "delta"}
    with (
        closing(make(**keywords)) as plain,
        closing(make(randomize=dataclasses.replace(EVERYTHING, size=None), **keywords)) as env,
    ):
        plain.reset(seed=5), env.reset(seed=5)
        before, after = plain.core, env.core
        assert np.array_equal(before.arm.q, after.arm.q) and np.array_equal(before.arm.objects.pose, after.arm.objects.pose)
        assert np.array_equal(before._memory["drawn"], after._memory["drawn"])


@pytest.mark.parametrize("nothing", [None, {}, Randomize(), {"mass": None}])
def test_nothing_is_drawn_where_nothing_is_asked_for(nothing):
    with closing(make()) as plain, closing(make(randomize=nothing)) as env:
        assert env.core.randomizer is None
        assert data_equivalence(plain.reset(seed=1), env.reset(seed=1), exact=True)
        assert data_equivalence(roll_out(plain, 4), roll_out(env, 4), exact=True)
        assert plain.np_random.bit_generator.state == env.np_random.bit_generator.state
        assert plain.core.get_state().keys() == env.core.get_state().keys()


def test_a_part_that_is_not_asked_for_draws_nothing():
    states = {}
    for name in ("friction", "latency"):
        with closing(make(randomize=Randomize(**{name: getattr(EVERYTHING, name)}))) as env:
            env.reset(seed=1)
            states[name] = set(env.core.randomizer.draws)
    assert states == {"friction": {"steps", "friction"}, "latency": {"steps", "latency", "queue"}}


@pytest.mark.parametrize("kind", ["scene", "arm"])
def test_arm_i_equals_the_single_environment_with_seed_s_plus_i(kind):
    def make_one(n):
        if kind == "scene":
            return make(num_envs=n, randomize=EVERYTHING)
        return ArmVectorEnv("mara", "mara_reach_random", num_envs=n, max_episode_steps=5, randomize=ON_ARMS)

    actions = np.random.default_rng(0).uniform(-1, 1, (8, 3, *make_one(1).single_action_space.shape))
    with closing(make_one(3)) as envs:
        first = envs.reset(seed=11)[0]
        together = [first, *(envs.step(action)[0] for action in actions)]
        values = envs.core.randomizer.values
    for i in range(3):
        with closing(make_one(1)) as env:
            alone = [env.reset(seed=11 + i)[0], *(env.step(action[[i]])[0] for action in actions)]
            for name, value in env.core.randomizer.values.items():
                np.testing.assert_array_equal(value[0], values[name][i])
        np.testing.assert_allclose([o[0] for o in alone], [o[i] for o in together], atol=1e-6)


def test_seeds_repeat_and_episodes_differ():
    with closing(make(randomize=EVERYTHING)) as env:
        runs = []
        for seed in (4, None, 4):
            start = env.reset(seed=seed)
            runs.append((env.core.randomizer.values, start, roll_out(env, 5)))
    assert data_equivalence(runs[0], runs[2], exact=True)
    assert not np.array_equal(runs[0][0]["mass"], runs[1][0]["mass"])


@pytest.mark.parametrize("control", ["delta", "torque"])
def test_a_state_continues_to_the_bit(control):
    with (
        closing(make(num_envs=2, control=control, randomize=EVERYTHING)) as env,
        closing(make(num_envs=2, control=control, randomize=EVERYTHING)) as other,
    ):
        env.reset(seed=2), other.reset(seed=99)
        roll_out(env, BLOCK - 2)
        other.core.set_state(env.core.get_state())
        assert data_equivalence(roll_out(env, 6), roll_out(other, 6), exact=True)
        assert data_equivalence(env.core.get_state(), other.core.get_state(), exact=True)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_continues_to_the_bit(way):
    with closing(make(randomize=EVERYTHING)) as env:
        env.reset(seed=2)
        roll_out(env, 3)
        with closing(way(env)) as other:
            assert data_equivalence(roll_out(other, 5), roll_out(env, 5), exact=True)
            assert data_equivalence(other.reset(), env.reset(), exact=True)


def test_a_checkpoint_continues_to_the_bit():
    keywords = {"backend": "fake", "max_episode_steps": 7, "randomize": dataclasses.asdict(ON_ARMS)}
    env, other = (make_vec_env("MARA-v0", 3, seed=seed, **keywords) for seed in (0, 1))
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 3, 6))
    env.reset(), other.reset()
    for action in actions[:10]:
        env.step(action)
    other.set_state(*env.get_state())
    for action in actions[10:]:  # across the end of an episode
        for mine, yours in zip(env.step(action)[:3], other.step(action)[:3], strict=True):
            np.testing.assert_array_equal(mine, yours)
    env.close(), other.close()


def test_a_reset_of_some_arms_repeats_the_observations_of_the_others():
    with closing(gym.make_vec("MARA-v0", num_envs=2, backend="fake", autoreset_mode="DISABLED", randomize=ON_ARMS)) as envs:
        envs.reset(seed=0)
        observation = envs.step(envs.action_space.sample())[0]
        again = envs.reset(options={"reset_mask": np.array([True, False])})[0]
        np.testing.assert_array_equal(again[1], observation[1])
        assert not np.array_equal(again[0], observation[0])


def test_a_state_of_another_randomize_is_refused():
    with closing(make(randomize={"latency": (0, 2)})) as env, closing(make(randomize={"latency": (0, 3)})) as other:
        env.reset(seed=0), other.reset(seed=0)
        with pytest.raises(InvalidArgumentError, match="another randomize"):
            other.core.set_state(env.core.get_state())


def test_a_simulator_that_restarts_keeps_its_factors():
    with closing(make(randomize=EVERYTHING, backend_options={"on_failure": "restart"})) as env:
        env.reset(seed=0)
        inner = env.core.backend.inner
        np.testing.assert_array_equal(inner._objects.factors["mass"], env.core.randomizer.values["mass"])


# Errors


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"friction": (1.5, 0.5)}, "two factors"),
        ({"mass": (0.0, 1.0)}, "from 0.1 to 10"),
        ({"mass": (1.0, 100.0)}, "from 0.1 to 10"),
        ({"mass": 2.0}, "two factors"),
        ({"mass": (1.0, np.nan)}, "two factors"),
        ({"mass": ("1", 2)}, "two factors"),
        ({"size": (1.1, 1.5)}, "includes 1"),
        ({"latency": (0, 0.5)}, "whole numbers of control periods"),
        ({"latency": (0, 21)}, "from 0 to 20"),
        ({"latency": (2, 1)}, "whole numbers"),
        ({"noise": -0.1}, "standard deviation"),
        ({"noise": []}, "standard deviation"),
        ({"noise": [0.1, "x"]}, "standard deviation"),
        ({"noise_factor": (0.0, 1.0)}, "Give noise, too"),
        ({"noise": 0.1, "noise_factor": (-1.0, 1.0)}, "from 0 to 10"),
        (0.5, "a Randomize, or a dictionary"),
    ],
)
def test_invalid_ranges_are_refused(value, match):
    with pytest.raises(InvalidArgumentError, match=match):
        EnvOptions(randomize=value)


def test_an_unknown_part_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'friction'"):
        EnvOptions(randomize={"frictions": (0.5, 1.0)})


def test_noise_for_another_number_of_components_is_refused():
    with pytest.raises(InvalidArgumentError, match="has 2 numbers, but the observation has 24"):
        gym.make("MARA-v0", backend="fake", randomize={"noise": [0.1, 0.1]})


def test_noise_for_an_image_alone_is_refused():
    with pytest.raises(InvalidArgumentError, match="an image alone"):
        gym.make("PandaSortCamera-v0", backend="fake", randomize={"noise": 0.1})


def test_objects_must_be_there_to_vary():
    with pytest.raises(InvalidArgumentError, match="friction and mass, but the task has no objects"):
        gym.make("MARA-v0", randomize={"mass": (0.5, 2.0), "friction": (0.5, 2.0)})


class _Weightless(FakeBackend):
    object_factors = ("friction",)


@pytest.mark.parametrize(
    ("backend", "match"),
    [
        ("fake", "FakeBackend cannot change the friction and mass.*can have: size, latency, noise, noise_factor"),
        ("gazebo", "GazeboBackend cannot change the friction and mass"),  # before a server is started
        (_Weightless, "cannot change the mass of.*can have: friction, size"),
        (lambda robot, **options: FakeBackend(robot, **options), "FakeBackend cannot change the friction and mass"),
    ],
)
def test_an_engine_that_cannot_vary_a_part_is_refused(backend, match):
    with pytest.raises(UnsupportedError, match=match):
        make(backend=backend, randomize=EVERYTHING)


def test_a_backend_refuses_factors_that_it_does_not_have():
    with closing(make(backend="fake")) as env:
        env.reset(seed=0)
        objects = env.core.arm.objects
        placement = env.core._make_placement()
        placement.index[:], placement.pose[:] = objects.index, objects.pose
        heavy = dataclasses.replace(placement, factors={"mass": np.ones((1, 2))})
        with pytest.raises(UnsupportedError, match="cannot change the mass"):
            env.core.backend.reset(np.array([True]), env.core.arm.q, heavy)
    with closing(make()) as env:
        env.reset(seed=0)
        for bad in (np.zeros((1, 2)), np.ones(2), np.full((1, 2), np.nan)):
            with pytest.raises(InvalidArgumentError, match="positive factors"):
                env.core.backend.reset(np.array([True]), env.core.arm.q, dataclasses.replace(placement, factors={"mass": bad}))
    assert MujocoBackend.object_factors == ("friction", "mass")


# Runs


def test_the_options_of_a_command():
    words = ["train", "--env.randomize.latency", "[0,2]", "--env.randomize.noise=0.01", "--env.randomize.mass", "[0.5, 2]"]
    joined = join_assignments(words)
    keywords = parse_assignments(joined[joined.index("--env.KEY") + 1 :])
    assert EnvOptions(**keywords).randomize == Randomize(latency=(0, 2), noise=0.01, mass=(0.5, 2.0))


def test_a_run_remembers_it(tmp_path):
    randomize = Randomize(latency=(0, 2), noise=0.01)
    few = {"steps": 80, "num_envs": 4, "max_episode_steps": 10, "eval_runs": 2, "eval_every": 1000, "progress": False}
    small = {"n_steps": 10, "batch_size": 40}
    given = {"backend": "fake", "env_kwargs": {"randomize": randomize}, "hyperparameters": small}
    run = train(TrainConfig(env="MARA-v0", out=str(tmp_path / "run"), **given, **few))
    stored = run.read_config().env_kwargs
    assert EnvOptions(**stored).randomize == randomize
    kwargs = run.read_config().make_kwargs
    with closing(make_vec_env("MARA-v0", 2, **kwargs)) as env:
        assert env.env.core.randomizer.randomize == randomize


def test_another_backend_starts_without_it():
    kwargs = {"backend": "mujoco", "randomize": {"noise": 0.01}, "control": "delta"}
    assert change_env_kwargs(kwargs, {"backend": "ros2"}) == {"backend": "ros2", "control": "delta"}
    assert change_env_kwargs(kwargs, {"randomize": {"latency": [1, 1]}})["randomize"] == {"noise": 0.01, "latency": [1, 1]}
    assert change_env_kwargs(kwargs, {"randomize": None})["randomize"] is None


@pytest.mark.parametrize("arguments", [[], ["--real-time", "--robot-only"]], ids=["simulator", "robot"])
def test_latency_and_noise_work_over_ros_2(arguments):
    """The robot is a stand-in: it offers the topics of a robot and nothing more, and its time runs on."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")
    from .sim_process import run_sim

    with run_sim("scara", *arguments) as sim:
        randomize = Randomize(latency=(2, 2), noise=0.01)
        env = gym.make("SCARA-v0", backend="ros2", backend_options={"domain_id": sim.domain}, randomize=randomize)
        with closing(env):
            observation, _ = env.reset(seed=0)
            core, seen = env.unwrapped.core, []
            start, exact = core.arm.q, core.task.compute_observation(core.require_state(), core.goal)[0]
            assert 0.0 < np.abs(observation - exact).max() < 0.06
            for _ in range(4):
                env.step(np.ones(3))
                seen.append(np.abs(core.arm.q_setpoint - start).max())
        # The set-point is still for two periods, and then moves by the travel of a period.
        travel = core._travel.max()
        assert max(seen[:2]) < 0.05 * travel < 0.9 * travel < seen[2] < seen[3]
