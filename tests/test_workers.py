"""``train --workers`` and ``resume --workers``: the same run, whoever steps the arms."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing

import gymnasium
import numpy as np
import pytest

from gym_gazebo2.algos import RunFolder, TrainConfig, resume, train
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.distributed.history import read_sessions
from gym_gazebo2.algos.distributed.places import WorkerStatus, describe_workers
from gym_gazebo2.algos.distributed.session import RaySession
from gym_gazebo2.algos.distributed.training import change_workers
from gym_gazebo2.algos.report import write_report
from gym_gazebo2.algos.report.workers import make_workers
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.worker_plan import choose_shards, list_shards
from gym_gazebo2.errors import InvalidArgumentError, NonFiniteError, RunError, UnknownEnvError, WorkerError

from .conftest import ROOT
from .processes import read_until, run_process

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:ray.*", "ignore::DeprecationWarning")
TINY = {"env": "SCARA-v0", "num_envs": 16, "max_episode_steps": 10, "steps": 6_400, "eval_every": 1_600, "eval_runs": 2,
        "hyperparameters": {"n_steps": 10, "batch_size": 80, "n_epochs": 1, "policy_kwargs": {"net_arch": [8]}},
        "checkpoint_seconds": 1e-9, "progress": "quiet", "worker_cpus": 0.5}  # fmt: skip


@pytest.fixture(scope="module")
def session():
    with closing(RaySession(num_cpus=4)) as session:
        yield session


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The run with one worker and four shards, made in one process: without Ray, and never interrupted."""
    out = tmp_path_factory.mktemp("runs") / "expected"
    with closing(RaySession(num_cpus=4)):
        return train(TrainConfig(**TINY, workers=1, shards=4, out=str(out)))


def assert_same_run(run, other):
    for name in ("model", "best_model"):
        first, second = (read_model_file(each.get_model(name)) for each in (run, other))
        for key, value in first.weights.items():
            np.testing.assert_array_equal(value, second.weights[key], key)
        for key, value in first.normalization.items():
            np.testing.assert_array_equal(value, second.normalization[key], key)
    rows, others = ([{k: v for k, v in row.items() if "time" not in k} for row in one.read_progress()] for one in (run, other))
    assert len(rows) == len(others)
    for row, same in zip(rows, others, strict=True):
        assert row == pytest.approx(same, rel=1e-6)  # a row after a resumption is written with other digits


def test_any_number_of_workers_gives_the_same_run(session, expected, tmp_path):
    run = train(TrainConfig(**TINY, workers=3, out=str(tmp_path / "run")))
    assert run.read_config().shards == 4  # with normalisation, a default that does not depend on the workers
    assert_same_run(expected, run)
    (record,) = read_sessions(run)
    assert sum(worker["steps"] for worker in record["workers"]) == TINY["steps"]
    assert len({worker["pid"] for worker in record["workers"]}) == 3


def test_without_normalisation_it_is_the_run_without_workers(session, tmp_path):
    tiny = {**TINY, "normalize": False}
    plain = train(TrainConfig(**tiny, out=str(tmp_path / "plain")))
    run = train(TrainConfig(**tiny, workers=2, out=str(tmp_path / "run")))
    assert run.read_config().shards == 2
    assert_same_run(plain, run)
    assert read_sessions(plain) == []


@pytest.mark.parametrize(("env", "learning_rate"), [("SCARA-v0", 1e12), ("CartPole-v1", 3e37)])  # continuous, discrete actions
def test_a_policy_that_diverges_on_workers_is_named(session, tmp_path, env, learning_rate):
    hyperparameters = {**TINY["hyperparameters"], "learning_rate": learning_rate}
    config = TrainConfig(**{**TINY, "env": env, "hyperparameters": hyperparameters}, workers=2, out=str(tmp_path / "run"))
    with pytest.raises(NonFiniteError, match=r"finite (parameters|actions).*update step was too large.*checkpoint"):
        train(config)


@pytest.mark.parametrize("rule", ["reward>=-1e9", "position_error<=1e9"])  # met after a rollout; by the first evaluation
@pytest.mark.parametrize("algo", ["ppo", "recurrent_ppo"])
def test_a_stopping_rule_leaves_the_statistics_of_plain_training(session, tmp_path, algo, rule):
    tiny = {**TINY, "algo": algo, "normalize": True, "stop_when": rule}
    plain = train(TrainConfig(**tiny, out=str(tmp_path / "plain")))
    run = train(TrainConfig(**tiny, workers=1, shards=1, out=str(tmp_path / "run")))
    assert_same_run(plain, run)
    ended = plain.read_json("training.json")
    assert ended["stopped_by"] and ended["train_steps"] % 160 == 16  # one step of each arm after the last whole rollout
    assert run.read_json("training.json")["train_steps"] == ended["train_steps"]
    (record,) = read_sessions(run)
    assert [worker["steps"] for worker in record["workers"]] == [ended["train_steps"]]


