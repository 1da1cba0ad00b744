"""Every example runs as it stands."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from gym_gazebo2.algos import TrainConfig, train

from .conftest import ROOT

SHORT = ["--env", "SCARA-v0", "--steps", "1600", "--out", "arm.zip"]
ARGUMENTS = {
    "five_lines.py": [],
    "train_ppo.py": SHORT,
    "train_trpo.py": SHORT,
    "train_acktr.py": SHORT,
}
ELSEWHERE = {"run_policy.py", "deploy_to_robot.py"}
"""The first needs a run, below; the second also a robot: tests/test_robot.py."""
TRAINED = {name: name.removeprefix("train_").removesuffix(".py") for name in ARGUMENTS if name.startswith("train_")}


def call(name, words, folder):
    command = [sys.executable, str(ROOT / "examples" / name), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)


def run(name, words, folder):
    done = call(name, words, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == {*ARGUMENTS} | ELSEWHERE


@pytest.mark.parametrize("path", (ROOT / "examples").glob("*.py"), ids=lambda path: path.name)
def test_an_example_is_short(path):
    assert len(path.read_text().splitlines()) <= 80


@pytest.mark.parametrize("name", ARGUMENTS)
def test_example_runs(name, tmp_path):
    shown = run(name, ARGUMENTS[name], tmp_path)
    assert "mm" in shown or "ep_rew_mean" in shown
    if name in TRAINED:
        check_policy(["arm.zip", "--algo", TRAINED[name], "--env", "SCARA-v0"], tmp_path)


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("run_policy.py", ["nodir"], "'nodir' is not a run folder"),
        ("deploy_to_robot.py", ["nodir"], "'nodir' is not a run folder"),
        ("deploy_to_robot.py", ["nodir", "--steps", "0"], "steps is 0"),
    ],
)
def test_what_cannot_be_ends_in_a_sentence(name, words, said, tmp_path):
    done = call(name, words, tmp_path)
    assert done.returncode == 1 and done.stderr.startswith(said) and done.stderr.count("\n") == 1, done.stderr


def check_policy(words, folder):
    lines = run("run_policy.py", words, folder).splitlines()
    assert len(lines) == 100
    pattern = r"step +\d+  reward +-?\d+\.\d+  tool error +\d+\.\d+ mm  (there|holding)?"
    assert all(re.fullmatch(pattern, line) for line in lines)
    return lines


def test_a_trained_arm_comes_to_its_goal_and_holds_there(tmp_path):
    """From a run folder, statistics of normalisation included."""
    train(TrainConfig("SCARA-v0", "trpo", steps=40_000, out=str(tmp_path / "run"), progress=False))
    lines = check_policy(["run"], tmp_path)
    errors = [float(re.search(r"error +([\d.]+)", line)[1]) for line in lines]
    assert check_policy(["run/model.zip"], tmp_path) == lines
    first = next(i for i, line in enumerate(lines) if line.endswith("holding"))
    assert errors[0] > 50 and first < 60
    assert all(line.endswith("holding") for line in lines[first:]) and np.ptp(errors[first + 5 :]) < 0.1
