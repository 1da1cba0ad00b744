"""Machines of a cluster get the robot's files from the driver: they have neither the maker's files nor its cache."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gym_gazebo2.algos import TrainConfig, resume, train
from gym_gazebo2.algos.distributed.calls import Calls
from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.history import read_sessions
from gym_gazebo2.algos.distributed.session import RaySession, import_ray
from gym_gazebo2.algos.distributed.shards import CollectTask
from gym_gazebo2.algos.sweep.runner import SweepConfig, sweep
from gym_gazebo2.errors import RobotError
from gym_gazebo2.robots import PackedRobot, load_robot, load_stored, pack_robot, unpack_robot

from .arms import ARMS, find_robots, make_arm
from .test_stored_robot import assert_equal
from .test_workers import assert_same_run

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:ray.*", "ignore::DeprecationWarning")
FEW = {
    "env": "Reach-v0", "steps": 480, "num_envs": 8, "max_episode_steps": 10, "eval_runs": 2, "eval_every": 240,
    "checkpoint_seconds": 1e-9, "progress": "quiet", "normalize": False, "worker_cpus": 0.5,
    "hyperparameters": {
        "n_steps": 10, "batch_size": 40, "n_epochs": 1, "learning_rate": 1e-3, "policy_kwargs": {"net_arch": [8]},
    },
    "env_kwargs": {"mount_height": 0.4, "robot_options": {"control_speed": 1.0}},
}  # fmt: skip


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A Ray whose processes have a cache and a working directory of their own, as on another machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "worker"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with closing(RaySession(num_cpus=4)):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "learner"))
        load_robot.cache_clear()
        yield tmp_path
        load_robot.cache_clear()


@contextmanager
def hidden(folder):
    """Take the maker's files away while workers start and work; the learner itself may look at them in between."""
    aside = folder.rename(folder.with_name("aside"))
    try:
        yield
    finally:
        aside.rename(folder)


def test_workers_train_an_arm_whose_files_they_do_not_have(machine, monkeypatch):
    """The maker's files are not there when workers start. One worker is killed and replaced."""
    maker = machine / "maker" / "example-robot-data" / "robots"
    shutil.copytree(find_robots() / "ur_description", maker / "ur_description")
    options = {**FEW, "robot": os.path.relpath(maker / ARMS["ur5"][0], machine), "tool_frame": "tool0"}
    plain = train(TrainConfig(**options, out=str(machine / "plain")))
    add_workers, perform, killed = Fleet.add_workers, Fleet.perform, list[int]()

    def start(fleet, count):
        with hidden(machine / "maker"):
            add_workers(fleet, count)
            fleet.wait_ready()

    def kill_one(fleet, tasks, weights):
        ready = [worker.pid for worker in fleet.workers if worker.state == "idle"]
        if ready and not killed and isinstance(tasks[0], CollectTask):
            killed.append(ready[0])
            os.kill(ready[0], signal.SIGKILL)
        with hidden(machine / "maker"):
            return perform(fleet, tasks, weights)

    monkeypatch.setattr(Fleet, "add_workers", start)
    monkeypatch.setattr(Fleet, "perform", kill_one)
    run = train(TrainConfig(**options, workers=2, out=str(machine / "run")))
    assert_same_run(plain, run)
    (record,) = read_sessions(run)
    assert killed and sum(worker["restarts"] for worker in record["workers"]) == 1
    [received] = (machine / "worker" / "gym_gazebo2" / "received").iterdir()
    assert_equal(load_stored(received), load_stored(run.path / "robot"))
    assert not (machine / "learner" / "gym_gazebo2" / "received").exists()


