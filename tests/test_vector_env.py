from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from gym_gazebo2.errors import UnknownNameError, UsageError
from gym_gazebo2.vector_env import ArmVectorEnv


def make(**kwargs):
    return ArmVectorEnv("mara", "mara_reach_random", **{"num_envs": 3, "backend": "fake", **kwargs})


def test_make_vec_takes_the_batched_form_and_the_time_limit():
    env = gym.make_vec("MARA-v0", num_envs=4)
    assert isinstance(env.unwrapped, ArmVectorEnv) and env.num_envs == 4
    assert env.unwrapped.max_episode_steps == 100
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    env.close()


@pytest.mark.parametrize("env_id", ["MARA-v0", "MARAReachGoal-v0"])
def test_same_step_autoreset_equals_gymnasiums(env_id):
    """Compare every output with Gymnasium's own vector environment in the same mode."""
    kwargs = {"max_episode_steps": 5, "start_noise": 0.1}
    own = gym.make_vec(env_id, num_envs=2, **kwargs)
    mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
    theirs = gym.vector.SyncVectorEnv([lambda: gym.make(env_id, **kwargs) for _ in range(2)], **mode)
    for a, b in zip(own.reset(seed=3), theirs.reset(seed=3), strict=True):
        assert_same(a, b)
    rng = np.random.default_rng(0)
    for _ in range(12):
        actions = rng.uniform(-1, 1, own.action_space.shape)
        for a, b in zip(own.step(actions), theirs.step(actions), strict=True):
            assert_same(a, b)
    own.close()
    theirs.close()


def assert_same(a, b):
    if isinstance(b, dict):
        assert set(a) == set(b)
        for key in b:
            assert_same(a[key], b[key])
    elif b.dtype == object:
        for x, y in zip(a, b, strict=True):
            assert (x is None) == (y is None)
            if y is not None:
                assert_same(x, y)
    else:
        np.testing.assert_allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), atol=1e-6)


def test_without_autoreset_ended_arms_wait_for_the_mask():
    env = make(max_episode_steps=2, autoreset_mode="DISABLED")
    env.reset(seed=0)
    actions = np.ones(env.action_space.shape)
    assert env.step(actions)[3].tolist() == [False] * 3
    observation, _, _, truncated, infos = env.step(actions)
    assert truncated.all() and "final_obs" not in infos
    with pytest.raises(UsageError, match=r"The episodes of arms \[0, 1, 2\] have ended"):
        env.step(actions)
    with pytest.raises(UsageError):
        env.reset(options={"reset_mask": np.array([True, False, False])})
        env.step(actions)
    after, infos = env.reset(options={"reset_mask": np.array([False, True, True])})
    assert infos["_time"].tolist() == [False, True, True] and infos["time"].tolist() == [0.0] * 3
    assert np.any(after != observation)
    env.step(actions)


