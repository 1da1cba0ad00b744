"""A curriculum trains stages in a row, and continues where it was interrupted."""

import json
import os
import signal

import pytest
import torch

from gym_gazebo2.algos import TrainConfig, read_model_file
from gym_gazebo2.algos.curriculum import read_stages, resume_curriculum, train_curriculum
from gym_gazebo2.cli import main
from gym_gazebo2.errors import InvalidArgumentError, RunError, UnknownNameError

BASE = {"env": "PandaSort-v0", "backend": "fake", "steps": 80, "num_envs": 4, "eval_runs": 2, "max_episode_steps": 10,
        "progress": "quiet", "hyperparameters": {"n_steps": 10, "batch_size": 40, "n_epochs": 1}}  # fmt: skip
STAGES = """
stages:
  - {env_kwargs: {blocker: 0.03}}
  - {steps: 40, env_kwargs: {num_objects: 2}}
  - {env_kwargs: {num_objects: 3, blocker: 0.05}, hyperparameters: {learning_rate: 1.0e-4}}
"""


@pytest.fixture
def stages(tmp_path):
    file = tmp_path / "stages.yaml"
    file.write_text(STAGES)
    return file


def test_stages_start_from_one_another(tmp_path, stages):
    config = TrainConfig(**BASE, out=str(tmp_path / "out"))
    runs = train_curriculum(config, read_stages(stages))
    configs = [run.read_config() for run in runs]
    assert [one.env_kwargs for one in configs] == [
        {"blocker": 0.03}, {"blocker": 0.03, "num_objects": 2}, {"blocker": 0.05, "num_objects": 3}
    ]  # fmt: skip
    assert [one.steps for one in configs] == [80, 40, 40]
    assert configs[2].hyperparameters["learning_rate"] == 1e-4
    assert configs[2].hyperparameters["n_steps"] == 10
    assert [one.start_from for one in configs] == [None, *(str(run.model) for run in runs[:2])]
    before = [run.model.stat().st_mtime_ns for run in runs]
    again = train_curriculum(config, read_stages(stages))
    assert [run.model.stat().st_mtime_ns for run in again] == before


def test_an_interrupted_curriculum_goes_on_with_the_same_bits(tmp_path, stages, monkeypatch):
    whole = train_curriculum(TrainConfig(**BASE, out=str(tmp_path / "whole")), read_stages(stages))
    from gym_gazebo2.algos.training.callbacks import RunCallback

    end, count = RunCallback._on_rollout_end, []

    def interrupt(self):
        count.append(1)
        if len(count) == 3:  # in the second stage
            os.kill(os.getpid(), signal.SIGINT)
        end(self)

    with monkeypatch.context() as patch:
        patch.setattr(RunCallback, "_on_rollout_end", interrupt)
        with pytest.raises(KeyboardInterrupt, match=f"gym-gazebo2 resume {tmp_path / 'cut'}$"):
            train_curriculum(TrainConfig(**BASE, out=str(tmp_path / "cut")), read_stages(stages))
    assert not (tmp_path / "cut" / "stage3").exists()
    cut = resume_curriculum(tmp_path / "cut")
    for name, weights in read_model_file(whole[-1].model).weights.items():
        assert torch.equal(weights, read_model_file(cut[-1].model).weights[name]), name


def test_the_command_trains_and_resumes(tmp_path, stages, capsys):
    words = ["--env", "PandaSort-v0", "--backend", "fake", "--steps", "40", "--num-envs", "4", "--eval-runs", "2",
             "--max-episode-steps", "10", "--hyper.n_steps", "10", "--hyper.batch_size", "40",
             "--progress", "quiet"]  # fmt: skip
    assert main(["train", *words, "--curriculum", str(stages), "--out", str(tmp_path / "out")]) == 0
    assert main(["resume", str(tmp_path / "out")]) == 0
    assert "stage3" in capsys.readouterr().out
    assert main(["train", *words, "--curriculum", str(stages), "--out", str(tmp_path / "out"), "--seed", "1"]) != 0
    assert "holds another curriculum" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("stages: []", RunError, "has no list of stages"),
        ("- 1", RunError, "expected a mapping"),
        ("stages: [{seed: 1}]", UnknownNameError, "field of a stage.*'seed'"),
        ("stages: [{step: 1}]", UnknownNameError, "Did you mean 'steps'"),
    ],
)
def test_files_that_are_no_curriculum(tmp_path, text, error, message):
    file = tmp_path / "stages.yaml"
    file.write_text(text)
    with pytest.raises(error, match=message):
        read_stages(file)


def test_nothing_is_written_for_an_invalid_curriculum(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InvalidArgumentError, match="steps"):
        train_curriculum(TrainConfig(**BASE, out=str(out)), [{}, {"steps": -1}])
    assert not out.exists()
    with pytest.raises(InvalidArgumentError, match="--out"):
        train_curriculum(TrainConfig(**BASE), [{}])
    out.mkdir()
    (out / "notes.txt").write_text(json.dumps({}))
    with pytest.raises(RunError, match="not empty"):
        train_curriculum(TrainConfig(**BASE, out=str(out)), [{}])
