"""A run keeps its robot: it goes on where the maker's files are changed or gone, and in another place."""

from __future__ import annotations

import dataclasses
import json
import runpy
import shutil
import signal

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from gym_gazebo2.algos import EvaluateConfig, RunFolder, TrainConfig, evaluate, resume, train
from gym_gazebo2.algos.config import from_json, resolve
from gym_gazebo2.algos.export.network import ExportConfig, export
from gym_gazebo2.algos.play.player import PlayConfig, play
from gym_gazebo2.algos.runs.writing import remove_leftovers
from gym_gazebo2.algos.training.callbacks import RunCallback
from gym_gazebo2.errors import InvalidArgumentError, RobotError, WriteError
from gym_gazebo2.options import make_env_robot
from gym_gazebo2.robots import load_robot, load_stored, make_robot, store_robot

from .arms import ARMS, find_robots, make_arm
from .pincer import ROW as PINCER

FEW = {
    "steps": 160, "num_envs": 4, "max_episode_steps": 10, "eval_runs": 2, "eval_every": 40, "progress": "quiet",
    "checkpoint_seconds": 1e-9, "hyperparameters": {"n_steps": 10, "batch_size": 40},
}  # fmt: skip


def assert_equal(a, b):
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype and np.array_equal(x, y), field.name
        elif field.name != "urdf":
            assert x == y, field.name


def forget_the_files(tmp_path, monkeypatch):
    """Remove the maker's files and the cache, and what this process remembers of them."""
    shutil.rmtree(tmp_path / "maker")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    load_robot.cache_clear()


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A UR5 as its maker ships it, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    robots = tmp_path / "maker" / "example-robot-data" / "robots"  # the URDF names this package
    shutil.copytree(find_robots() / "ur_description", robots / "ur_description")
    load_robot.cache_clear()
    yield robots / ARMS["ur5"][0]
    load_robot.cache_clear()


def test_a_run_needs_the_files_of_its_robot_only_at_its_start(places, tmp_path, monkeypatch):
    """After the files are gone and the run has moved, resume gives the same weights, and evaluate the same errors."""
    options = {"env": "Reach-v0", "robot": str(places), "env_kwargs": {"mount_height": 0.4}, **FEW}
    whole = train(TrainConfig(out=str(tmp_path / "whole"), **options))
    before = evaluate(whole.path, EvaluateConfig(runs=2))
    original, count = RunCallback._on_rollout_end, iter(range(9))
    with monkeypatch.context() as patch:
        patch.setattr(RunCallback, "_on_rollout_end", lambda self: cut_off() if next(count) == 2 else original(self))
        with pytest.raises(KeyboardInterrupt):
            train(TrainConfig(out=str(tmp_path / "cut"), **options))
    forget_the_files(tmp_path, monkeypatch)
    for name in ("whole", "cut"):
        (tmp_path / name).rename(tmp_path / f"moved-{name}")
    cut, whole = resume(tmp_path / "moved-cut"), RunFolder.open(tmp_path / "moved-whole")
    weights = PPO.load(cut.model).policy.state_dict()
    for name, expected in PPO.load(whole.model).policy.state_dict().items():
        assert torch.equal(weights[name], expected), name
    after = evaluate(whole.path, EvaluateConfig(runs=2))
    assert after.errors_mm == before.errors_mm and after.mean_reward == before.mean_reward
    play(whole.path, PlayConfig(record=str(tmp_path / "film.gif"), steps=2))
    assert (tmp_path / "film.gif").stat().st_size > 0
    config = whole.read_config()
    worker = from_json(dataclasses.asdict(config))  # as a worker gets it
    assert worker.make_kwargs["robot"] == config.make_kwargs["robot"] == str(whole.path / "robot")
    assert config.robot == str(places)  # the configuration still says where the robot came from
    path, script = export(cut.path, ExportConfig(out=str(tmp_path / "out")))
    about = runpy.run_path(str(script))["Policy"](str(path)).about
    robot = load_stored(cut.path / "robot")
    assert about["home"] == robot.home.tolist() and about["joint_names"] == list(robot.joint_names)
    assert robot.mount_height == 0.4 and robot.name == "ur5_robot"


def cut_off():
    raise KeyboardInterrupt


