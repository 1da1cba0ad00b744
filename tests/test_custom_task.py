"""The task of docs/custom_task.md from training to comparison: its own measure, a memory, and episodes that end early."""

import json
import os
import re
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, resume, train
from gym_gazebo2.algos.evaluation.rollout import make_eval_env, run_episodes
from gym_gazebo2.algos.report import ReportConfig, compare, write_report
from gym_gazebo2.algos.runs.episodes import read_episodes
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.errors import UnknownNameError

from .conftest import ROOT
from .test_train import interrupt_after

ENV = "hold_of_the_docs:MARAHold-v0"


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory):
    """Write the module of the page where Python finds it, and register its id."""
    page = (ROOT / "docs" / "custom_task.md").read_text()
    [code] = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "class HoldTask" in block]
    folder = tmp_path_factory.mktemp("module")
    (folder / "hold_of_the_docs.py").write_text(code)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    yield
    sys.path.remove(str(folder))


def make_config(out, **kwargs):
    sizes = {"steps": 4_000, "num_envs": 4, "eval_every": 2_000, "eval_runs": 4}
    return TrainConfig(env=ENV, out=str(out), progress="quiet", hyperparameters={"batch_size": 100}, **{**sizes, **kwargs})


@pytest.fixture(scope="module")
def run(tmp_path_factory, module):
    return train(make_config(tmp_path_factory.mktemp("run") / "a"))


def drive_up(observation):
    """Return actions that move the tool to the height: the shoulder turns against the error of the height."""
    action = np.zeros((len(observation), 6))
    action[:, 1] = np.clip(4.0 * observation[:, 6], -1.0, 1.0)
    return action


def test_the_task_counts_ends_the_episode_and_forgets():
    env = gym.make(ENV, backend="fake")
    observation, info = env.reset(seed=0)
    assert observation[-1] == 0.0 and info["held"] == 0.0
    held = []
    for _ in range(100):
        observation, reward, terminated, truncated, info = env.step(drive_up(observation[None])[0])
        held.append(info["held"])
        assert not truncated and reward <= 0.0 and observation[-1] == pytest.approx(info["held"] / 20)
        if terminated:
            break
    assert terminated and info["is_success"] and held[-20:] == list(range(1, 21))
    assert env.reset()[0][-1] == 0.0


def test_the_batch_moves_ends_and_restarts_as_the_single_environment():
    batch = gym.make_vec(ENV, num_envs=3, backend="fake", start_noise=0.3)
    observations, _ = batch.reset(seed=5)
    singles = [gym.make(ENV, backend="fake", start_noise=0.3) for _ in range(3)]
    rows = [env.reset(seed=5 + i)[0] for i, env in enumerate(singles)]
    ends = np.zeros(3, dtype=int)
    for _ in range(150):
        observations, rewards, terminated, truncated, _ = batch.step(drive_up(observations))
        for i, env in enumerate(singles):
            rows[i], reward, end, cut, _ = env.step(drive_up(rows[i][None])[0])
            assert (reward, end, cut) == (pytest.approx(rewards[i], abs=1e-9), terminated[i], truncated[i])
            if end or cut:
                rows[i] = env.reset()[0]
                ends[i] += 1
        np.testing.assert_allclose(observations, rows, atol=1e-6)
    assert ends.min() >= 2


def test_the_state_holds_the_memory():
    batch = gym.make_vec(ENV, num_envs=2, backend="fake").unwrapped
    observation = batch.reset(seed=0)[0]
    while batch.core.require_state().memory["held"].min() < 3:
        observation = batch.step(drive_up(observation))[0]
    state = batch.core.get_state()
    after = batch.step(drive_up(observation))[0]
    other = gym.make_vec(ENV, num_envs=2, backend="fake").unwrapped
    other.reset(seed=1)
    other.core.set_state(state)
    np.testing.assert_array_equal(other.step(drive_up(observation))[0], after)
    assert (after[:, -1] >= 4 / 20 - 1e-6).all()


