"""A saved model does outside of its run what it did in training: in stable-baselines3's own functions."""

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, make_model_env, make_vec_env, train
from gym_gazebo2.errors import InvalidArgumentError, RunError

SHORT = {"env": "SCARA-v0", "num_envs": 8, "eval_runs": 4, "progress": "quiet"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training with normalisation, long enough for a policy that is better than one with wrong observations."""
    folder = tmp_path_factory.mktemp("model_env")
    hyper = {"n_steps": 100, "batch_size": 400}
    return train(TrainConfig(**SHORT, steps=24_000, normalize=True, hyperparameters=hyper, out=folder / "run"))


def test_three_lines_give_sb3_the_policy_of_the_run(run):
    env = make_model_env(run.model, gymnasium.make("SCARA-v0"))
    model = PPO.load(run.model)
    right, _ = evaluate_policy(model, env, n_eval_episodes=2)
    # Noise of 0: gymnasium.make gives every episode the same start, as evaluate does here.
    own = evaluate(run.path, EvaluateConfig(runs=2, start_noise=0.0))
    assert right == pytest.approx(own.mean_reward, rel=1e-3)
    wrong, _ = evaluate_policy(model, make_vec_env("SCARA-v0", 1, vec="dummy"), n_eval_episodes=2)
    assert wrong < right - 10


def test_without_an_environment_it_makes_that_of_the_training(tmp_path):
    config = TrainConfig(**{**SHORT, "num_envs": 2}, steps=200, control="position", normalize=True, out=tmp_path / "run",
                         hyperparameters={"n_steps": 10, "batch_size": 20})  # fmt: skip
    run = train(config)
    env = make_model_env(run.path, num_envs=3)
    assert env.num_envs == 3 and env.unwrapped.arms.options.control == "position"
    assert not env.training and not env.norm_reward
    before = env.obs_rms.mean.copy()
    env.reset()
    env.step(np.zeros((3, 3)))
    assert np.array_equal(before, env.obs_rms.mean)
    env.close()
    for other, named in (("delta", "control='delta'"), ("position", None)):
        if named is None:
            make_model_env(run.path, gymnasium.make("SCARA-v0", control=other)).close()
            continue
        with pytest.raises(InvalidArgumentError, match=named):
            make_model_env(run.path, gymnasium.make("SCARA-v0", control=other))
        with pytest.raises(InvalidArgumentError, match=named):
            make_model_env(run.path, make_vec_env("SCARA-v0", 2, control=other))


def test_an_environment_with_other_spaces_is_refused(run, tmp_path):
    for env_id in ("MARA-v0", "CartPole-v1"):
        with pytest.raises(InvalidArgumentError, match="was trained on SCARA-v0 with the observations Box"):
            make_model_env(run.model, gymnasium.make(env_id))
    (tmp_path / "model.zip").write_bytes(b"nothing")
    with pytest.raises(RunError, match="not a model file"):
        make_model_env(tmp_path / "model.zip")


def test_a_table_of_actions_comes_with_the_environment(tmp_path):
    config = TrainConfig(**{**SHORT, "num_envs": 2}, algo="dqn", steps=200, out=tmp_path / "run",
                         hyperparameters={"learning_starts": 50})  # fmt: skip
    run = train(config)
    env = make_model_env(run.path, gymnasium.make("SCARA-v0"))
    reward, _ = evaluate_policy(DQN.load(run.model), env, n_eval_episodes=1)
    assert np.isfinite(reward)
