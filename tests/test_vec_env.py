import os

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO, SAC, HerReplayBuffer
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from gym_gazebo2.algos import BatchedVecEnv, make_vec_env
from gym_gazebo2.errors import UnknownNameError, UnsupportedError

KWARGS = {"start_noise": 0.1, "max_episode_steps": 5}


def roll(env, seed=0, steps=12):
    rng = np.random.default_rng(seed)
    rows = [(env.reset(), None, None, None)]
    rows += [env.step(rng.uniform(-1, 1, (env.num_envs, *env.action_space.shape)).astype(np.float32)) for _ in range(steps)]
    env.close()
    return rows


@pytest.mark.parametrize("vec", ["dummy", "subproc", "pinned"])
def test_the_batched_form_equals_sb3s_own_vector_environments(vec):
    batched = make_vec_env("MARARandomTarget-v0", 2, seed=3, **KWARGS)
    workers = make_vec_env("MARARandomTarget-v0", 2, vec=vec, seed=3, **KWARGS)
    assert isinstance(batched, BatchedVecEnv) and isinstance(workers, DummyVecEnv if vec == "dummy" else SubprocVecEnv)
    for a, b in zip(roll(batched), roll(workers), strict=True):
        np.testing.assert_allclose(a[0], b[0], atol=1e-6)
        if a[1] is None:
            continue
        np.testing.assert_allclose(a[1], b[1], atol=1e-6)
        np.testing.assert_array_equal(a[2], b[2])
        for mine, theirs in zip(a[3], b[3], strict=True):
            assert mine.get("TimeLimit.truncated", False) == theirs["TimeLimit.truncated"]
            assert mine["position_error"] == pytest.approx(theirs["position_error"], abs=1e-9)
            assert ("terminal_observation" in mine) == ("terminal_observation" in theirs)
            if "episode" in theirs:
                np.testing.assert_allclose(mine["terminal_observation"], theirs["terminal_observation"], atol=1e-6)
                assert mine["episode"]["l"] == theirs["episode"]["l"] == 5
                assert mine["episode"]["r"] == pytest.approx(theirs["episode"]["r"], abs=1e-5)
    for mine, theirs in zip(batched.reset_infos, workers.reset_infos, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-9), "those of the episode that runs"


@pytest.mark.parametrize("vec", ["subproc", "pinned"])
def test_pinned_workers_keep_to_a_processor_each(vec):
    env, own = make_vec_env("MARA-v0", 3, vec=vec, backend="fake"), sorted(os.sched_getaffinity(0))
    found = [os.sched_getaffinity(process.pid) for process in env.processes]
    env.close()
    assert found == [{own[i % len(own)]} if vec == "pinned" else set(own) for i in range(3)]
    assert os.sched_getaffinity(0) == set(own)


def test_vec_env_surface():
    env = make_vec_env("MARA-v0", 3, seed=0, render_mode="rgb_array")
    env.reset()
    assert env.get_attr("num_envs") == [3, 3, 3] and env.get_attr("num_envs", indices=1) == [3]
    env.set_attr("note", "x")
    assert env.get_attr("note", 0) == ["x"]
    assert np.array_equal(env.env_method("get_steps")[0], [0, 0, 0])
    assert env.env_is_wrapped(gym.wrappers.TimeLimit) == [False] * 3
    assert env.render().shape == (480, 640, 3)
    assert "time" in env.reset_infos[0]
    env.close()
    env.close()


def test_some_arms_are_addressed_as_in_sb3s_own_vector_environments():
    batched, dummy = (make_vec_env("MARARandomTarget-v0", 3, vec=vec, seed=3, **KWARGS) for vec in ("batched", "dummy"))
    for env in (batched, dummy):
        env.reset()
        env.step(np.ones((3, 6), dtype=np.float32))
    for name in ("action_space", "observation_space"):
        assert batched.get_attr(name, [0, 2]) == dummy.get_attr(name, [0, 2])
    for indices, keywords in (([1], {}), ([0, 2], {"seed": 7}), (1, {"options": {"q": [0.1] * 6}})):
        results = [env.env_method("reset", indices=indices, **keywords) for env in (batched, dummy)]
        for (mine, my_info), (theirs, their_info) in zip(*results, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-6)
            assert my_info == pytest.approx(their_info, abs=1e-9)
    steps = [env.step(np.zeros((3, 6), dtype=np.float32)) for env in (batched, dummy)]
    np.testing.assert_allclose(steps[0][0], steps[1][0], atol=1e-6, err_msg="the other arms go on")
    for call in (lambda: batched.set_attr("note", 1, indices=1), lambda: batched.env_method("get_steps", indices=[0, 1])):
        with pytest.raises(UnsupportedError, match="all 3 arms"):
            call()
    batched.set_attr("note", 1, indices=[0, 1, 2])
    batched.close()
    dummy.close()


