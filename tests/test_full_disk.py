"""Every write of a run on a disk that is full or may not be written to: what is said, and that nothing is lost."""

import contextlib
import errno
import importlib
import os
import re
import resource
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

from gym_gazebo2.algos import EvaluateConfig, RunFolder, TrainConfig, evaluate, resume, train
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.export.network import ExportConfig, export
from gym_gazebo2.algos.play.player import PlayConfig, play
from gym_gazebo2.algos.report import CompareConfig, ReportConfig, compare, write_report
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.runs.writing import GrowingFile, write_atomically
from gym_gazebo2.algos.sweep.runner import SweepConfig, sweep
from gym_gazebo2.cli import main
from gym_gazebo2.errors import WriteError

TINY = {"env": "SCARA-v0", "num_envs": 4, "max_episode_steps": 10, "steps": 120, "eval_every": 40, "eval_runs": 2,
        "hyperparameters": {"n_steps": 10, "batch_size": 40, "n_epochs": 1, "policy_kwargs": {"net_arch": [4]}},
        "checkpoint_seconds": 1e-9, "progress": "quiet"}  # fmt: skip
FORBIDDEN = Path("/sys/gym_gazebo2")
"""A place where not even root may write."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(TrainConfig(**TINY, out=str(tmp_path_factory.mktemp("whole") / "run")))


@contextlib.contextmanager
def full_disk(room):
    """A kernel that refuses every file larger than so many bytes, as one without room does: a part first, then an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def disk_that_fills_up(monkeypatch, at):
    """From its n-th write on a disk takes half of what comes, and then nothing."""
    write, count = os.write, 0

    def refuse(descriptor, content):
        nonlocal count
        count += 1
        if count < at:
            return write(descriptor, content)
        if count == at and len(content) > 1:
            return write(descriptor, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        yield lambda: count


def test_a_disk_that_fills_up_at_any_write_of_a_training_loses_nothing(tmp_path, monkeypatch, whole):
    with disk_that_fills_up(monkeypatch, at=10**9) as count:
        train(TrainConfig(**TINY, out=str(tmp_path / "count")))
    assert count() > 20
    named, weights = set(), read_model_file(whole.model).weights
    for at in range(1, count() + 1):
        config = TrainConfig(**TINY, out=str(tmp_path / str(at)))
        with (
            disk_that_fills_up(monkeypatch, at),
            pytest.raises(WriteError, match="No space left on device. Free disk space. ") as caught,
        ):
            train(config)
        name = caught.value.path.relative_to(config.out)
        assert str(caught.value).startswith(f"Cannot write {caught.value.path}: ")
        named.add(re.sub(r"\d{5,}.*", "N", str(name)))
        is_first = name.name == "config.json"
        advice = "Or choose another folder with --out." if is_first else f"Then continue with: gym-gazebo2 resume {config.out}"
        assert str(caught.value).endswith(advice)
        assert not list(Path(config.out).glob("**/.*"))
        run = train(config) if is_first else resume(config.out)
        assert all(torch.equal(read_model_file(run.model).weights[key], value) for key, value in weights.items()), name
        assert len(run.read_progress()) == 3
    assert named == {"config.json", "progress.csv", "episodes.csv", "events.out.tfevents.N", "curve.json", "best_model.zip",
                     "checkpoints/N", "training.json", "model.zip", "machines.json"}  # fmt: skip


def test_the_kernel_s_own_refusal_gives_the_same_error(tmp_path):
    for room in (0, 1_000, 5_000, 20_000):
        config = TrainConfig(**TINY, out=str(tmp_path / str(room)))
        with full_disk(room), pytest.raises(WriteError, match=r"Cannot write \S+: File too large. Free disk space. "):
            train(config)
        assert (resume(config.out) if room > 4_000 else train(config)).model.is_file()


def make_search(out):
    """A sweep that fails before it starts a worker, as it cannot write the journal of its search."""
    return SweepConfig(env=("SCARA-v0",), seeds=(0,), search=("gamma=float:0.9..0.99",), trials=1, out=str(out))


WRITES = {
    "evaluate": (lambda run, out: evaluate(run, EvaluateConfig(runs=2)), "evaluation.json", "run the command again"),
    "evaluate elsewhere": (lambda run, out: evaluate(run, EvaluateConfig(runs=2, out=str(out))), "evaluation.json", "--out"),
    "report": (lambda run, out: write_report(run), "learning_curve.png", "run the command again"),
    "page": (lambda run, out: write_report(run, ReportConfig(video=False)), "learning_curve.png", "run the command again"),
    "onnx": (lambda run, out: export(run, ExportConfig(out=str(out))), "policy.onnx", "--out"),
    "torchscript": (lambda run, out: export(run, ExportConfig("torchscript", out=str(out))), "policy.pt", "--out"),
    "compare": (lambda run, out: compare([run], CompareConfig(out=str(out / "page.html"))), "page.html", "--out"),
    "search": (lambda run, out: sweep(make_search(out)), "SCARA-v0/ppo/optuna.log", "--out"),
    "config": (lambda run, out: RunFolder.create(resolve(TrainConfig(**TINY, out=str(out)))), "config.json", "--out"),
    **{
        f"film {ending}": (
            lambda run, out, ending=ending: play("SCARA-v0", PlayConfig(record=str(out / f"arm.{ending}"), steps=5)),
            f"arm.{ending}",
            "--record",
        )
        for ending in ("mp4", "gif", "webp")
    },
}
"""What is done with a run's folder and another one → the file that is named, and the way out."""


@pytest.mark.parametrize("what", WRITES)
def test_what_is_made_of_a_run_on_a_full_disk(whole, tmp_path, what):
    act, name, advice = WRITES[what]
    run = shutil.copytree(whole.path, tmp_path / "run")
    (tmp_path / "out").mkdir()
    folder = run if advice.endswith("again") else tmp_path / "out"
    if what not in ("search", "config"):
        (folder / name).write_bytes(b"older")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with full_disk(40), pytest.raises(WriteError, match=rf"Cannot write {folder / name}: .*Free disk space. .*{advice}"):
        act(run, tmp_path / "out")
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "optuna.log"}
    assert after == before


