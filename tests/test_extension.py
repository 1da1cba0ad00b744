"""A finished run is trained further, to the bits of an uninterrupted one."""

import json

import pytest
import torch

from gym_gazebo2.algos import RunFolder, TrainConfig, evaluate, read_model_file, resume, train
from gym_gazebo2.algos.evaluate import EvaluateConfig
from gym_gazebo2.cli import main
from gym_gazebo2.errors import InvalidArgumentError, RunError

ON_POLICY = {"n_steps": 10, "batch_size": 40, "n_epochs": 2, "learning_rate": 1e-3, "policy_kwargs": {"net_arch": [8]}}
OFF_POLICY = {"learning_starts": 80, "batch_size": 16, "learning_rate": 1e-3, "policy_kwargs": {"net_arch": [8]},
              "buffer_size": 1_000, "gradient_steps": 1}  # fmt: skip
TINY = {"env": "SCARA-v0", "num_envs": 4, "max_episode_steps": 15, "eval_every": 160, "eval_runs": 2}
CASES = {
    "normalized": {"hyperparameters": ON_POLICY, "normalize": True, "start_noise": 0.1},
    "rewards": {"hyperparameters": ON_POLICY, "normalize": False, "normalize_reward": True, "start_noise": 0.1},
    "ragged": {
        "hyperparameters": {**ON_POLICY, "n_steps": 12, "batch_size": 48}
    },  # 160 steps are not a whole number of rollouts
    "sac": {"algo": "sac", "hyperparameters": OFF_POLICY},
    "acktr": {"algo": "acktr", "preset": "default", "hyperparameters": {"n_steps": 10, "learning_rate": 0.1}},
}


def make(path, steps, **kwargs):
    return TrainConfig(**{**TINY, "progress": "quiet", **kwargs}, steps=steps, out=str(path))


def check_equal(a, b):
    ours, theirs = read_model_file(a), read_model_file(b)
    assert ours.weights.keys() == theirs.weights.keys()
    for name, weights in ours.weights.items():
        assert torch.equal(weights, theirs.weights[name]), name
    for name, array in ours.normalization.items():
        assert (array == theirs.normalization[name]).all(), name


@pytest.mark.parametrize("case", CASES)
def test_a_finished_run_goes_on_to_the_bits_of_an_uninterrupted_one(tmp_path, case):
    whole = train(make(tmp_path / "whole", 320, **CASES[case]))
    run = train(make(tmp_path / "run", 160, **CASES[case], checkpoint_seconds=1e6))
    steps = run.read_json("training.json")["train_steps"]
    assert [int(path.stem) for path in run.checkpoints.glob("*.zip")] == [steps]
    first = run.model.read_bytes()
    evaluate(run.path, EvaluateConfig(runs=2))
    assert resume(run.path, steps=320) == run
    check_equal(run.model, whole.model)
    assert run.read_json("training.json")["train_steps"] == whole.read_json("training.json")["train_steps"]
    # The earlier model is kept, and no evaluation of it stands for the new one.
    assert (run.path / f"model_{steps}.zip").read_bytes() == first
    assert (run.path / f"evaluation_{steps}.json").is_file() and not (run.path / "evaluation.json").exists()
    rows = run.read_progress()
    assert [row["time/total_timesteps"] for row in rows] == [r["time/total_timesteps"] for r in whole.read_progress()]
    assert run.read_config().steps == 320
    # The same command again, and a plain one, change nothing.
    written = run.model.read_bytes()
    assert resume(run.path, steps=320) == resume(run.path) == run and run.model.read_bytes() == written


def test_a_run_that_is_cut_off_while_it_goes_on_is_resumed_without_the_option(tmp_path, monkeypatch):
    case = CASES["normalized"]
    whole = train(make(tmp_path / "whole", 320, **case))
    run = train(make(tmp_path / "run", 160, **case))
    with monkeypatch.context() as patch:
        patch.setattr("gym_gazebo2.algos.training.callbacks.RunCallback._on_rollout_end", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            resume(run.path, steps=320)
    assert not run.model.exists()
    check_equal(resume(run.path).model, whole.model)


def test_the_learning_rate_that_continues_is_printed(tmp_path, capsys):
    kwargs = {"hyperparameters": {**ON_POLICY, "learning_rate": "lin_1e-3", "clip_range": "lin_0.2"}, "progress": "plain"}
    run = train(make(tmp_path / "run", 160, **kwargs))
    capsys.readouterr()
    assert main(["resume", str(run.path), "--steps", "640"]) == 0
    shown = capsys.readouterr().err
    assert "learning_rate continues at 0.00075, clip_range continues at 0.15: the value for step 160 of 640." in shown
    assert "differs from an uninterrupted training" in shown
    kwargs["hyperparameters"] = ON_POLICY
    run = train(make(tmp_path / "constant", 160, **kwargs))
    capsys.readouterr()
    assert main(["resume", str(run.path), "--steps", "320"]) == 0
    assert "continues at" not in capsys.readouterr().err


def test_a_run_that_a_stopping_rule_ended_goes_on_without_it(tmp_path, capsys):
    kwargs = {"hyperparameters": ON_POLICY, "stop_when": "position_error<=10", "progress": "plain"}
    run = train(make(tmp_path / "run", 320, **kwargs))
    assert run.read_json("training.json")["stopped_by"] and run.read_json("training.json")["train_steps"] < 160
    target = run.read_target()
    resume(run.path, steps=320)
    assert "It continues without stopping rules." in capsys.readouterr().err
    training = run.read_json("training.json")
    assert training["stopped_by"] is None and training["train_steps"] >= 320 and run.read_target() == target


def test_fewer_steps_than_done_and_a_run_without_checkpoints_are_refused(tmp_path):
    run = train(make(tmp_path / "run", 160, hyperparameters=ON_POLICY))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(InvalidArgumentError, match="has trained 160 steps already. Give --steps the new total"):
        resume(run.path, steps=120)
    with pytest.raises(InvalidArgumentError, match="steps is 0"):
        resume(run.path, steps=0)
    for path in run.checkpoints.glob("*.zip"):
        before.pop(path)
        path.unlink()
    with pytest.raises(RunError, match="no checkpoint to continue from. .* train --from "):
        resume(run.path, steps=320)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    assert json.loads((run.path / "config.json").read_text())["arguments"]["steps"] == 160
    assert RunFolder.open(run.path).model.is_file()