def start(*words):
    command = [sys.executable, "-m", "gym_gazebo2.cli", *map(str, words)]
    return run_process(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_checkpoint(out, process, timeout=120.0):
    """Wait until a process has written a checkpoint."""
    before, deadline = max((out / "checkpoints").glob("[!.]*.zip"), default=out), time.monotonic() + timeout
    while max((out / "checkpoints").glob("[!.]*.zip"), default=out) == before:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_whatever_ends_it_other_workers_go_on_to_the_same_run(session, expected, tmp_path):
    out, file = tmp_path / "run", tmp_path / "tiny.json"
    file.write_text(json.dumps({**TINY, "shards": 4}))
    with start("train", "--config", file, "--out", out, "--workers", 2) as process:
        wait_for_checkpoint(out, process)
        for signum in (signal.SIGINT, signal.SIGTERM):  # to every process of the job, as terminals and batch systems do
            os.killpg(process.pid, signum)
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, 143), errors
    assert "finishing this iteration" in errors
    assert f"gym-gazebo2 resume {out}" in errors
    assert "Traceback" not in errors
    with start("resume", out, "--workers", 1, "--worker-cpus", 0.4) as process:
        wait_for_checkpoint(out, process)
        process.kill()  # the learner alone: nobody tells its worker
        process.communicate(timeout=60)
    assert not (out / "model.zip").exists()
    assert_same_run(expected, resume(out, workers=3))
    assert len(read_sessions(RunFolder(out))) >= 1


def test_a_run_without_workers_is_resumed_with_some(session, tmp_path):
    tiny, out, file = {**TINY, "normalize": False}, tmp_path / "run", tmp_path / "tiny.json"
    plain = train(TrainConfig(**tiny, out=str(tmp_path / "plain")))
    file.write_text(json.dumps(tiny))
    with start("train", "--config", file, "--out", out) as process:
        wait_for_checkpoint(out, process)
        process.kill()
        process.communicate(timeout=60)
    assert not (out / "model.zip").exists()
    assert_same_run(plain, resume(out, workers=2))


