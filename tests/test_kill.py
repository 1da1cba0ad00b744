"""A training that is killed at any moment goes on, to the same weights; one that a person stops saves first."""

import contextlib
import errno
import fcntl
import json
import os
import random
import select
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from gym_gazebo2.algos import RunFolder, TrainConfig, resume, train
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.runs.checkpoint import load_checkpoint
from gym_gazebo2.algos.runs.episodes import read_episodes
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.runs.writing import is_leftover
from gym_gazebo2.algos.settings.provenance import collect_provenance
from gym_gazebo2.algos.table import make_model
from gym_gazebo2.algos.training.callbacks import RunCallback
from gym_gazebo2.algos.training.state import TrainingState
from gym_gazebo2.algos.vec_env import make_vec_env, normalize
from gym_gazebo2.errors import RunError
from gym_gazebo2.signals import ENDING, get_status

from .conftest import ROOT
from .processes import run_process

KILLS = 20
TINY = {"env": "SCARA-v0", "num_envs": 4, "max_episode_steps": 10, "steps": 2_000, "eval_every": 40, "eval_runs": 2,
        "hyperparameters": {"n_steps": 10, "batch_size": 40, "n_epochs": 1, "policy_kwargs": {"net_arch": [4]}},
        "checkpoint_seconds": 1e-9, "progress": "quiet"}  # fmt: skip


@pytest.fixture(autouse=True)
def hangup():
    """Let SIGHUP act within a test, also where the tests themselves run under nohup and ignore it."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Trainer:
    """Processes that train, one at a time."""

    def __init__(self, process):
        self._process = process

    def start(self, out):
        self._say(str(out))
        return int(self._hear())

    def wait(self):
        self._say("")
        return int(self._hear())

    def _say(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self):
        assert select.select([self._process.stdout], [], [], 120)[0]
        return self._process.stdout.readline()


@pytest.fixture
def trainer(tmp_path):
    command = [sys.executable, "-m", "tests.forked_training", json.dumps(TINY)]
    with (tmp_path / "stderr").open("wb") as errors:
        options = {"cwd": ROOT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "text": True}
        with run_process(command, **options) as process:
            yield Trainer(process)
            process.stdin.close()
            assert process.wait(120) == 0


def wait_end(process, timeout):
    """Return when a process ends, or after so long [s]."""
    descriptor = os.pidfd_open(process)
    select.select([descriptor], [], [], timeout)
    os.close(descriptor)


def check_files(run):
    """Every file of a run can be read, or is not there."""
    if not (run.path / "config.json").exists():
        assert not [path for path in run.path.glob("*") if not is_leftover(path)]
        return 0
    config = run.read_config()
    steps = [row["time/total_timesteps"] for row in run.read_progress()]
    assert steps == sorted(set(steps))
    ended = read_episodes(run.path).steps
    assert np.all(np.diff(ended) >= 0)
    for name in ("curve.json", "training.json"):
        if (run.path / name).exists():
            run.read_json(name)
    for name in ("best_model", "model"):
        if run.get_model(name).exists():
            read_model_file(run.get_model(name)).build()
    with contextlib.closing(normalize(make_vec_env(config.env, config.num_envs, **config.make_kwargs))) as env:
        model = make_model(config.algo, env, config.hyperparameters, config.seed)
        model.set_logger(Logger(None, []))
        saved = [load_checkpoint(path, model, TrainingState) and int(path.stem) for path in run.checkpoints.glob("[!.]*.zip")]
    return max(saved, default=0)


def test_killed_at_any_moment_a_training_goes_on(trainer, tmp_path):
    """SIGKILL to the whole process group at random moments: in the start, in iterations, in every kind of write."""
    whole = train(TrainConfig(**TINY, out=str(tmp_path / "whole")))
    rng, kills, saved, run = random.Random(0), 0, 0, RunFolder(tmp_path / "0")
    while kills < KILLS:
        process = trainer.start(run.path)
        wait_end(process, rng.uniform(0.0, 0.5))
        os.killpg(process, signal.SIGKILL)
        if trainer.wait() != signal.SIGKILL:  # it was done before
            check_whole(run, whole)
            saved, run = 0, RunFolder(tmp_path / str(kills))
            continue
        kills += 1
        before, saved = saved, check_files(run)
        assert saved >= before
    trainer.start(run.path)
    assert trainer.wait() == 0
    check_whole(run, whole)


def check_whole(run, whole):
    """A run that was cut equals one that was not, in weights and curves, and nothing is left over."""
    weights = read_model_file(run.model).weights
    for name, expected in read_model_file(whole.model).weights.items():
        assert torch.equal(weights[name], expected), name
    assert [row["time/total_timesteps"] for row in run.read_progress()] == [40 * k for k in range(1, 51)]
    assert read_episodes(run.path).reward.tolist() == read_episodes(whole.path).reward.tolist()
    assert not list(run.path.glob("**/.*"))


def test_killed_in_its_first_write_a_training_begins_anew(tmp_path):
    left = tmp_path / ".config.json.0a1b2c3d"
    left.write_bytes(b"half")
    run = train(TrainConfig(**{**TINY, "steps": 80}, out=str(tmp_path)))
    assert run.model.is_file() and not left.exists()


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    run = RunFolder.create(resolve(TrainConfig(**TINY, out=str(tmp_path / "run"))))
    with run.hold(), pytest.raises(RunError, match=r"Another process trains in .*run. Wait until it ends"):
        resume(run.path)
    assert not (run.path / "progress.csv").exists()


@pytest.mark.parametrize("moment", ["gym_gazebo2.algos.runs.folder.collect_provenance", "os.fsync", "os.link"])
def test_of_two_that_begin_in_one_folder_at_once_one_is_refused(tmp_path, monkeypatch, moment):
    """Another training begins, and removes leftovers, between any two steps of the first one's beginning."""
    with monkeypatch.context() as patch, contextlib.ExitStack() as stack:

        def begin_another(*args):
            patch.undo()
            other = RunFolder.create(resolve(TrainConfig(**{**TINY, "seed": 7}, out=str(tmp_path / "run"))))
            stack.enter_context(other.hold())
            return collect_provenance() if moment.endswith("provenance") else getattr(os, moment.partition(".")[2])(*args)

        patch.setattr(moment, begin_another)
        with pytest.raises(RunError, match=r"run exists already .*: continue it with: gym-gazebo2 resume .*run, or choose"):
            train(TrainConfig(**TINY, out=str(tmp_path / "run")))
    assert RunFolder.open(tmp_path / "run").read_config().seed == 7
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


