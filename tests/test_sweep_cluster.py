"""``sweep --address``: points on the machines of a cluster, their files here, and nothing left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from gym_gazebo2.algos.distributed import calls
from gym_gazebo2.algos.distributed.calls import Call, Calls
from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.session import RaySession, import_ray
from gym_gazebo2.algos.report import CompareConfig, compare
from gym_gazebo2.algos.report.run_data import read_run
from gym_gazebo2.algos.report.scaling import count_iterations, find_families
from gym_gazebo2.algos.runs.machines import read_holdings
from gym_gazebo2.algos.runs.transfer import Changes, FolderReader, read_files, write_changes
from gym_gazebo2.algos.sweep.runner import SweepConfig, sweep
from gym_gazebo2.algos.sweep.search import Search
from gym_gazebo2.cli import main
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, RunError, UnknownEnvError, WorkerError, WriteError

from . import shards
from .browser import open_browser, show
from .conftest import ROOT
from .processes import run_process, wait_until
from .test_cluster import make_disk
from .test_compare import read_rows
from .test_report import FIND_OUTSIDE

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
SMALL = {"env": ("SCARA-v0",), "steps": 320, "runs": 2, "hyper": ("n_steps=10", "batch_size=80", "policy_kwargs.net_arch=[8]")}
POINT = "num_envs=16,n_steps=10,batch_size=80,policy_kwargs.net_arch=[8]"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A Ray with a folder for temporary files of its own, so that nothing of other tests is taken for its leftovers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("scratch")))
        with closing(RaySession(num_cpus=4)) as session:
            yield session


@pytest.fixture
def address(session):
    return import_ray().get_runtime_context().gcs_address


def configure(folder, address, **values):
    return SweepConfig(
        **{**SMALL, "seeds": (0,), "grid": ("num_envs=16",), "address": address, "insecure": True, "out": str(folder), **values}
    )


def list_scratch():
    return list(Path(os.environ["TMPDIR"]).glob("gym-gazebo2-run-*"))


@pytest.fixture(scope="module")
def swept(session, tmp_path_factory):
    """A sweep over numbers of workers, and its runs."""
    address = import_ray().get_runtime_context().gcs_address
    config = configure(tmp_path_factory.mktemp("swept"), address, grid=("workers=None,1,2", "num_envs=16"))
    return config, sweep(config)


def test_the_number_of_workers_is_an_axis_of_the_grid(swept):
    config, runs = swept
    assert [run.path.parent.name for run in runs] == [f"workers={n},{POINT}" for n in (None, 1, 2)]
    results = [run.read_json("evaluation.json") for run in runs]
    assert results[1]["measures"] == results[2]["measures"]  # the same bits, whatever the number of workers
    assert [len(run.read_json("workers.json")["sessions"][0]["workers"]) for run in runs[1:]] == [1, 2]
    files = [{path.name for path in run.path.rglob("*") if path.is_file()} for run in runs]
    assert all({"config.json", "model.zip", "training.json", "progress.csv", "episodes.csv"} <= found for found in files)
    times = [run.model.stat().st_mtime_ns for run in runs]
    assert sweep(config) == runs and [run.model.stat().st_mtime_ns for run in runs] == times
    assert not list_scratch()
    held = read_holdings(Path(config.out))
    assert len({one.host for one in held}) == 1
    assert sum(one.until - one.since for one in held) >= max(run.read_json("training.json")["train_wall_s"] for run in runs)


def test_a_run_of_the_cluster_is_evaluated_again_here_and_not_trained_again(swept, tmp_path):
    config, runs = swept
    shutil.copytree(config.out, tmp_path / "here")
    grid = {"grid": ("workers=1", "num_envs=16"), "runs": 3, "address": None, "out": str(tmp_path / "here")}
    [run] = sweep(dataclasses.replace(config, **grid))
    assert run.read_json("evaluation.json")["runs"] == 3
    assert run.model.read_bytes() == runs[1].model.read_bytes()


def test_a_comparison_has_a_curve_for_each_number_of_workers(swept):
    config, runs = swept
    out = Path(config.out) / "page.html"
    page = compare([run.path for run in runs], CompareConfig(str(out), sweep=config.out))
    rows = read_rows(page, "SCARA-v0 by number of workers")
    assert list(rows) == ["without workers", "1 worker", "2 workers"]
    assert rows["1 worker"]["speed-up"] == "1.00"
    assert rows["1 worker"]["tool error, RMS [mm]"] == rows["2 workers"]["tool error, RMS [mm]"]
    figure = re.search(r'id="workers-position_error-iterations-0-0".*?</figure>', page.read_text(), flags=re.DOTALL)[0]
    hints = json.loads(re.search(r'json">(.*?)</script>', figure, re.DOTALL)[1])["series"]
    curves = {one["name"]: one["points"] for one in hints}
    assert list(curves) == ["without workers", "1 worker", "2 workers"]
    assert curves["1 worker"][-1][2] == 2  # iterations of 16 arms × 10 steps
    values = {name: [point[3] for point in points] for name, points in curves.items()}
    assert values["1 worker"] == values["2 workers"] != values["without workers"]
    assert 'id="workers-reward-wall-time-0-0"' in page.read_text()
    assert not re.findall(FIND_OUTSIDE, page.read_text())
    single = compare([run.path for run in runs[:1]], CompareConfig(str(out)))
    assert "by number of workers" not in single.read_text()
    with open_browser() as browser:
        compare([run.path for run in runs], CompareConfig(str(out)))
        for width in (390, 1280):
            show(browser, out, width=width, height=800, mobile=width < 500)
            assert browser.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
            assert browser.find_element("id", "workers-reward-iterations-0-0").is_displayed()


def test_arguments_that_follow_from_the_number_of_workers_make_no_curves_of_their_own(swept):
    """As on Gazebo, where each worker has one arm."""
    plain, one, two = (read_run(run.path) for run in swept[1])

    def change(run, **values):
        return dataclasses.replace(run, config=dataclasses.replace(run.config, **values))

    [family] = find_families([change(one, num_envs=1), change(two, num_envs=2), change(two, num_envs=2, seed=1)])
    assert {count: len(runs) for count, runs in family.by_workers.items()} == {1: 1, 2: 2} and family.label == "ppo"
    families = find_families([one, two, change(one, num_envs=32), change(two, num_envs=32), plain])
    assert [(family.label, list(family.by_workers)) for family in families] == [
        ("ppo, num envs 16", [0, 1, 2]),
        ("ppo, num envs 32", [1, 2]),
    ]
    assert find_families([change(one, num_envs=32), two, change(two, num_envs=64)]) == []
    iterations = count_iterations(one, np.array([0.0, 160.0, 320.0]))
    np.testing.assert_allclose(iterations, [0, 1, 2])
    assert not len(count_iterations(dataclasses.replace(one, log={}), np.array([1.0])))


def test_a_sweep_here_takes_the_same_axis(tmp_path):
    config = configure(tmp_path, None, grid=("workers=1,2", "num_envs=16"), worker_cpus=0.5)
    first, second = (run.read_json("evaluation.json")["measures"] for run in sweep(config))
    assert first == second


def test_optuna_asks_and_tells_here_and_a_search_is_resumed(address, tmp_path):
    config = configure(tmp_path, address, search=("gamma=float:0.9..0.99",), trials=3)
    runs = sweep(config)
    study = Search(tmp_path / "SCARA-v0/ppo/optuna.log", {}, 0)
    assert len(study.get_done()) == 3 == len(runs) and not study.get_open()
    assert len({run.read_config().hyperparameters["gamma"] for run in runs}) == 3
    assert sweep(config) == runs
    assert len(sweep(SweepConfig(**{**vars(config), "trials": 4}))) == 4


def test_an_error_of_a_training_is_named_and_stops_no_other(address, tmp_path):
    config = configure(tmp_path, address, hyper=("n_steps=10", "batch_size=80,-1"))
    with pytest.raises(RunError, match=r"1 of 2 trainings failed\. What is done is kept.*batch_size=-1"):
        sweep(config)
    assert len(list(tmp_path.glob("**/evaluation.json"))) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grid": ("workers=5", "num_envs=20")}, "5 workers with 1 CPU each do not fit: the cluster has 4. Use --workers 4"),
        ({"address": "nowhere"}, "expected HOST:PORT"),
        ({"address": "127.0.0.1:9"}, "No Ray cluster answers at 127.0.0.1:9"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(address, tmp_path, values, message):
    with pytest.raises(GymGazebo2Error, match=message):
        sweep(configure(tmp_path, values.pop("address", address), **values))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grid": ("steps=1,2",)}, "There is no option for --grid 'steps'.*Available: .*workers.*use --hyper"),
        ({"grid": ("num_workers=1,2",)}, "num_workers is called --workers here. Use --workers VALUE"),
        ({"grid": ("workers=0",)}, "workers is 0, expected a whole number of at least 1"),
        ({"grid": ("workers=1,",)}, "grid is 'workers=1,', expected NAME=VALUE,VALUE"),
        ({"grid": ("workers=8", "num_envs=16")}, "cannot keep 8 workers busy"),
        ({"hyper": ("sgd_stepsize=1e-3",)}, "sgd_stepsize is called learning_rate here. Use --hyper learning_rate=VALUE"),
        ({"search": ("gamma=float:0.9..0.99",), "grid": ("workers=1,2",)}, "one value for each name, NAME=VALUE, because"),
        ({"worker_cpus": 0.0}, "worker_cpus is 0.0"),
    ],
)
def test_grids_that_cannot_be(values, message):
    with pytest.raises(GymGazebo2Error, match=message):
        SweepConfig(**{**SMALL, "grid": ("num_envs=16",), **values})


def test_more_workers_than_processors_here_are_refused_at_once(tmp_path):
    with pytest.raises(InvalidArgumentError, match="64 workers with 1 CPU each do not fit: this machine has"):
        sweep(configure(tmp_path, None, grid=("workers=1,64", "num_envs=256")))


@contextmanager
def begin(folder, address, seeds=1):
    """Yield a sweep of long trainings as a command, after files of the first have come."""
    words = ["--env", "SCARA-v0", "--seeds", *map(str, range(seeds)), "--steps", "4000000", "--address", address, "--insecure"]
    command = [sys.executable, "-m", "gym_gazebo2.cli", "sweep", *words, "--out", str(folder / "sweep")]
    first = folder / "sweep/SCARA-v0/ppo/preset/seed0"
    with run_process(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: list((first / "checkpoints").glob("[!.]*.zip")), process, 300)  # an iteration took 20 s once
        yield process, first


def find_trainings():
    """Return the processes that train below actors of Ray on this machine."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "spawn_main" in " ".join(process.info["cmdline"] or ()):
            try:
                parents = " ".join(" ".join(parent.cmdline()) for parent in process.parents())
                is_own = process.environ().get("TMPDIR") == os.environ["TMPDIR"]
            except psutil.Error:
                continue
            if "ray::Host" in parents and is_own:
                found.append(process)
    return found