def test_more_workers_than_the_result_allows_are_refused():
    config = resolve(TrainConfig(**TINY, workers=2, shards=2))
    assert change_workers(config, 1, "10.0.0.1:6379").address == "10.0.0.1:6379"
    assert change_workers(change_workers(config, None, "h:1"), None, "local").address is None
    assert change_workers(config, None, None, worker_cpus=0.25).worker_cpus == 0.25
    with pytest.raises(InvalidArgumentError, match="worker_cpus is -1.0"):
        change_workers(config, None, None, worker_cpus=-1.0)
    with pytest.raises(InvalidArgumentError, match=r"Cannot resume with 3 workers: this run has 2 shards.*Use --workers 2"):
        change_workers(config, 3, None)
    free = resolve(TrainConfig(**{**TINY, "normalize": False}, workers=2))
    assert change_workers(free, 4, None).shards == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"workers": 0}, "workers is 0, expected a whole number of at least 1"),
        ({"workers": 5}, "16 environments in 4 shards cannot keep 5 workers busy. Use --workers 4, or --num-envs 20"),
        ({"workers": 1, "shards": 3}, "Cannot split 16 environments into 3 shards. Use one of: 1, 2, 4"),
        ({"workers": 4, "shards": 2}, "Use --workers 2, or more --shards"),
        ({"shards": 2}, "needs workers"),
        ({"address": "10.0.0.1:6379"}, "needs workers"),
        ({"missing_workers": "wait"}, "needs workers"),
        ({"workers": 2, "worker_cpus": -1.0}, "worker_cpus is -1.0"),
        ({"workers": 2, "algo": "sac", "hyperparameters": {}}, "Cannot train sac with workers.* choose one of: ppo, ppo_kl"),
        ({"workers": 2, "vec": "subproc"}, "each worker is a process already"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(values, message):
    with pytest.raises(InvalidArgumentError, match=message):
        resolve(TrainConfig(**{**TINY, **values}))


def test_an_id_that_a_worker_does_not_know_ends_a_training_with_that_error(session, tmp_path):
    gymnasium.register("PendulumHere-v0", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=10)
    config = TrainConfig(**{**TINY, "env": "PendulumHere-v0", "preset": "default"}, workers=1, out=str(tmp_path / "run"))
    with pytest.raises(UnknownEnvError, match="There is no environment id 'PendulumHere-v0'"):
        train(config)


def test_more_workers_than_processors_are_refused_before_ray_starts(tmp_path):
    many = {**TINY, "num_envs": 4096, "worker_cpus": 1.0}
    with pytest.raises(InvalidArgumentError, match="1024 workers with 1 CPU each do not fit: this machine has"):
        train(TrainConfig(**many, workers=1024, out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_an_address_without_a_cluster_is_refused(tmp_path):
    with pytest.raises(WorkerError, match="No Ray cluster answers at 127.0.0.1:9"):
        train(TrainConfig(**TINY, workers=2, address="127.0.0.1:9", out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_arms_are_split_by_fours_and_gazebos_one_by_one():
    assert list_shards(64, None) == [1, 2, 4, 8, 16]
    assert list_shards(6, None) == [1]
    assert list_shards(6, 1) == [6]
    assert choose_shards(64, None, 3, None, is_normalized=False) == 4
    assert choose_shards(64, None, 1, None, is_normalized=False) == 1
    assert [choose_shards(64, None, n, None, is_normalized=True) for n in (1, 2, 4, 8)] == [4, 4, 4, 8]
    assert choose_shards(2, 1, 2, None, is_normalized=True) == 2


def test_every_worker_has_a_gazebo_of_its_own():
    config = resolve(TrainConfig(env="SCARA-v0", backend="gazebo", workers=3))
    assert (config.num_envs, config.shards) == (3, 3)


def test_a_line_describes_the_workers():
    working = [WorkerStatus(i, state="idle") for i in range(3)]
    for number, worker in enumerate(working):
        worker.add_work(100 * (number + 1), 0.1)
    assert describe_workers([]) == ()
    assert describe_workers(working[:1]) == ("1 worker at 1,000 steps/s",)
    assert describe_workers(working) == ("3 workers at 1,000 to 3,000 steps/s",)
    for _ in range(20):  # a worker that becomes slow, after a long time at the same speed as the others
        working[2].add_work(30, 0.1)
    working[2].host = "far"
    assert describe_workers(working)[1:] == ("worker 2 on far is slow: 302 steps/s",)
    late = dataclasses.replace(working[0], state="busy")
    assert describe_workers([late, working[1]])[1:] == ("worker 0 is late",)
    again = [dataclasses.replace(working[1], index=i, restarts=1, last_loss="it died") for i in range(5)]
    assert describe_workers(again)[1:] == (*(f"worker {i} was replaced: it died" for i in range(3)), "2 more were replaced")
    lost, new = WorkerStatus(3, last_loss="it died (ActorDiedError)"), WorkerStatus(4)
    assert describe_workers([*working[:1], lost, new])[1:] == (
        "worker 3 lost: it died (ActorDiedError)",
        "1 of 3 workers starting",
    )


def test_a_log_names_a_worker_that_is_lost_and_its_speed(session, tmp_path):
    out, file = tmp_path / "run", tmp_path / "tiny.json"
    file.write_text(json.dumps({**TINY, "steps": 64_000, "progress": "plain", "eval_every": 640}))
    with start("train", "--config", file, "--out", out, "--workers", 2) as process:
        wait_for_checkpoint(out, process)
        deadline = time.monotonic() + 60
        while not (out / "workers.json").is_file() or not all(w["pid"] for w in read_sessions(RunFolder(out))[0]["workers"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        [victim, other] = read_sessions(RunFolder(out))[0]["workers"]
        os.kill(victim["pid"], signal.SIGKILL)
        errors = read_until(process, process.stderr, "worker 0 ", 120)
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
    line = errors.splitlines()[-1]
    assert re.search(r"worker 0 (lost|on \S+ was replaced): it died \(ActorDiedError\)", line), line
    assert re.search(r"2 workers at [\d,]+ to [\d,]+ steps/s|1 worker at [\d,]+ steps/s", line), line
    assert other["steps"] > 0


def test_a_report_shows_each_worker_s_share(session, expected, tmp_path):
    first = WorkerStatus(0, "here", 1, "idle", steps=300, busy_s=0.1, num_bytes=43_200)
    second = WorkerStatus(1, "there", 2, "idle", steps=100, busy_s=0.1, num_bytes=14_400, restarts=1, last_loss="it died")
    sessions = [{"workers": [dataclasses.asdict(worker) for worker in (first, second)]} for _ in range(2)]
    page = make_workers(sessions)
    for text in ("2 workers, in 2 sessions", "here", "there", "600", "75.0 %", "3,000", "144", "2 (it died)"):
        assert text in page
    assert make_workers([]) == ""
    (html,) = [path for path in write_report(expected.path) if path.suffix == ".html"]
    assert "<h2>Workers</h2>" in html.read_text()


def test_a_corrupt_file_of_workers_is_named(tmp_path):
    (tmp_path / "workers.json").write_text('{"sessions": [{"workers": [{"index": 0}]}]}')
    with pytest.raises(RunError, match="workers.json is corrupt"):
        read_sessions(RunFolder(tmp_path))