@pytest.mark.parametrize("is_made_anew", [True, False])
def test_a_folder_that_is_made_anew_before_its_lock_is_taken_is_not_held(tmp_path, monkeypatch, is_made_anew):
    config = resolve(TrainConfig(**TINY, out=str(tmp_path / "run")))
    run, lock = RunFolder.create(config), fcntl.flock

    def lock_too_late(*args):
        (run.path / "config.json").rename(tmp_path / "old.json")
        if is_made_anew:
            RunFolder.create(config)
        lock(*args)

    monkeypatch.setattr(fcntl, "flock", lock_too_late)
    with pytest.raises(RunError, match="removed or replaced by another process"), run.hold():
        pytest.fail("it is held")


def test_where_there_are_no_links_a_training_begins_all_the_same(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    run = RunFolder.create(resolve(TrainConfig(**TINY, out=str(tmp_path / "run"))))
    assert [path.name for path in run.path.iterdir()] == ["config.json"]


def raise_signal_at(monkeypatch, signum, steps):
    original = RunCallback._on_step

    def step(self):
        if self.num_timesteps == steps:
            signal.raise_signal(signum)
        return original(self)

    monkeypatch.setattr(RunCallback, "_on_step", step)


@pytest.mark.parametrize("signum", ENDING)
@pytest.mark.parametrize("algo", ["ppo", "sac"])
@pytest.mark.parametrize("steps", [100, 200])
def test_a_signal_finishes_the_iteration_and_saves(tmp_path, monkeypatch, capfd, algo, steps, signum):
    """Between two evaluations, and at the end; what was done is not done again."""
    handlers = [signal.getsignal(number) for number in ENDING]
    own = {"learning_starts": 40, "train_freq": 4} if algo == "sac" else TINY["hyperparameters"]
    given = {**TINY, "algo": algo, "hyperparameters": own, "steps": 200, "checkpoint_seconds": 1e9}
    whole = train(TrainConfig(**given, out=str(tmp_path / "whole")))
    with monkeypatch.context() as patch:
        raise_signal_at(patch, signum, steps)
        with pytest.raises(KeyboardInterrupt) as ended:
            train(TrainConfig(**given, out=str(tmp_path / "run")))
    assert get_status(ended.value) == 128 + signum
    assert f"Press Ctrl-C to end at once. Resume with: gym-gazebo2 resume {tmp_path / 'run'}" in capfd.readouterr().err
    saved = [int(path.stem) for path in (tmp_path / "run" / "checkpoints").glob("*.zip")]
    # A finished training keeps a checkpoint of its last step, from which it can be extended.
    ends = {"ppo": (120, 200), "sac": (112, 208)}[algo]
    assert saved == [ends[steps == 200]]
    run = resume(tmp_path / "run")
    assert [signal.getsignal(number) for number in ENDING] == handlers
    weights = read_model_file(run.model).weights
    assert all(torch.equal(weights[name], expected) for name, expected in read_model_file(whole.model).weights.items())