def list_left():
    return [*find_trainings(), *(path for folder in list_scratch() for path in (folder, *folder.rglob("*")))]


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_points_which_save_first(address, tmp_path, signum, status):
    with begin(tmp_path, address, seeds=2) as (process, first):
        before = {path.name for path in (first / "checkpoints").glob("[!.]*.zip")}
        os.killpg(process.pid, signum)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    assert "Run the same command again to continue." in errors and "Traceback" not in errors
    assert {path.name for path in (first / "checkpoints").glob("[!.]*.zip")} != before  # the last one was sent, too
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not list_left(), timeout=10)
    assert list_left() == []  # names what is left


def test_nothing_is_left_10_s_after_the_sigkill_of_the_driver(address, tmp_path):
    with begin(tmp_path, address) as (process, _):
        assert find_trainings() and list_scratch()
        process.kill()
        process.wait(10)
        wait_until(lambda: not find_trainings(), timeout=10)
    (tmp_path / "given").write_text("text")
    assert [outcome for _, outcome in Calls().perform([Call(succeed, tmp_path)])] == [("text", address)]
    assert not list_scratch()  # the next call on the machine removes what the killed one has left


def test_a_point_whose_machine_dies_goes_on_elsewhere_from_its_last_files(address, session, tmp_path, capfd):
    """A second node, as a machine of its own would be: it has the only CPU that is free, and dies while the point runs."""
    ray = import_ray()
    holder = ray.remote(num_cpus=4)(Idle).remote()
    ray.get(holder.ping.remote(), timeout=60)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}", "--num-cpus=1", "--block"]
    config = configure(tmp_path, address, steps=64_000, jobs=1)
    folder = tmp_path / f"SCARA-v0/ppo/{POINT}/seed0"
    seen = []

    def lose_the_node(node):
        wait_until(lambda: list((folder / "checkpoints").glob("[!.]*.zip")), timeout=200)
        seen.extend(path.name for path in (folder / "checkpoints").glob("[!.]*.zip"))
        ray.kill(holder)
        for process in [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]:
            process.kill()

    with run_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as node:
        wait_until(lambda: ray.cluster_resources()["CPU"] == 5, node)
        killer = threading.Thread(target=lose_the_node, args=(node,))
        killer.start()
        [run] = sweep(config)
        killer.join(60)
    assert seen and run.model.is_file()
    errors = capfd.readouterr().err
    assert f"{folder}: lost on " in errors and "It starts again elsewhere." in errors
    [plain] = sweep(configure(tmp_path / "plain", None, steps=64_000))
    assert run.read_json("evaluation.json")["measures"] == plain.read_json("evaluation.json")["measures"]