def test_a_run_that_has_moved_resumes_with_workers(machine):
    maker = machine / "maker" / "example-robot-data" / "robots"
    shutil.copytree(find_robots() / "ur_description", maker / "ur_description")
    options = {**FEW, "robot": str(maker / ARMS["ur5"][0]), "tool_frame": "tool0"}
    whole = train(TrainConfig(**options, out=str(machine / "whole")))
    train(TrainConfig(**{**options, "steps": 240}, workers=1, out=str(machine / "half")))
    shutil.rmtree(machine / "maker")
    shutil.rmtree(machine / "learner")
    load_robot.cache_clear()
    (machine / "half").rename(machine / "moved")
    assert_same_run(whole, resume(machine / "moved", workers=2, steps=480))


def test_a_sweep_trains_an_arm_whose_files_the_machines_do_not_have(machine, monkeypatch):
    """The maker's files are not there while the points run, with and without workers. The path is a relative one."""
    maker = machine / "maker" / "example-robot-data" / "robots"
    shutil.copytree(find_robots() / "ur_description", maker / "ur_description")
    robot = {"robot": os.path.relpath(maker / ARMS["ur5"][0], machine), "tool_frame": "tool0", "max_episode_steps": 10}
    config = SweepConfig(
        env=("Reach-v0",), seeds=(0,), steps=160, runs=2, grid=("workers=None,1", "num_envs=8"), worker_cpus=0.5,
        hyper=("n_steps=10", "batch_size=40", "n_epochs=1", "policy_kwargs.net_arch=[8]"), out=str(machine / "plain"),
        env_kwargs={**robot, **FEW["env_kwargs"]}, insecure=True,
    )  # fmt: skip
    plain = sweep(config)
    perform = Calls.perform

    def perform_elsewhere(calls, todo):
        with hidden(machine / "maker"):
            yield from perform(calls, todo)

    monkeypatch.setattr(Calls, "perform", perform_elsewhere)
    there = dataclasses.replace(config, address=import_ray().get_runtime_context().gcs_address, out=str(machine / "there"))
    runs = sweep(there)
    for run, same in zip(runs, plain, strict=True):
        assert_same_run(same, run)
        assert_equal(load_stored(run.path / "robot"), load_stored(same.path / "robot"))
    [received] = (machine / "worker" / "gym_gazebo2" / "received").iterdir()
    assert_equal(load_stored(received), load_stored(runs[0].path / "robot"))
    assert sweep(there) == runs  # nothing is done twice
    # A run that was lost at its very beginning: its configuration has come, and its robot has not.
    for path in runs[0].path.iterdir():
        if path.name != "config.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert_same_run(plain[0], sweep(there)[0])
    shutil.rmtree(machine / "maker")  # runs that have begun need it no more
    absolute = {**there.env_kwargs, "robot": str(maker / ARMS["ur5"][0])}
    config = dataclasses.replace(there, runs=3, env_kwargs=absolute)
    monkeypatch.setattr(Calls, "perform", perform)
    assert [run.read_json("evaluation.json")["runs"] for run in sweep(config)] == [3, 3]


def test_files_that_were_changed_on_the_way_or_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    robot = make_arm("ur5")
    packed = pack_robot(robot)
    folder = unpack_robot(packed)
    assert_equal(load_stored(folder), robot)
    mesh = next(folder.glob("*.stl"))
    mesh.write_bytes(b"")  # as after a full disk
    load_stored_anew(folder)
    assert unpack_robot(packed) == folder and mesh.stat().st_size > 0
    changed = {**packed.files, mesh.name: b"another"}
    with pytest.raises(RobotError, match=f"was sent with the hash {'0' * 64}, but its files have"):
        unpack_robot(PackedRobot("0" * 64, packed.files))
    shutil.rmtree(folder)
    load_stored_anew(folder)
    with pytest.raises(RobotError, match="Send it again"):
        unpack_robot(dataclasses.replace(packed, files=changed))
    for wrong in (PackedRobot("../escape", packed.files), PackedRobot("a", {"../robot.json": b""}), PackedRobot("a", {})):
        with pytest.raises(RobotError, match="Send it again"):
            unpack_robot(wrong)
    assert not list(Path(tmp_path).glob("**/escape"))


def load_stored_anew(folder):
    from gym_gazebo2.robots import stored

    stored._load.cache_clear()