GOALS = [[-0.4, 0.1, 0.2], [-0.4, 0.0, 0.3]]


def test_options_are_one_dictionary_per_arm_or_one_for_all():
    """The batched form treats options as SB3's own vector environments do."""
    q = [[0.1] * 6, [0.2] * 6]
    for options in (
        [{"goal": GOALS[0]}, {"goal": GOALS[1]}],
        {"goal": GOALS[0], "q": q[1]},
        [{"goal": GOALS[1], "q": q[0]}, {"q": q[1], "goal": GOALS[0]}],
        None,
    ):
        batched, workers = (make_vec_env("MARA-v0", 2, vec=vec, seed=3, backend="fake") for vec in ("batched", "dummy"))
        for env in (batched, workers):
            env.set_options(options)
        np.testing.assert_allclose(batched.reset(), workers.reset(), atol=1e-6)
        np.testing.assert_allclose(batched.reset(), workers.reset(), atol=1e-6)  # options are for one reset
        batched.close()
        workers.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([{"goal": GOALS[0]}, {}], r"options of arm 1 is \[\], expected \['goal'\], the same as for arm 0"),
        ([{}, {"q": [0.0] * 6}], r"options of arm 1 is \['q'\], expected \[\]"),
        ([{"goal": GOALS[0]}], "number of options is 1, expected 2"),
        ([{"goal": GOALS[0]}, {"goal": [0.0]}], "of one shape for all arms"),
        ({"reset_mask": np.ones(2, dtype=bool)}, "no reset option 'reset_mask'"),
    ],
)
def test_invalid_options(options, message):
    env = make_vec_env("MARA-v0", 2, backend="fake")
    env.set_options(options)
    with pytest.raises(ValueError, match=message):
        env.reset()


def test_wrappers_and_evaluation_of_sb3_work():
    env = VecNormalize(make_vec_env("SCARA-v0", 2, seed=0))
    model = PPO("MlpPolicy", env, n_steps=50, batch_size=50, device="cpu")
    model.learn(200)
    rewards, lengths = evaluate_policy(
        model, make_vec_env("SCARA-v0", 2, seed=1), n_eval_episodes=3, return_episode_rewards=True
    )
    assert len(rewards) == 3 and set(lengths) == {100}


def test_hindsight_replay_learns_on_the_goal_environment():
    env = make_vec_env("MARAReachGoal-v0", 2, seed=0)
    model = SAC("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, learning_starts=210, batch_size=32, device="cpu")
    model.learn(240)
    sample = model.replay_buffer.sample(256)
    assert sample.rewards.min() == -1.0 and sample.rewards.max() == 0.0


def test_foreign_environments_run_in_workers():
    env = make_vec_env("Pendulum-v1", 2, vec="dummy", seed=0)
    assert env.reset().shape == (2, 3)
    with pytest.raises(ValueError, match="Use vec='dummy' or vec='subproc'"):
        make_vec_env("Pendulum-v1", 2)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (("MRA-v0",), {}, "Did you mean 'MARA-v0'"),
        (("MARA-v0", 0), {}, "num_envs"),
        (("MARA-v0", 2), {"seed": -1}, "seed"),
        (("MARA-v0", 2), {"vec": "threads"}, "Available: batched, dummy, pinned, subproc"),
        (("MARA-v0", 2), {"backend": "bullet"}, "Available: fake, gazebo, gz_sim, mujoco"),
    ],
)
def test_bad_arguments(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_vec_env(*args, **kwargs)


def test_only_the_same_step_autoreset_can_be_bridged():
    with pytest.raises(ValueError, match="SAME_STEP"):
        BatchedVecEnv(gym.make_vec("MARA-v0", num_envs=2, autoreset_mode="DISABLED"))
    with pytest.raises(UnknownNameError):
        make_vec_env("Nothing-v0")