class Idle:
    """Takes CPUs."""

    def ping(self):
        return True


def fail_by_sigkill(folder, address):
    (folder / "attempt").parent.mkdir(parents=True, exist_ok=True)
    (folder / "attempt").write_text("begun")
    os.kill(os.getpid(), signal.SIGKILL)


def succeed(folder, address):
    return (folder / "given").read_text(), address


def test_a_call_that_is_lost_again_and_again_ends_with_an_error(address, tmp_path, capfd):
    """Its process kills itself each time, as the kernel does where memory runs out."""
    (tmp_path / "good").mkdir()
    (tmp_path / "good/given").write_text("text")
    bad, good = Call(fail_by_sigkill, tmp_path / "bad"), Call(succeed, tmp_path / "good", 2.0)
    outcomes = {call.folder.name: outcome for call, outcome in Calls().perform([bad, good])}
    assert outcomes["good"] == ("text", address)
    assert isinstance(outcomes["bad"], WorkerError)
    assert "It was lost 4 times; the last time, its process was killed" in str(outcomes["bad"])
    assert capfd.readouterr().err.count("It starts again elsewhere.") == 3
    assert (tmp_path / "bad/attempt").read_text() == "begun"  # its files came, too


def test_a_cluster_that_is_too_small_is_waited_for_with_a_line_and_a_deadline(session, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calls, "ROOM_TIMEOUT_S", 1.0)
    with pytest.raises(WorkerError, match="The cluster has 4 CPUs, and the next training needs 9"):
        list(Calls().perform([Call(succeed, tmp_path, 9.0)]))
    assert capsys.readouterr().err.count("needs 9 CPUs; the cluster has 4 now. Waiting for more.") == 1


