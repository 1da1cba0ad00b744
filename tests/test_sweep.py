"""Sweeps: a grid in parallel, going on where one was stopped, and a search by Optuna."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gym_gazebo2.algos.sweep.runner import SweepConfig, list_points, sweep
from gym_gazebo2.algos.sweep.search import Range, Search, make_grid, parse_grid, parse_range
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, RunError

SMALL = {"env": ("SCARA-v0",), "steps": 64, "runs": 2, "jobs": 2}


def test_grids_are_read_and_multiplied() -> None:
    grid = parse_grid(["n-epochs=5,10", "learning_rate=1e-3,lin_1e-3"])
    assert grid == {"n_epochs": (5, 10), "learning_rate": (1e-3, "lin_1e-3")}
    assert len(list(make_grid(grid))) == 4
    assert list(make_grid({})) == [{}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=log:1e-5..1e-2", Range("log", (1e-5, 1e-2))),
        ("n_epochs=int:3..20", Range("int", (3, 20))),
        ("gamma=float:0.9..0.99", Range("float", (0.9, 0.99))),
        ("batch_size=choice:800,1600", Range("choice", (800, 1600))),
    ],
)
def test_ranges_are_read(text: str, expected: Range) -> None:
    assert parse_range(text)[1] == expected


@pytest.mark.parametrize(
    "text",
    ["gamma", "gamma=0.9", "gamma=log:0..1", "gamma=float:1..0", "gamma=near:0..1", "=int:1..2"]
    + ["gamma=int:0.5..2", "gamma=choice:", "gamma=choice:1,"],
)
def test_ranges_that_cannot_be(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^search is .*, expected NAME=KIND:LOW\.\.HIGH"):
        parse_range(text)


@pytest.mark.parametrize("text", ["gamma", "gamma=", "gamma=0.9,"])
def test_a_grid_that_cannot_be(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^hyper is '{text}', expected NAME=VALUE,VALUE"):
        parse_grid([text])


def test_a_grid_has_the_values_of_one_training() -> None:
    words = ("normalize_advantage=True,False", "policy_kwargs.log_std_init=-1,-0.5", "policy_kwargs.net_arch=[64,64],[8]")
    points = list(list_points(SweepConfig(env=("SCARA-v0",), seeds=(0,), hyper=words)))
    assert len(points) == 8 == len({point.folder for point in points})
    assert [point.hyperparameters["normalize_advantage"] for point in points] == [True] * 4 + [False] * 4
    assert points[0].hyperparameters["policy_kwargs"] == {"log_std_init": -1, "net_arch": [64, 64]}


def test_a_search_chooses_among_lists(tmp_path: Path) -> None:
    name, given = parse_range("policy_kwargs.net_arch=choice:[64,64],[8]")
    assert given.values == ([64, 64], [8])
    search = Search(tmp_path / "optuna.log", {name: given}, 0)
    number, values = search.ask()
    assert values[name] in given.values and search.get_open() == [(number, values)]


@pytest.mark.parametrize(
    "bad",
    [{"env": ()}, {"algo": ("best",)}, {"env": ("SCARA-v9",)}, {"seeds": ()}, {"hyper": ("gamma",)}, {"jobs": 0}]
    + [{"runs": 1}, {"steps": 0}, {"seeds": (-1,)}, {"hyper": ("gama=0.9,0.95",)}, {"search": ("gama=float:0.8..0.9",)}]
    + [{"algo": ("ppo", "sac"), "hyper": ("n_epochs=5",)}, {"env": ("SCARA-v0", "SCARA-v9")}]
    + [{"hyper": ("gamma=0.9",), "search": ("gamma=float:0.8..0.9",)}]
    + [{"hyper": ("policy_kwargs=1",), "search": ("policy_kwargs.log_std_init=float:-1..0",)}]
    + [{"hyper": ("n_epochs=5,10",), "search": ("gamma=float:0.8..0.9",)}],
)
def test_sweeps_that_cannot_be(bad: dict[str, object]) -> None:
    with pytest.raises(GymGazebo2Error):
        SweepConfig(**bad)


def test_points_have_folders_of_their_own() -> None:
    config = SweepConfig(env=("SCARA-v0", "MARA-v0"), algo=("ppo", "a2c"), seeds=(0, 1), hyper=("gamma=0.9,0.95",))
    points = list(list_points(config))
    assert len(points) == 16 == len({point.folder for point in points})


def test_a_grid_is_trained_once(tmp_path: Path) -> None:
    config = SweepConfig(**SMALL, seeds=(0, 1), hyper=("n_steps=2", "batch_size=32"), out=str(tmp_path / "sweep"))
    runs = sweep(config)
    models = [run.model for run in runs]
    assert len(models) == 2 and all(model.is_file() for model in models)
    times = [model.stat().st_mtime_ns for model in models]
    models[0].unlink()
    shutil.rmtree(runs[0].path / "checkpoints", ignore_errors=True)
    (runs[0].path / "evaluation.json").unlink()
    again = sweep(config)
    assert again[0].model.is_file() and (again[0].path / "evaluation.json").is_file()
    assert models[1].stat().st_mtime_ns == times[1]


def test_ids_of_other_packages_are_swept_with_keywords_of_their_own(tmp_path: Path) -> None:
    config = SweepConfig(env=("CartPole-v1",), seeds=(0,), steps=64, runs=2, jobs=1, out=str(tmp_path),
                         hyper=("n_steps=32",), env_kwargs={"sutton_barto_reward": True})  # fmt: skip
    [run] = sweep(config)
    assert run.read_config().make_kwargs == {"sutton_barto_reward": True} and sweep(config) == [run]
    with pytest.raises(RunError, match="env_kwargs is {'sutton_barto_reward': True}, asked for {}"):
        sweep(replace(config, env_kwargs={}))
    with pytest.raises(GymGazebo2Error, match="no keyword of CartPole-v1"):
        replace(config, env_kwargs={"reward": 1})


def test_results_of_another_command_are_none(tmp_path: Path) -> None:
    config = SweepConfig(**SMALL, seeds=(0,), hyper=("n_steps=2", "batch_size=32"), out=str(tmp_path))
    [run] = sweep(config)
    made = run.model.stat().st_mtime_ns
    with pytest.raises(RunError, match="seed0 is the result of another command: steps is 64, asked for 128; .*--out"):
        sweep(replace(config, steps=128))
    evaluation = run.path / "evaluation.json"
    assert run.read_json(evaluation.name)["runs"] == 2 and sweep(replace(config, runs=3)) == [run]
    assert run.read_json(evaluation.name)["runs"] == 3 and run.model.stat().st_mtime_ns == made
    evaluation.write_text(evaluation.read_text().replace('"mujoco"', '"fake"'))
    with pytest.raises(RunError, match="backend is 'fake', asked for 'mujoco'. Evaluate it again with: .*seed0, or .*--out"):
        sweep(config)
    moved = tmp_path / "SCARA-v0/ppo/n_steps=2,batch_size=64"
    run.path.parent.rename(moved)
    with pytest.raises(RunError, match="batch_size is 32, asked for 64"):
        sweep(replace(config, hyper=("n_steps=2", "batch_size=64")))


def test_a_training_that_fails_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    config = SweepConfig(**SMALL, seeds=(0,), hyper=("n_steps=2", "batch_size=32,-1"), out=str(out))
    with pytest.raises(RunError, match=r"1 of 2 trainings failed\. What is done is kept.*batch_size=-1"):
        sweep(config)
    assert (out / "SCARA-v0/ppo/n_steps=2,batch_size=32/seed0/evaluation.json").is_file()


def test_an_error_of_any_kind_is_named_and_stops_no_other(tmp_path: Path) -> None:
    rates = ("lin_1e-4", f"lin_{'0' * 300}1e-4")  # the name of a folder that no file system takes
    config = SweepConfig(**SMALL, seeds=(0,), hyper=(f"learning_rate={','.join(rates)}",), out=str(tmp_path))
    with pytest.raises(RunError, match="1 of 2 trainings failed.*seed0: OSError: .*File name too long"):
        sweep(config)
    assert (tmp_path / "SCARA-v0/ppo/learning_rate=lin_1e-4/seed0/evaluation.json").is_file()


@pytest.mark.parametrize(("sizes", "done"), [("32,-1", 1), ("-1,-2", 0)])
def test_a_trial_that_fails_is_a_result_of_the_search(tmp_path: Path, sizes: str, done: int) -> None:
    search, fixed = (f"batch_size=choice:{sizes}",), ("n_steps=2",)
    config = SweepConfig(**SMALL, seeds=(0,), search=search, hyper=fixed, trials=4, out=str(tmp_path))
    study = tmp_path / "SCARA-v0/ppo/optuna.log"
    for _ in range(2):
        if done:
            assert {run.read_config().hyperparameters["batch_size"] for run in sweep(config)} == {32}
        else:
            with pytest.raises(RunError, match="All of the 4 trials in .*SCARA-v0/ppo failed"):
                sweep(config)
        tried = Search(study, {}, 0)
        assert len(tried.get_tried()) == 4 > len(tried.get_done()) and not tried.get_open()


def test_a_trial_that_fails_for_want_of_room_stays_open(tmp_path: Path) -> None:
    (tmp_path / "SCARA-v0/ppo/trial0/seed0").mkdir(parents=True)
    (tmp_path / "SCARA-v0/ppo/trial0/seed0/other").touch()
    config = SweepConfig(**SMALL, seeds=(0,), search=("gamma=float:0.9..0.99",), trials=1, out=str(tmp_path))
    with pytest.raises(RunError, match="1 of 1 trainings failed.*exists already"):
        sweep(config)
    assert len(Search(tmp_path / "SCARA-v0/ppo/optuna.log", {}, 0).get_open()) == 1


def test_a_search_goes_on_with_the_trial_that_was_open(tmp_path: Path) -> None:
    ranges = {"gamma": Range("float", (0.9, 0.99))}
    number, values = Search(tmp_path / "optuna.log", ranges, 0).ask()
    later = Search(tmp_path / "optuna.log", ranges, 0)
    assert later.get_open() == [(number, values)] and later.get_done() == []
    later.tell(number, 3.0)
    assert later.get_done() == [(number, values)] and later.get_best() == (number, values, 3.0)


def test_a_search_tries_so_many_points(tmp_path: Path) -> None:
    search, fixed = ("gamma=float:0.9..0.99",), ("n_steps=2", "batch_size=32")
    config = SweepConfig(**SMALL, seeds=(0,), search=search, hyper=fixed, trials=2, out=str(tmp_path))
    runs = sweep(config)
    assert len(runs) == 2
    gammas = [run.read_config().hyperparameters["gamma"] for run in runs]
    assert all(0.9 <= gamma <= 0.99 for gamma in gammas) and gammas[0] != gammas[1]
    assert [run.path for run in sweep(config)] == [run.path for run in runs]
    others = {"steps": 128, "seeds": (0, 1), "runs": 3, "search": ("gamma=float:0.5..0.6",), "hyper": ("n_steps=4",)}
    for name, value in others.items():
        with pytest.raises(RunError, match=f"optuna.log is the result of another command: {name} is .*--out"):
            sweep(replace(config, **{name: value}))


@contextmanager
def begin_sweep(folder: Path, seeds: int, jobs: int) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """Yield a sweep of long trainings whose first has begun, its first folder, and the file with what it says."""
    words = ["--env", "SCARA-v0", "--seeds", *map(str, range(seeds)), "--jobs", str(jobs), "--steps", "4000000"]
    command = [sys.executable, "-m", "gym_gazebo2.cli", "sweep", *words, "--out", str(folder / "sweep")]
    first, errors = folder / "sweep/SCARA-v0/ppo/preset/seed0", folder / "stderr"
    with errors.open("wb") as stream, subprocess.Popen(command, stderr=stream, start_new_session=True) as process:
        try:
            assert any((first / "best_model.zip").exists() or time.sleep(0.1) for _ in range(600)), errors.read_text()
            yield process, first, errors
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_nothing_outlives_a_sweep_that_is_killed(tmp_path: Path) -> None:
    with begin_sweep(tmp_path, seeds=2, jobs=2) as (process, _, _):
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        assert len(children) >= 2 and not psutil.wait_procs(children, timeout=10)[1]


def test_a_worker_that_is_killed_is_told(tmp_path: Path) -> None:
    with begin_sweep(tmp_path, seeds=1, jobs=1) as (process, _, errors):
        [worker] = [p for p in psutil.Process(process.pid).children() if "spawn_main" in " ".join(p.cmdline())]
        worker.kill()
        assert process.wait(60) == 1
    assert "was killed" in errors.read_text() and "Traceback" not in errors.read_text()


def test_ctrl_c_saves_what_was_begun_and_begins_no_more(tmp_path: Path) -> None:
    with begin_sweep(tmp_path, seeds=4, jobs=1) as (process, first, errors):
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    assert list((first / "checkpoints").glob("*.zip")) and [path.name for path in first.parent.iterdir()] == ["seed0"]
    said = errors.read_text()
    assert (
        f"gym-gazebo2 resume {first}" in said and "Run the same command again to continue." in said and "Traceback" not in said
    )
