"""An environment id that a module of one's own registers, given as module:Id, in processes that know nothing else of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gym_gazebo2.algos import evaluate, resume
from gym_gazebo2.algos.config import TrainConfig
from gym_gazebo2.algos.env_id import check_env_id
from gym_gazebo2.algos.report import compare
from gym_gazebo2.errors import UnknownEnvError, UnknownNameError

MODULE = """
from gym_gazebo2 import EnvRow, register_env
from gym_gazebo2.algos import Preset, register_preset

register_env("Mine-v0", EnvRow(robot="scara", task="scara_reach"))
register_preset("Mine-v0", "ppo", Preset(steps=150_000, hyperparameters={"gamma": 0.95}, num_envs=32, normalize=True))
"""
TRAIN = ["train", "--env", "my_arm:Mine-v0", "--steps", "64", "--num-envs", "2", "--eval-runs", "2", "--progress", "quiet"]
HYPER = ["--hyper", "n_steps=8", "--hyper", "batch_size=16"]
COMMANDS = """
import sys
from gym_gazebo2.cli import main

run = sys.argv[1]
for words in (
    ["evaluate", run, "--runs", "2"],
    ["report", run, "--no-video"],
    ["compare", run],
    ["resume", run],
    ["play", run, "--record", "arm.gif", "--steps", "2"],
    ["play", "my_arm:Mine-v0", "--record", "random.gif", "--steps", "2"],
    ["export", run, "--format", "torchscript"],
):
    assert main(words) == 0, words
"""
WORKERS = """
import contextlib
from gym_gazebo2.algos.sweep.runner import SweepConfig, list_points
from gym_gazebo2.algos.vec_env import make_vec_env

with contextlib.closing(make_vec_env("my_arm:Mine-v0", 2, vec="subproc", seed=0, backend="fake")) as env:
    assert env.reset().shape[0] == 2
print(next(list_points(SweepConfig(env=("my_arm:Mine-v0",)))).folder)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "my_arm.py").write_text(MODULE)
    return folder


@pytest.fixture(scope="module")
def python(folder: Path) -> Callable[..., str]:
    """What runs Python's arguments in that folder, and returns what it says."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])

    def run(*words: str) -> str:
        command = [sys.executable, *words]
        env = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def run(folder: Path, python: Callable[..., str]) -> Path:
    """A run of the id, in the folder that it has by default."""
    python("-m", "gym_gazebo2.cli", *TRAIN, *HYPER)
    [run] = (folder / "runs/Mine-v0/ppo").iterdir()
    return run


def test_every_command_knows_it(run: Path, folder: Path, python: Callable[..., str]) -> None:
    python("-c", COMMANDS, str(run))
    assert {path.name for path in folder.iterdir()} >= {"comparison.html", "arm.gif", "random.gif"}


def test_workers_know_it_and_folders_have_no_colon(python: Callable[..., str]) -> None:
    assert python("-c", WORKERS).strip() == "runs/sweep/Mine-v0/ppo/preset/seed0"


def test_where_its_module_is_missing_it_says_so(run: Path) -> None:
    for read in (evaluate, resume, lambda path: compare([path])):
        with pytest.raises(UnknownEnvError, match="^There is no environment id 'my_arm:Mine-v0'.*Its module 'my_arm' cannot"):
            read(run)


@pytest.mark.parametrize("env_id", ["json:Mine-v0", "Mine-v0", ":Mine-v0", "no_such:Mine-v0", "..:Mine-v0", None, 3])
def test_what_is_no_id(env_id: str) -> None:
    with pytest.raises(UnknownNameError, match="no environment id .*Available: .*SCARA-v0"):
        check_env_id(env_id)


def test_a_known_id_may_name_its_module() -> None:
    assert TrainConfig(env="gym_gazebo2:SCARA-v0").env == "gym_gazebo2:SCARA-v0"