def test_machines_with_other_versions_are_refused(session, tmp_path, monkeypatch):
    monkeypatch.setattr(calls, "collect_versions", lambda: {"numpy": "0.1"})
    with pytest.raises(WorkerError, match="has numpy .*, this machine has 0.1. Install the same version on both."):
        list(Calls().perform([Call(succeed, tmp_path)]))


def fail_for_lack_of_a_module(folder, address):
    raise UnknownEnvError("environment id", "OnlyHere-v0", ["MARA-v0"])


def fail_for_lack_of_room(folder, address):
    raise WriteError(Path("/there"), "No space left on device", "Then continue with: gym-gazebo2 resume /there")


def test_an_error_of_a_machine_is_reported_with_its_name(session, tmp_path):
    cases = {
        fail_for_lack_of_a_module: "There is no environment id 'OnlyHere-v0'. Available: MARA-v0.",
        fail_for_lack_of_room: "Cannot write /there: No space left on device.",
    }
    calls = [Call(function, tmp_path / function.__name__) for function in cases]
    host = socket.gethostname()
    for call, outcome in Calls().perform(calls):
        assert isinstance(outcome, WorkerError)  # so that a search does not take it for the fault of hyperparameters
        assert str(outcome) == f"It cannot go on at {host}: {cases[call.function]} Correct that on {host}."