def test_mask_resets_only_its_arms():
    env = make(autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    before, *_ = env.step(np.ones(env.action_space.shape))
    after, infos = env.reset(options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert not np.array_equal(after[1], before[1])
    np.testing.assert_allclose(infos["time"], [0.05, 0.0, 0.05])


def test_seeds():
    env, same = make(), make()
    np.testing.assert_array_equal(env.reset(seed=5)[0], same.reset(seed=[5, 6, 7])[0])
    assert env.np_random_seed == (5, 6, 7) and len(env.np_random) == 3
    continued, _ = env.reset()
    assert not np.array_equal(continued, same.reset(seed=5)[0])
    with pytest.raises(ValueError, match="number of seeds is 2, expected 3"):
        env.reset(seed=[1, 2])


def test_options_a_batch_or_a_row():
    env = make()
    q = np.arange(18).reshape(3, 6) * 0.05
    np.testing.assert_allclose(env.reset(options={"q": q})[0][:, :6], q, atol=1e-6)
    goals = np.array([[-0.4, 0.1, 0.2], [-0.4, 0.0, 0.3], [-0.35, 0.1, 0.4]])
    env.reset(options={"goal": goals})
    np.testing.assert_array_equal(env.core.goal[:, :3], goals)
    env.reset(options={"goal": goals[0]})
    np.testing.assert_array_equal(env.core.goal[:, :3], np.tile(goals[0], (3, 1)))
    with pytest.raises(ValueError, match="rows of options"):
        env.reset(options={"goal": goals[:2]})


@pytest.mark.parametrize(
    "options",
    [{"q": [9.0] * 6}, {"goal": (0.1, 0.2)}, {"pose": 1}, {"q": np.zeros((2, 6))}, {"goal": [-0.4, 0.2, 0.3], "q": [9] * 6}],
)
def test_a_refused_reset_changes_nothing(options):
    env, same = make(start_noise=0.1), make(start_noise=0.1)
    for each in (env, same):
        each.reset(seed=0)
        each.step(np.ones(each.action_space.shape))
    with pytest.raises(ValueError):
        env.reset(seed=5, options=options)
    np.testing.assert_array_equal(env.core.goal, same.core.goal)
    assert env.np_random_seed == same.np_random_seed and env.get_steps().tolist() == [1, 1, 1]
    for a, b in zip(env.step(np.ones(env.action_space.shape))[:2], same.step(np.ones(env.action_space.shape))[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(env.reset()[0], same.reset()[0])


def test_a_pose_of_an_arm_that_is_not_reset_does_not_matter():
    env = make(autoreset_mode="DISABLED")
    env.reset(seed=0)
    q = np.array([[9.0] * 6, [0.1] * 6, [9.0] * 6])
    observation, _ = env.reset(options={"q": q, "reset_mask": np.array([False, True, False])})
    np.testing.assert_allclose(observation[1, :6], 0.1, atol=1e-6)


@pytest.mark.parametrize("mask", [[True, False, True], np.ones(2, dtype=bool), np.zeros(3, dtype=bool), np.ones(3)])
def test_invalid_masks(mask):
    with pytest.raises(ValueError, match="reset_mask"):
        make().reset(options={"reset_mask": mask})


@pytest.mark.parametrize(
    "kwargs",
    [{"num_envs": 0}, {"num_envs": -3}, {"max_episode_steps": 0}, {"max_episode_steps": True}, {"max_episode_steps": 2.5}],
)
def test_invalid_sizes(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        make(**kwargs)


def test_sizes_of_numpy_are_sizes():
    env = make(num_envs=np.int64(2), max_episode_steps=np.int32(1))
    env.reset(seed=np.int64(4))
    assert env.step(np.zeros(env.action_space.shape))[3].tolist() == [True, True] and env.np_random_seed == (4, 5)


def test_unknown_autoreset_mode():
    with pytest.raises(UnknownNameError, match="Available: DISABLED, NEXT_STEP, SAME_STEP"):
        make(autoreset_mode="NEVER")


def test_render_returns_the_first_arm():
    env = gym.make_vec("SCARA-v0", num_envs=2, render_mode="rgb_array")
    env.reset(seed=0)
    assert [frame.shape for frame in env.render()] == [(480, 640, 3)]
    env.close()
    assert make().render() is None


def test_next_step_ignores_the_action_after_an_end_and_gives_the_first_observation():
    keywords = {"num_envs": 3, "start_noise": 0.1}
    limited = gym.make_vec("MARA-v0", max_episode_steps=3, autoreset_mode="NEXT_STEP", **keywords)
    with closing(limited) as env, closing(gym.make_vec("MARA-v0", **keywords)) as other:
        first, _ = env.reset(seed=5)
        assert np.array_equal(first, other.reset(seed=5)[0])
        env.set_steps(np.array([0, 1, 0]))  # so that arm 1 ends a step before the others
        actions = env.action_space.sample()
        for _ in range(2):
            final, _, _, truncated, infos = env.step(actions)
            expected, *_ = other.step(actions)
        assert truncated.tolist() == [False, True, False] and np.array_equal(final, expected)
        assert "final_obs" not in infos
        observation, reward, terminated, truncated, infos = env.step(actions)
        expected, expected_reward, *_ = other.step(actions)
        restarted, _ = other.reset(options={"reset_mask": np.array([False, True, False])})
        assert truncated.tolist() == [True, False, True] and not terminated.any()
        assert np.array_equal(observation, restarted) and not np.array_equal(observation[1], final[1])
        assert reward[1] == 0.0 and np.array_equal(reward[[0, 2]], expected_reward[[0, 2]])
        assert infos["time"].tolist() == pytest.approx([0.15, 0.0, 0.15])
        assert env.get_steps().tolist() == [3, 0, 3]


@pytest.mark.parametrize("name", ["NormalizeObservation", "NormalizeReward", "RecordEpisodeStatistics"])
def test_wrappers_of_gymnasium_take_next_step(name):
    env = gym.make_vec("MARA-v0", num_envs=2, max_episode_steps=3, autoreset_mode="NEXT_STEP")
    with closing(getattr(gym.wrappers.vector, name)(env)) as wrapped:
        wrapped.reset(seed=0)
        ends = [wrapped.step(wrapped.action_space.sample())[3].all() for _ in range(8)]
    assert ends == [False, False, True, False, False, False, True, False]


def test_next_step_moves_no_arm_where_all_wait():
    env = gym.make_vec("SCARA-v0", num_envs=1, max_episode_steps=1, autoreset_mode="NEXT_STEP", control="position")
    with closing(env):
        env.reset(seed=0)
        env.step(env.action_space.sample())
        calls = []
        env.unwrapped.core.backend.step = calls.append
        env.step(env.action_space.sample())
        assert not calls
