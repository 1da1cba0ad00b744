"""A training starts from a model: on another task, on another backend, from a run or from a file of stable-baselines3."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from gym_gazebo2.algos import TrainConfig, make_vec_env, read_model_file, resume, save_normalization, train
from gym_gazebo2.cli import main
from gym_gazebo2.cli.training import Train
from gym_gazebo2.errors import InvalidArgumentError, RunError

HYPER = {"n_steps": 10, "batch_size": 40, "n_epochs": 1}
TINY = {"num_envs": 4, "max_episode_steps": 15, "eval_every": 1000, "eval_runs": 2, "progress": "quiet"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    hyper = {**HYPER, "policy_kwargs": {"net_arch": [6]}}
    config = TrainConfig(**TINY, env="SCARA-v0", steps=400, normalize=True, hyperparameters=hyper, control="position",
                         out=str(tmp_path_factory.mktemp("start") / "run"))  # fmt: skip
    return train(config)


def tune(path, run, **kwargs):
    return TrainConfig(**{**TINY, "env": "SCARA-v0", "steps": 40, "out": str(path), "start_from": str(run), **kwargs})


def check_start(run, of, rate=0.0):
    """A learning rate of nearly 0 leaves the weights where the training started."""
    ours, theirs = read_model_file(run.model), read_model_file(of.model)
    for name, weights in ours.weights.items():
        assert torch.allclose(weights, theirs.weights[name], atol=1e-6), name
    assert ours.normalization["count."] == pytest.approx(theirs.normalization["count."] + 44, abs=5)
    assert np.allclose(ours.normalization["mean."], theirs.normalization["mean."], atol=0.5)


@pytest.mark.parametrize("algo", ["ppo", "trpo"])
def test_weights_and_statistics_are_those_of_the_model(tmp_path, run, algo):
    hyper = {**HYPER, "learning_rate": 1e-12} if algo == "ppo" else {"n_steps": 10, "batch_size": 40, "target_kl": 1e-12,
                                                                       "learning_rate": 1e-12}  # fmt: skip
    tuned = train(tune(tmp_path / "tuned", run.path, algo=algo, hyperparameters=hyper))
    config = tuned.read_config()
    assert config.hyperparameters["policy_kwargs"]["net_arch"] == [6] and config.normalize
    assert config.start_from == str(run.model)
    check_start(tuned, run)


def test_another_task_of_the_same_spaces(tmp_path, run):
    hyper = {**HYPER, "learning_rate": 1e-12}
    tuned = train(tune(tmp_path / "tuned", run.path, env_kwargs={"goal": [0.2, 0.3, 0.375]}, hyperparameters=hyper))
    check_start(tuned, run)
    with pytest.raises(RunError, match="does not fit MARA-v0 with ppo"):
        train(tune(tmp_path / "other", run.path, env="MARA-v0", hyperparameters=hyper))
    with pytest.raises(InvalidArgumentError, match="needs the normalisation"):
        train(tune(tmp_path / "raw", run.path, normalize=False))
    with pytest.raises(RunError, match="does not exist"):
        train(tune(tmp_path / "none", tmp_path / "model.zip"))
    assert not (tmp_path / "none").exists() and not (tmp_path / "raw").exists()


def test_a_training_that_is_cut_off_at_once_still_starts_from_the_model(tmp_path, run, monkeypatch):
    hyper = {**HYPER, "learning_rate": 1e-3}
    source = tmp_path / "source.zip"
    source.write_bytes(run.model.read_bytes())
    whole = train(tune(tmp_path / "whole", source, hyperparameters=hyper))
    with monkeypatch.context() as patch:
        patch.setattr("gym_gazebo2.algos.training.callbacks.RunCallback._on_rollout_end", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(tune(tmp_path / "cut", source, hyperparameters=hyper, checkpoint_seconds=1e6))
    assert not list((tmp_path / "cut").glob("checkpoints/*"))
    source.unlink()
    cut = resume(tmp_path / "cut")
    for name, weights in read_model_file(whole.model).weights.items():
        assert torch.equal(weights, read_model_file(cut.model).weights[name]), name


def test_the_command_line_takes_task_and_algorithm_from_the_model(run, capsys):
    settings = Train.parse(["--from", str(run.path), "--backend", "fake", "--steps", "40"], "train").settings
    assert (settings.env, settings.control, settings.backend) == ("SCARA-v0", "position", "fake")
    assert settings.num_envs is None and settings.hyperparameters == {} and settings.max_episode_steps == 15
    assert main(["train", "--from", "nowhere.zip", "--env", "SCARA-v0"]) == 1
    assert "nowhere.zip does not exist. Name a finished run, or a model file.\n" in capsys.readouterr().err
    quiet = Train.parse(["--from", str(run.path), "--env.control", "delta", "--env.start_noise=0.0"], "train").settings
    assert (quiet.control, quiet.start_noise) == (None, None)
    assert quiet.env_kwargs == {"control": "delta", "start_noise": 0.0}
    other = Train.parse(["--from", str(run.path), "--env", "SCARARandomTarget-v0"], "train").settings
    assert (other.env, other.control, other.max_episode_steps) == ("SCARARandomTarget-v0", "position", None)


@pytest.mark.parametrize("has_npz", [True, False])
def test_a_file_of_stable_baselines3(tmp_path, has_npz):
    env = VecNormalize(make_vec_env("SCARA-v0", 4))
    kwargs = {"net_arch": {"pi": [6], "vf": [5]}, "activation_fn": torch.nn.ReLU}
    model = PPO("MlpPolicy", env, n_steps=10, batch_size=40, policy_kwargs=kwargs, device="cpu")
    model.learn(40)
    model.save(tmp_path / "sb3.zip")
    if has_npz:
        save_normalization(env, tmp_path / "sb3.npz")
    env.close()
    config = tune(tmp_path / "run", tmp_path / "sb3.zip", hyperparameters={**HYPER, "learning_rate": 1e-12})
    if not has_npz:
        with pytest.raises(RunError, match=r"VecNormalize, but .*sb3.npz .*does not exist. .*save_normalization\(env, "):
            train(config)
        return
    tuned = read_model_file(train(config).model)
    network = {"net_arch": {"pi": [6], "vf": [5]}, "activation_fn": "relu"}
    assert tuned.config.hyperparameters["policy_kwargs"].items() >= network.items()
    for name, weights in model.policy.state_dict().items():
        assert torch.allclose(tuned.weights[name], weights, atol=1e-6), name


SORT = {**TINY, "env": "PandaSort-v0", "backend": "fake", "hyperparameters": {**HYPER, "learning_rate": 1e-12}}


@pytest.mark.parametrize("normalize", [False, True])
def test_a_policy_for_one_object_acts_the_same_with_more_objects(tmp_path, normalize):
    one = train(TrainConfig(**SORT, steps=40, normalize=normalize, out=str(tmp_path / "one")))
    three = train(
        TrainConfig(**SORT, steps=40, out=str(tmp_path / "three"), start_from=str(one.path), env_kwargs={"num_objects": 3})
    )
    first, wide = (read_model_file(run.model).weights for run in (one, three))
    name = "mlp_extractor.policy_net.0.weight"
    assert wide[name].shape[1] == first[name].shape[1] + 2 * 24
    torch.testing.assert_close(wide[name][:, :38], first[name], atol=1e-6, rtol=0)
    assert wide[name][:, 38:].abs().max() < 1e-6
    again = train(tune(tmp_path / "again", one.path, **{**SORT, "env_kwargs": {"num_objects": 3, "slots": 1}}))
    assert read_model_file(again.model).weights[name].shape == first[name].shape


def test_off_policy_critics_keep_their_action_inputs(tmp_path):
    hyper = {
        "learning_starts": 10,
        "learning_rate": 1e-12,
        "policy_kwargs": {"net_arch": [5]},
        "buffer_size": 100,
        "batch_size": 4,
    }
    base = {**SORT, "algo": "sac", "hyperparameters": hyper, "preset": "default", "start_noise": 0.0}
    one = train(TrainConfig(**base, steps=40, out=str(tmp_path / "one")))
    two = train(
        TrainConfig(**base, steps=40, out=str(tmp_path / "two"), start_from=str(one.path), env_kwargs={"num_objects": 2})
    )
    old, new = (read_model_file(run.model).weights["critic.qf0.0.weight"] for run in (one, two))
    torch.testing.assert_close(new[:, [*range(38), *range(62, 66)]], old, atol=1e-6, rtol=0)
    assert new[:, 38:62].abs().max() < 1e-6


def test_another_observation_does_not_fit(tmp_path):
    one = train(TrainConfig(**SORT, steps=40, out=str(tmp_path / "one")))
    with pytest.raises(RunError, match="does not fit PandaSort-v0"):
        options = {"num_objects": 2, "observation": "source"}
        train(TrainConfig(**SORT, steps=40, out=str(tmp_path / "two"), start_from=str(one.path), env_kwargs=options))