def test_a_full_disk_of_a_machine_is_reported_before_a_training_starts_there(session, tmp_path):
    with make_disk(1, os.environ["TMPDIR"]):
        [(_, outcome)] = Calls().perform([Call(succeed, tmp_path)])
    assert isinstance(outcome, WorkerError)
    assert f"The disk of {socket.gethostname()} is full: {os.environ['TMPDIR']} has 1 MB left" in str(outcome)


NO_PACKAGE = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "gym_gazebo2":
            raise ModuleNotFoundError(f"No module named '{name}'")
sys.meta_path.insert(0, Finder())
"""


def test_a_machine_without_this_package_is_named_at_once(address, session, tmp_path):
    """A second node, which has the only CPU that is free, and whose Python does not find the package."""
    ray = import_ray()
    holder = ray.remote(num_cpus=4)(Idle).remote()
    ray.get(holder.ping.remote(), timeout=60)
    (tmp_path / "sitecustomize.py").write_text(NO_PACKAGE)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}", "--num-cpus=1", "--block"]
    message = r"The machine [\d.]+ cannot import gym_gazebo2 \(ModuleNotFoundError: No module .*Install the version of this"
    try:
        with run_process(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as node:
            wait_until(lambda: ray.cluster_resources()["CPU"] == 5, node)
            with pytest.raises(WorkerError, match=message):
                list(Calls().perform([Call(succeed, tmp_path)]))
            with closing(Fleet(shards.configure(), 4, 1)) as fleet, pytest.raises(WorkerError, match=message):
                fleet.wait_ready()
    finally:
        ray.kill(holder)


def test_only_what_has_changed_in_a_folder_is_sent(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    names = ("model.zip", "progress.csv", "checkpoints/1.zip")
    write_changes(there, Changes({name: b"old" for name in names}))
    write_changes(here, Changes(read_files(there)))
    reader = FolderReader(there)
    assert reader.read() == Changes({})
    (there / ".progress.csv.0123abcd").write_text("a temporary file")
    (there / "progress.csv").write_text("new and longer")
    (there / "checkpoints/1.zip").unlink()
    (there / "checkpoints/2.zip").write_text("two")
    changes = reader.read()
    assert changes == Changes({"checkpoints/2.zip": b"two", "progress.csv": b"new and longer"}, ("checkpoints/1.zip",))
    assert list(changes.files) == ["checkpoints/2.zip", "progress.csv"]  # logs are never older than checkpoints
    write_changes(here, changes)
    assert read_files(here) == {"model.zip": b"old", "progress.csv": b"new and longer", "checkpoints/2.zip": b"two"}
    assert reader.read() == Changes({})


@pytest.mark.parametrize("name", ["../other", "/etc/passwd", "a/../../b", ""])
def test_a_machine_cannot_write_outside_of_the_run_folder(tmp_path, name):
    with pytest.raises(ValueError, match="not the path of a file in a run folder"):
        write_changes(tmp_path / "run", Changes({name: b"x"}))


def test_the_command_takes_grid_and_address(session, address, tmp_path, capsys):
    words = ["--env", "SCARA-v0", "--seeds", "0", "--steps", "320", "--runs", "2", "--address", address, "--insecure"]
    words += ["--grid", "workers=1,2", "num_envs=16", "--hyper", "n_steps=10", "batch_size=80", "--out", str(tmp_path)]
    assert main(["sweep", *words]) == 0
    assert str(tmp_path / "comparison.html") in capsys.readouterr().out
    config = json.loads(next(tmp_path.glob("**/config.json")).read_text())
    assert config["arguments"]["workers"] == 1 and config["arguments"]["address"] == address
    assert Path(config["arguments"]["out"]).is_absolute()