def test_a_changed_file_does_not_change_the_run(places, tmp_path):
    run = train(TrainConfig(env="Reach-v0", robot=str(places), out=str(tmp_path / "run"), **{**FEW, "steps": 40}))
    before = evaluate(run.path, EvaluateConfig(runs=2))
    places.write_text(places.read_text().replace('xyz="-0.425 0 0"', 'xyz="-0.525 0 0"').replace("0.425", "0.525"))
    load_robot.cache_clear()
    assert evaluate(run.path, EvaluateConfig(runs=2)).errors_mm == before.errors_mm
    other = evaluate(run.path, EvaluateConfig(runs=2, env_kwargs={"robot": str(places)}))
    assert other.errors_mm != before.errors_mm  # another robot is used where it is asked for
    with pytest.raises(InvalidArgumentError, match="mount_height cannot be given with the stored robot .* Give a file"):
        evaluate(run.path, EvaluateConfig(runs=2, env_kwargs={"mount_height": 0.2}))


def test_a_built_in_robot_is_not_stored(tmp_path):
    few = {**FEW, "steps": 40}
    run = train(TrainConfig(env="Reach-v0", env_kwargs={"mount_height": 0.3}, out=str(tmp_path / "run"), **few))
    assert not (run.path / "robot").exists()
    path, script = export(run.path)
    assert len(runpy.run_path(str(script))["Policy"](str(path)).about["home"]) == 6


def test_a_robot_is_a_keyword_like_others(places):
    config = resolve(TrainConfig(env="Reach-v0", env_kwargs={"robot": str(places), "tool_frame": "tool0"}))
    assert config.make_kwargs["robot"] == str(places) and config.make_kwargs["tool_frame"] == "tool0"


@pytest.mark.parametrize("name", ["panda", "ur5", "so101", "talos", "tiago"])
def test_stored_robots_are_equal_to_the_bit(name, tmp_path):
    robot = make_arm(name)
    store_robot(robot, tmp_path / "robot")
    assert_equal(make_robot(str(tmp_path / "robot")), robot)
    assert make_env_robot(str(tmp_path / "robot"), {}) is load_stored(tmp_path / "robot")


def test_a_gripper_is_stored(tmp_path):
    robot = make_robot(PINCER, gripper=True)
    store_robot(robot, tmp_path / "robot")
    assert_equal(load_stored(tmp_path / "robot", gripper=True), robot)
    store_robot(make_robot("ur5e"), tmp_path / "bare")
    with pytest.raises(RobotError, match="stored without a gripper"):
        load_stored(tmp_path / "bare", gripper=True)


def damage_spec(folder):
    about = json.loads((folder / "robot.json").read_text())
    about["spec"]["upper"][0] = 9.0
    (folder / "robot.json").write_text(json.dumps(about))


def damage_mesh(folder):
    path = next(folder.glob("*.stl"))
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES = {
    "was changed": damage_spec,
    "stl was changed": damage_mesh,
    "robot.urdf.* cannot be read": lambda folder: (folder / "robot.urdf").unlink(),
    "is no description of a robot": lambda folder: (folder / "robot.json").write_text("{"),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_damage_is_found(message, tmp_path):
    store_robot(make_arm("ur5"), tmp_path / "robot")
    DAMAGES[message](tmp_path / "robot")
    with pytest.raises(RobotError, match=f"is damaged: .*{message}.*Copy the folder again"):
        load_stored(tmp_path / "robot")


def test_a_stored_robot_names_no_file_of_another_folder(tmp_path):
    """Also where somebody has computed the hashes anew."""
    from gym_gazebo2.robots import stored

    store_robot(make_arm("ur5"), tmp_path / "robot")
    about, urdf = json.loads((tmp_path / "robot" / "robot.json").read_text()), tmp_path / "robot" / "robot.urdf"
    mesh = next(name for name in about["files"] if name.endswith(".stl"))
    urdf.write_text(urdf.read_text().replace(mesh, "/etc/secret.stl"))
    about["files"]["robot.urdf"] = stored._hash(urdf.read_bytes())
    about["sha256"] = stored._hash_all(about["spec"], about["files"])
    (tmp_path / "robot" / "robot.json").write_text(json.dumps(about))
    with pytest.raises(RobotError, match=r"names the files \['/etc/secret.stl'\], which are not part of it"):
        load_stored(tmp_path / "robot")


def test_a_full_disk_leaves_no_part_of_a_robot(tmp_path):
    resource = pytest.importorskip("resource")
    robot, limits = make_arm("ur5"), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails as one to a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(WriteError, match="robot"):
            store_robot(robot, tmp_path / "robot")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_the_part_that_a_killed_process_leaves_is_removed(tmp_path):
    (tmp_path / ".robot.0123abcd").mkdir()
    (tmp_path / ".robot.0123abcd" / "robot.urdf").write_text("")
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