@pytest.mark.parametrize("what", [name for name, row in WRITES.items() if row[2].startswith("--")])
def test_what_is_made_of_a_run_where_nobody_may_write(whole, what):
    act, name, advice = WRITES[what]
    name = "machines.json" if what == "search" else name  # the folder of a sweep is checked before its search begins
    with pytest.raises(WriteError, match=rf"Cannot write {FORBIDDEN / name}: .*{FORBIDDEN.parent}.*{advice}"):
        act(whole.path, FORBIDDEN)


@contextlib.contextmanager
def nobody():
    """A user who may not write to what root, or the user of this test, has closed to others."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


EARLY = {
    "evaluate": ("gym_gazebo2.algos.evaluate.run_episodes", lambda run, out: evaluate(run, EvaluateConfig(runs=2))),
    "json": (
        "gym_gazebo2.algos.evaluate.run_episodes",
        lambda run, out: evaluate(run, EvaluateConfig(runs=2, out=str(out)), json=Path(run) / "result.json"),
    ),
    "report": ("gym_gazebo2.algos.report.run_page.film_episode", lambda run, out: write_report(run)),
    "export": ("gym_gazebo2.algos.export.network._Deployed", lambda run, out: export(run)),
    "film": ("gym_gazebo2.algos.play.player._make_env", lambda run, out: play(run, PlayConfig(record=f"{run}/arm.gif"))),
    "compare": ("gym_gazebo2.algos.report.compare.group_runs", lambda run, out: compare([run], CompareConfig(f"{run}/a.html"))),
    "sweep": (
        "gym_gazebo2.algos.sweep.runner.open_executor",
        lambda run, out: sweep(SweepConfig(env=("SCARA-v0",), seeds=(0,), out=str(run / "sweep"))),
    ),
    "train": (
        "gym_gazebo2.algos.train.open_training_env",
        lambda run, out: train(TrainConfig(**TINY, out=str(run / "new" / "run"))),
    ),
}
"""What is done with a run → where its work begins, and the call."""


@pytest.mark.parametrize("what", EARLY)
def test_a_folder_that_may_not_be_written_to_is_refused_before_the_work(whole, monkeypatch, what):
    def begin(*args, **kwargs):
        raise AssertionError("The work has begun.")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = shutil.copytree(whole.path, folder / "run")
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        for path in (folder, run, *run.iterdir()):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = sorted(folder.rglob("*"))
        target, act = EARLY[what]
        module, _, function = target.rpartition(".")
        monkeypatch.setattr(importlib.import_module(module), function, begin)
        with nobody(), pytest.raises(WriteError, match=rf"Cannot write {run}.*write to|Cannot write {run}.*may write"):
            act(run, folder / "out")
        assert sorted(folder.rglob("*")) == before


def test_a_run_that_may_not_be_written_to_is_evaluated_and_reported_elsewhere(whole, capsys):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = shutil.copytree(whole.path, folder / "run")
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        for path in (folder, run, *run.iterdir()):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with nobody():
            assert main(["evaluate", str(run), "--runs", "2", "--out", str(folder / "out")]) == 0, capsys.readouterr().err
        names = {path.name for path in (folder / "out").iterdir()}
        assert {"evaluation.json", "report.html", "learning_curve.png"} <= names
        assert "2 episodes" in (folder / "out" / "report.html").read_text()
        assert not (run / "report.html").exists()


def test_a_folder_that_was_closed_says_which_and_what_to_do():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = RunFolder.create(resolve(TrainConfig(**TINY, out=str(folder / "run"))))
        growing = GrowingFile(run.path / "episodes.csv", b"")
        for path in (folder, run.path, *run.path.iterdir()):
            path.chmod(0o555 if path.is_dir() else 0o444)
        closed = rf"Permission denied. Make sure that you may write to {run.path}\."
        with nobody():
            with pytest.raises(WriteError, match=rf"{closed} Then continue with: gym-gazebo2 resume {run.path}"), run.hold():
                pass
            with pytest.raises(WriteError, match=closed):
                run.write_json("curve.json", {})
            with pytest.raises(WriteError, match=closed):
                growing.write(b"row")
            with pytest.raises(WriteError, match=rf"Permission denied. Make sure that you may write to {run.path / 'new'}\."):
                write_atomically(run.path / "new" / "page.html", b"")
        for path in (folder, run.path):
            path.chmod(0o755)


def test_the_command_line_says_it_in_one_line(capsys, tmp_path):
    words = ["--env", "SCARA-v0", "--steps", "800", "--progress", "quiet", "--out", str(tmp_path / "run")]
    with full_disk(3_000):
        assert main(["train", *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("gym-gazebo2 train: Cannot write ") and error.count("\n") == 1
    assert error.endswith(f"Free disk space. Then continue with: gym-gazebo2 resume {tmp_path / 'run'}\n")