def test_an_evaluation_counts_the_first_episode_of_each_arm_and_nothing_after_its_end():
    env = make_eval_env(ENV, 3, backend="fake", start_noise=0.3)
    episodes = run_episodes(env, lambda: drive_up, 100, 7, 3)
    for i in range(3):
        single = gym.make(ENV, backend="fake", start_noise=0.3)
        observation, total, steps, ends = single.reset(seed=7 + i)[0], 0.0, 0, False
        while not ends:
            observation, reward, terminated, truncated, info = single.step(drive_up(observation[None])[0])
            total, steps, ends = total + reward, steps + 1, terminated or truncated
        assert terminated and episodes.length[i] == steps < 100 and episodes.is_success[i] == 1.0
        assert episodes.reward[i] == pytest.approx(total, abs=1e-4) and episodes.measures["held"][i] == info["held"] == 20
    assert episodes.offset is None and len(np.unique(episodes.length)) > 1


def test_the_run_reports_its_own_measure(run):
    result = evaluate(run.path, EvaluateConfig(runs=4))
    assert set(result.measures) == {"held"} and result.accuracy_rms_mm is None and result.errors_mm == []
    assert 0.0 <= result.success_rate <= 1.0 and result.success_interval[0] <= result.success_rate <= result.success_interval[1]
    episodes = read_episodes(run.path)
    assert set(episodes.measures) == {"held"} and np.array_equal(episodes.success == 1.0, episodes.measures["held"] >= 20)
    assert {"steps", "wall_s", "reward", "held", "success_rate"} == set(run.read_json("curve.json")["evaluations"][0])
    write_report(run.path, ReportConfig(video=False))
    page = (run.path / "report.html").read_text()
    assert "Time at the height at the end [s]" in page and "time at the height 1 s" in page and 'id="held-steps"' in page
    assert "tool error" not in page and "[mm]" not in page


def test_comparisons_are_of_the_measure(run, tmp_path):
    other = train(make_config(tmp_path / "b", seed=1))
    for one in (run, other):
        evaluate(one.path, EvaluateConfig(runs=4))
    from gym_gazebo2.algos.report import CompareConfig

    page = compare([run.path, other.path], CompareConfig(out=str(tmp_path / "both.html"))).read_text()
    assert "Time at the height, evaluations [s]" in page and 'id="held-steps-0"' in page and "[mm]" not in page


def test_a_training_cut_short_resumes_to_the_bit(tmp_path, monkeypatch):
    whole = train(make_config(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        interrupt_after(patch, 8)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(tmp_path / "cut", checkpoint_seconds=1e-9))
    cut = resume(tmp_path / "cut")
    weights = [read_model_file(one.model).build().policy.state_dict() for one in (whole, cut)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert np.array_equal(read_episodes(cut.path).measures["held"], read_episodes(whole.path).measures["held"])


def test_conditions_are_on_the_tasks_own_measures(tmp_path):
    stopped = train(make_config(tmp_path / "a", stop_when="held>=0"))
    summary = stopped.read_json("training.json")
    assert summary["train_steps"] < 4_000 and summary["stopped_by"].startswith("time at the height ")
    assert summary["stopped_by"].endswith(" met held>=0") and stopped.read_target()[1] == 0
    with pytest.raises(UnknownNameError, match="position_error.*Available: held, reward, success_rate"):
        make_config(tmp_path / "b", stop_error_mm=1.0)


def test_the_commands_work_with_the_module(run, tmp_path):
    def call(*words):
        command = [sys.executable, "-m", "gym_gazebo2.cli", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = call("evaluate", run.path, "--runs", 4, "--json", tmp_path / "result.json")
    assert "time at the height [s]" in shown and "success rate" in shown and "2019 paper" not in shown
    assert json.loads((tmp_path / "result.json").read_text())["measures"].keys() == {"held"}
    assert "time at the height" in call("play", run.path, "--record", tmp_path / "arm.gif", "--steps", 5)
