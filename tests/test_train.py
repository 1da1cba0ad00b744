"""Training learns, can be interrupted, and refuses what cannot work."""

import base64
import contextlib
import dataclasses
import io
import json
import os
import pickle
import shutil
import zipfile
from importlib import metadata

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, resume, train
from gym_gazebo2.algos.config import ResolvedConfig, from_json, resolve
from gym_gazebo2.algos.presets import PRESETS
from gym_gazebo2.algos.report import ReportConfig, write_report
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.runs.writing import write_atomically
from gym_gazebo2.algos.training.callbacks import RunCallback
from gym_gazebo2.backends import BACKENDS, Backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.errors import GymGazebo2Error, RunError
from gym_gazebo2.registration import ENVIRONMENTS

SHORT = {"num_envs": 8, "steps": 4_800, "hyperparameters": {"batch_size": 400}, "progress": False, "eval_runs": 4}


def make_config(path, **kwargs):
    return TrainConfig(**{"env": "SCARA-v0", "out": str(path), **SHORT, **kwargs})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training, whole."""
    return train(make_config(tmp_path_factory.mktemp("train") / "run"))


def test_ppo_learns_scara_to_under_5_mm(tmp_path):
    run = train(TrainConfig(env="SCARA-v0", steps=120_000, out=str(tmp_path / "run"), progress=False))
    result = evaluate(run.path, EvaluateConfig(runs=30))
    assert result.accuracy_rms_mm < 5.0 and result.success_rate > 0.9
    assert run.read_json("curve.json")["evaluations"][0]["position_error"] > 0.05


def test_run_folder_holds_what_is_promised(run):
    names = {path.name for path in run.path.iterdir()}
    assert names >= {"config.json", "progress.csv", "model.zip", "best_model.zip", "training.json"}
    assert any(name.startswith("events.out.tfevents") for name in names)
    config = run.read_json("config.json")
    assert config["arguments"]["seed"] == 0 and config["versions"]["torch"] == metadata.version("torch")
    rows = run.read_progress()
    assert [row["time/total_timesteps"] for row in rows] == [800 * k for k in range(1, 7)]
    assert {"rollout/ep_rew_mean", "train/approx_kl", "eval/position_error"} <= set(rows[-1])
    assert run.read_json("training.json")["train_steps"] == 4_800


def interrupt_after(monkeypatch, rollouts):
    original, count = RunCallback._on_rollout_end, 0

    def stop(self):
        nonlocal count
        count += 1
        if count == rollouts:
            raise KeyboardInterrupt
        original(self)

    monkeypatch.setattr(RunCallback, "_on_rollout_end", stop)


@pytest.mark.parametrize("normalize", [True, False])
def test_an_interrupted_run_resumes_to_the_same_result(tmp_path, monkeypatch, normalize):
    whole = train(make_config(tmp_path / "whole", normalize=normalize, start_noise=0.1))
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(tmp_path / "cut", normalize=normalize, start_noise=0.1, checkpoint_seconds=1e-9))
    np.random.seed(1)
    torch.manual_seed(1)
    cut = resume(tmp_path / "cut")
    for name, weights in PPO.load(whole.model).policy.state_dict().items():
        assert torch.equal(weights, PPO.load(cut.model).policy.state_dict()[name]), name
    columns = {"rollout/ep_rew_mean", "train/approx_kl", "train/value_loss", "eval/position_error"}
    for a, b in zip(whole.read_progress(), cut.read_progress(), strict=True):
        assert a.keys() == b.keys()
        for column in a.keys() & columns:
            assert a[column] == pytest.approx(b[column], rel=1e-6), column
    assert [row["position_error"] for row in whole.read_json("curve.json")["evaluations"]] == [
        row["position_error"] for row in cut.read_json("curve.json")["evaluations"]
    ]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kwargs", [{"vec": "dummy"}, {"backend": "forgetful"}])
def test_a_run_whose_arms_cannot_be_saved_goes_on_with_new_episodes(tmp_path, monkeypatch, kwargs, normalize):
    monkeypatch.setitem(BACKENDS, "forgetful", Forgetful)
    sizes = {"num_envs": 2, "steps": 1200, "hyperparameters": {"batch_size": 100}, "checkpoint_seconds": 1e-9}
    config = make_config(tmp_path / "run", **sizes, normalize=normalize, start_noise=0.1, **kwargs)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    saved = int(max((tmp_path / "run" / "checkpoints").glob("*.zip")).stem)
    before = [row for row in RunFolder(tmp_path / "run").read_progress() if row["time/total_timesteps"] <= saved]
    with pytest.warns(UserWarning, match="cannot be saved.*new episodes"):
        run = resume(tmp_path / "run")
    rows = run.read_progress()
    assert [row["time/total_timesteps"] for row in rows] == [200 * k for k in range(1, 7)]
    assert [row["train/n_updates"] for row in rows[1:]] == [10 * k for k in range(1, 6)]
    assert rows[: len(before)] == before


class Forgetful(FakeBackend):
    """An arm whose state cannot be saved, like one in another process."""

    get_state = Backend.get_state


def test_files_come_in_an_order_that_a_crash_may_cut(tmp_path, monkeypatch):
    """Model.zip says that a run is finished, so it must not be there before training.json is."""
    with monkeypatch.context() as patch:
        interrupt_after(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(tmp_path / "run", checkpoint_seconds=1e-9))
    (tmp_path / "run" / "training.json").mkdir()
    with pytest.raises(RunError, match=r"Cannot write .*training\.json"):
        resume(tmp_path / "run")
    assert not (tmp_path / "run" / "model.zip").exists()
    (tmp_path / "run" / "training.json").rmdir()
    assert evaluate(resume(tmp_path / "run").path, EvaluateConfig(runs=2)).train_steps == 4_800


def read_columns(run):
    return (run.path / "progress.csv").read_text().splitlines()[0].split(",")


def test_equal_runs_write_equal_logs_but_for_times(run, tmp_path):
    again = train(make_config(tmp_path / "again"))
    assert read_columns(run) == read_columns(again)
    for a, b in zip(run.read_progress(), again.read_progress(), strict=True):
        assert {k: v for k, v in a.items() if k[:5] != "time/"} == {k: v for k, v in b.items() if k[:5] != "time/"}
    first = [name for name in read_columns(run) if name in run.read_progress()[0]]
    rest = [name for name in read_columns(run) if name not in first]
    assert read_columns(run) == sorted(first) + sorted(rest) and rest


def test_same_seed_same_weights_other_seed_others(tmp_path, run):
    again = train(make_config(tmp_path / "again"))
    other = train(make_config(tmp_path / "other", seed=1))
    states = [PPO.load(r.model).policy.state_dict() for r in (run, again, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_resuming_a_finished_run_does_nothing(run):
    before = run.model.stat().st_mtime_ns
    assert resume(run.path).path == run.path and run.model.stat().st_mtime_ns == before


def test_training_stops_where_asked(tmp_path):
    by_reward = train(make_config(tmp_path / "reward", stop_reward=-1e9))
    summary = by_reward.read_json("training.json")
    assert "mean reward" in summary["stopped_by"] and by_reward.read_target()[1] == 800
    assert 0.0 < evaluate(by_reward.path, EvaluateConfig(runs=2)).time_to_target_s <= summary["train_wall_s"]
    write_report(by_reward.path, ReportConfig(video=False))
    assert "to mean reward -1e+09, wall time" in (by_reward.path / "report.html").read_text()
    by_error = train(make_config(tmp_path / "error", stop_error_mm=1e6, target_error_mm=1e6))
    summary = by_error.read_json("training.json")
    assert "tool error" in summary["stopped_by"] and by_error.read_target()[1] == 0 and summary["train_steps"] < 4_800
    assert evaluate(by_error.path, EvaluateConfig(runs=2)).time_to_target_s >= 0


@pytest.mark.parametrize("vec", ["dummy", "subproc"])
def test_training_in_workers_and_on_the_fake_backend(tmp_path, vec):
    run = train(
        make_config(tmp_path / "run", vec=vec, backend="fake", num_envs=2, steps=400, hyperparameters={"batch_size": 100})
    )
    assert evaluate(run.path, EvaluateConfig(runs=2, backend="mujoco")).backend == "mujoco"


def test_every_id_has_a_preset_that_trains(tmp_path):
    assert set(PRESETS) == set(ENVIRONMENTS)
    for env_id in ENVIRONMENTS:
        # The variants of panda-gym's tasks have the settings of the task itself.
        if "Camera" in env_id or (env_id.startswith("PandaGym") and ("Joints" in env_id or "Dense" in env_id)):
            continue
        steps = 200 if env_id != "MARA-v0" else 400
        run = train(TrainConfig(env=env_id, num_envs=2, steps=steps, out=str(tmp_path / env_id), progress=False, eval_runs=2,
                                backend="mujoco", hyperparameters={"n_steps": 50, "batch_size": 50}))  # fmt: skip
        assert run.model.is_file()


def test_images_can_be_trained_on(tmp_path):
    hyperparameters = {"n_steps": 10, "batch_size": 10, "n_epochs": 1}
    sizes = {"num_envs": 1, "steps": 20, "max_episode_steps": 5, "eval_runs": 2}
    run = train(make_config(tmp_path / "run", env="MARACamera-v0", hyperparameters=hyperparameters, **sizes))
    assert evaluate(run.path, EvaluateConfig(runs=2)).runs == 2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"env": "SCRA-v0"}, "Did you mean 'SCARA-v0'"),
        ({"algo": "pppo"}, "Did you mean 'ppo'"),
        ({"control": "velocity"}, "Available: delta, measured_joints, measured_tool, position"),
        ({"vec": "threads"}, "Available: batched"),
        ({"steps": 0}, "steps is 0, expected a whole number of at least 1"),
        ({"steps": -5}, "steps is -5"),
        ({"seed": -1}, "seed is -1"),
        ({"num_envs": 0}, "num_envs is 0"),
        ({"num_envs": 2.5}, "num_envs is 2.5"),
        ({"num_envs": True}, "num_envs is True"),
        ({"max_episode_steps": 2.5}, "max_episode_steps is 2.5, expected a whole number"),
        ({"seed": 2**32 - 8}, "seed is 4294967288, expected a whole number from 0 to 4294967287"),
        ({"stop_error_mm": 0.0}, "stop_error_mm"),
        ({"stop_reward": float("nan")}, "stop_reward is nan, expected a finite number"),
        ({"control_dt": 0.0}, "control_dt is 0.0, expected a positive number"),
        ({"control_dt": "fast"}, "control_dt is 'fast', expected a positive number"),
        ({"start_noise": -0.1}, "start_noise"),
        ({"out": 3}, "out is 3, expected the path"),
        ({"backend": 3}, "backend is 3, expected the name of a backend: fake, gazebo, gz_sim, mujoco"),
        ({"hyperparameters": [1]}, "hyperparameters is"),
        ({"hyperparameters": {"policy_kwargs": {"activation_fn": print}}}, "JSON"),
        ({"backend": "bullet"}, "Available: fake, gazebo, gz_sim, mujoco"),
        (
            {"backend": "ros2"},
            "^Cannot train on backend 'ros2': .*same arm. Train on mujoco or gazebo, then run `gym-",
        ),
        ({"env": "MARAReal-v0"}, "^Cannot train on backend 'ros2'"),
        ({"env_kwargs": {"start_noice": 0.1}}, "no keyword of SCARA-v0 'start_noice'. Did you mean 'start_noise'"),
        ({"env_kwargs": {"num_envs": 3}}, "Cannot set the keyword num_envs of SCARA-v0: --num-envs sets it"),
        ({"env_kwargs": {"task": "mara_reach"}}, "Cannot set the keyword task of SCARA-v0: the id fixes it"),
        ({"env_kwargs": {"control": "position"}, "control": "delta"}, "control is given twice: as 'delta', and as 'position'"),
        ({"env_kwargs": {"start_noise": -1}}, "start_noise is -1"),
        ({"env_kwargs": [1]}, r"env_kwargs is \[1\]"),
        ({"hyperparameters": {"policy_kwargs": None}}, "policy_kwargs is None, expected a dictionary"),
        ({"hyperparameters": {"use_sde": "yes"}}, "use_sde is 'yes', expected true or false"),
        ({"control_dt": 0.013}, "control_dt"),
        ({"hyperparameters": {"n_stpes": 10}}, "There is no hyperparameter of ppo 'n_stpes'. Did you mean 'n_steps'"),
        ({"hyperparameters": {"learning_rate": "lin_fast"}}, "lin_"),
        ({"hyperparameters": {"learning_rate": "lin_-1"}}, "learning_rate is -1.0, expected a positive number"),
        ({"hyperparameters": {"learning_rate": "lin_nan"}}, "learning_rate is"),
        ({"hyperparameters": {"n_epochs": -1}}, "n_epochs is -1, expected a whole number of at least 1"),
        ({"hyperparameters": {"n_epochs": None}}, "n_epochs is None"),
        ({"hyperparameters": {"batch_size": 0, "normalize_advantage": False}}, "batch_size is 0"),
        ({"hyperparameters": {"batch_size": 2.5}}, "batch_size is 2.5"),
        ({"hyperparameters": {"n_steps": 0}}, "n_steps is 0"),
        ({"hyperparameters": {"stats_window_size": -1}}, "stats_window_size is -1"),
        ({"hyperparameters": {"gamma": 1.5}}, "gamma is 1.5, expected a number from 0 to 1"),
        ({"hyperparameters": {"vf_coef": "big"}}, "vf_coef"),
        ({"hyperparameters": {"policy_kwargs": {"net_arch": [-1]}}}, "PPO rejects hyperparameters of ppo .*net_arch"),
        ({"hyperparameters": {"policy_kwargs": {"net_arch": 5}}}, "hyperparameters of ppo"),
    ],
)
def test_bad_configurations(tmp_path, kwargs, message):
    with pytest.raises(ValueError, match=message):
        train(make_config(tmp_path / "run", **kwargs))
    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_and_paths_are_stored_plain(tmp_path):
    given = {"seed": np.int64(3), "num_envs": np.int32(2), "max_episode_steps": np.int64(10), "out": tmp_path / "run"}
    given |= {"control_dt": np.float32(0.1), "start_noise": np.float64(0.2), "stop_reward": 5}
    config = TrainConfig(env="SCARA-v0", **given, hyperparameters={"gamma": np.float32(0.5), "n_steps": np.int64(10)})
    same = TrainConfig(env="SCARA-v0", seed=3, num_envs=2, max_episode_steps=10, control_dt=0.1, start_noise=0.2,
                       stop_reward=5.0, out=str(tmp_path / "run"), hyperparameters={"gamma": 0.5, "n_steps": 10})  # fmt: skip
    assert repr(config) == repr(same) == repr(TrainConfig(**json.loads(json.dumps(dataclasses.asdict(config)))))


def test_a_folder_that_exists_is_not_touched(run, tmp_path):
    with pytest.raises(RunError, match=r"exists already.*gym-gazebo2 resume .*--out"):
        train(make_config(run.path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(RunError, match="exists already"):
        train(make_config(tmp_path / "mine"))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot write.*--out"):
        train(make_config(tmp_path / "file" / "run"))


def test_incomplete_run_and_corrupt_files(run, tmp_path):
    with pytest.raises(RunError, match=r"not a run folder.*gym-gazebo2 train --out"):
        evaluate(tmp_path)
    part = tmp_path / "part"
    part.mkdir()
    (part / "config.json").write_text((run.path / "config.json").read_text())
    with pytest.raises(RunError, match="incomplete.*gym-gazebo2 resume"):
        evaluate(part)
    (part / "training.json").write_text((run.path / "training.json").read_text())
    with pytest.raises(RunError, match="does not exist"):
        evaluate(part)
    for content in (b"no zip", run.model.read_bytes()[:5000]):
        (part / "model.zip").write_bytes(content)
        with pytest.raises(RunError, match="corrupt, or not a model"):
            evaluate(part)
    (part / "config.json").write_text("{")
    with pytest.raises(RunError, match="corrupt"):
        resume(part)
    (part / "config.json").write_text("{}")
    with pytest.raises(RunError, match="config.json is corrupt: it has no 'arguments'"):
        resume(part)


def test_rewards_may_be_normalised_alone(tmp_path):
    for alone in (
        TrainConfig("SCARA-v0", normalize=False, normalize_reward=True),
        TrainConfig("MARA-v0", normalize_reward=True),
    ):
        config = resolve(alone)  # MARA's preset normalises nothing
        assert (config.normalize, config.normalize_reward) == (False, True)
        assert from_json(json.loads(json.dumps(dataclasses.asdict(config)))) == config
    (tmp_path / "zoo.yml").write_text("default: {normalize: true}")
    for zoo in (None, str(tmp_path / "zoo.yml")):
        assert not resolve(TrainConfig("SCARA-v0", normalize=False, zoo=zoo)).normalize_reward, "the preset's alone"
    old = dataclasses.asdict(resolve(TrainConfig("SCARA-v0", normalize=False))) | {"normalize_reward": True}
    old.pop("start_from")
    assert not from_json(old).normalize_reward, "what an older version wrote is still read"


ALWAYS = {"steps", "num_envs", "eval_runs", "eval_every", "normalize"}
"""Fields that the configuration of every run has had."""


@pytest.mark.parametrize("name", sorted({field.name for field in dataclasses.fields(ResolvedConfig)} - {"stored_robot"}))
def test_a_configuration_of_an_older_version_lacks_a_field(run, tmp_path, name):
    """Then it has its default, in ``config.json`` and in the model file alike."""

    def forget(entry, content):
        if entry != "config.json":
            return content
        about = json.loads(content)
        del about["arguments"][name]
        return json.dumps(about).encode()

    part = copy_run(run, tmp_path / "part", forget)
    (part / "config.json").write_bytes(forget("config.json", (run.path / "config.json").read_bytes()))
    if name in ALWAYS:
        with pytest.raises(RunError, match=f"The configuration has no {name}, which every training writes"):
            resume(part)
        return
    config = RunFolder(part).read_config()
    assert config == read_model_file(part / "model.zip").config
    default = next(field.default for field in dataclasses.fields(TrainConfig) if field.name == name)
    first_version = {"vec": "batched", "backend": "mujoco", "control": "delta", "control_dt": 0.05}
    plain = {
        "hyperparameters": {},
        "env_kwargs": {},
        "normalize_reward": config.normalize,
        "reward_scale": 1.0,
        **first_version,
    }
    assert getattr(config, name) == plain.get(name, default)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"normalise": True}, "no field of a configuration 'normalise'. Did you mean 'normalize'"),
        ({"steps": "many"}, "steps is 'many'"),
        ({"hyperparameters": 3}, "hyperparameters is 3"),
        ({"env": None}, "environment id None"),
        ({"env": ["MARA-v0"]}, "environment id"),
    ],
)
def test_a_configuration_that_is_none_says_which_field(run, tmp_path, change, says):
    content = run.read_json("config.json")
    content["arguments"] |= change
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=f"config.json is not the configuration of a run of this version: .*{says}"):
        resume(tmp_path)


DAMAGES = {
    "[]": r"training\.json is corrupt: it holds \[\], expected an object",
    "{}": r"training\.json is corrupt: it has no 'train_wall_s'\. Its fields are: none",
    '{"train_wall_s": null}': "its 'train_wall_s' is None, which is not valid",
    '{"train_wall_s": 1.0, "train_steps": "many"}': "its 'train_steps' is 'many', which is not valid",
}


@pytest.mark.parametrize("content", DAMAGES)
def test_a_damaged_training_json_says_what_is_wrong_with_it(run, tmp_path, content):
    other = copy_run(run, tmp_path / "other", lambda name, content: content)
    (other / "training.json").write_text(content)
    with pytest.raises(RunError, match=DAMAGES[content]):
        evaluate(other)
    assert not (other / "evaluation.json").exists()


@pytest.mark.parametrize("curve", ["null", "{}", "[3]", '[{"steps": 0, "error_mm": null, "reward": 1}]'])
def test_a_damaged_curve_or_evaluation_says_what_is_wrong_with_it(run, tmp_path, curve):
    other = copy_run(run, tmp_path / "other", lambda name, content: content)
    evaluate(other, EvaluateConfig(runs=2))
    (other / "curve.json").write_text(f'{{"evaluations": {curve}}}')
    with pytest.raises(RunError, match=r"curve\.json is corrupt: its 'evaluations' is "):
        write_report(other)
    (other / "curve.json").write_text('{"evaluations": [], "time_to_target_s": "soon", "steps_to_target": 3}')
    with pytest.raises(RunError, match=r"curve\.json is corrupt: its 'time_to_target_s' is 'soon'"):
        write_report(other)
    (other / "curve.json").unlink()
    (other / "progress.csv").write_text("garbage\nmore,of it\n")
    with pytest.raises(RunError, match=r"progress\.csv is corrupt"):
        write_report(other)
    (other / "progress.csv").unlink()
    (other / "evaluation.json").write_text("{}")
    with pytest.raises(RunError, match=r"evaluation\.json is corrupt: it has no 'success_rate'"):
        write_report(other)


def test_the_report_shows_the_model_that_was_evaluated(run, tmp_path):
    """With the last model gone only the best one can be what the picture shows."""
    other = copy_run(run, tmp_path / "other", lambda name, content: content)
    (other / "model.zip").rename(other / "best_model.zip")
    assert evaluate(other, EvaluateConfig(runs=2, model="best_model")).model == "best_model"
    assert other / "arm.png" in write_report(other)
    assert "ppo (best_model), 2 runs" in (other / "report.html").read_text()


def test_a_json_that_cannot_be_written_is_the_options_fault(run, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "result.json", tmp_path):
        with pytest.raises(RunError, match=f"Cannot write {path}: .*--json"):
            evaluate(run.path, EvaluateConfig(runs=2), json=path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_have_the_mode_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "private", b"x")
        os.umask(0o022)
        write_atomically(tmp_path / "public", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "public").stat().st_mode & 0o777 == 0o644


def damage(path, name):
    """Replace one entry of a zip by garbage."""
    with zipfile.ZipFile(path) as source:
        contents = {entry: source.read(entry) for entry in source.namelist()}
    with zipfile.ZipFile(path, "w") as target:
        for entry, content in contents.items():
            target.writestr(entry, b'{"num_timesteps": 1}' if entry == name else content)


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A training that was cut off between its fourth and fifth iteration."""
    path = tmp_path_factory.mktemp("cut") / "run"
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(path, checkpoint_seconds=1e-9))
    return path


@pytest.mark.parametrize("what", ["half", "state.json", "environments.npz", "model.npz", "tensors.pth", "torch_random.pth"])
def test_a_corrupt_checkpoint_falls_back_to_the_one_before(cut, run, tmp_path, what):
    part = shutil.copytree(cut, tmp_path / "part")
    newest, older = sorted((part / "checkpoints").glob("*.zip"))[:-3:-1]
    if what == "half":
        newest.write_bytes(newest.read_bytes()[:1000])
    else:
        damage(newest, what)
    with pytest.warns(UserWarning, match=rf"{newest.name} is corrupt: .* Going on from the older .*{older.name}"):
        resumed = resume(part)
    for name, weights in PPO.load(run.model).policy.state_dict().items():
        assert torch.equal(weights, PPO.load(resumed.model).policy.state_dict()[name]), name


def test_checkpoints_that_are_all_corrupt_name_themselves(cut, tmp_path):
    part = shutil.copytree(cut, tmp_path / "part")
    for path in (part / "checkpoints").glob("*.zip"):
        path.write_bytes(b"half")
    with pytest.raises(RunError, match=r"000000002400\.zip is corrupt.*000000001600\.zip is corrupt.*to start anew"):
        resume(part)


def copy_run(run, path, change):
    """Copy a run, with each entry of its model file changed by a function of its name and content."""
    path.mkdir()
    for name in ("config.json", "training.json"):
        (path / name).write_text((run.path / name).read_text())
    with zipfile.ZipFile(run.model) as source, zipfile.ZipFile(path / "model.zip", "w") as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return path


def test_model_of_another_id_does_not_fit(run, tmp_path):
    other = copy_run(run, tmp_path / "other", lambda name, content: content.replace(b"SCARA-v0", b"MARA-v0"))
    with pytest.raises(RunError, match="trained on MARA-v0 with ppo, but the run's config.json names SCARA-v0"):
        evaluate(other)


def test_a_row_that_was_cut_off_is_no_row(run, tmp_path):
    text = (run.path / "progress.csv").read_text()
    (tmp_path / "progress.csv").write_text(text[: text.rindex("\n", 0, -1) + 5])
    assert RunFolder(tmp_path).read_progress() == run.read_progress()[:-1]


def test_weights_that_are_none_are_corrupt(run, tmp_path):
    other = copy_run(run, tmp_path / "other", lambda name, content: b"garbage" if name == "policy.pth" else content)
    with pytest.raises(RunError, match="corrupt, or not a model"):
        evaluate(other)


def test_loading_executes_nothing_from_the_file(run, tmp_path):
    """The pickled entry that SB3 writes may hold anything: it is never opened."""
    other = copy_run(run, tmp_path / "other", lambda name, content: b"not json at all" if name == "data" else content)
    assert evaluate(other).accuracy_rms_mm == evaluate(run.path).accuracy_rms_mm


class Bomb:
    """What a pickle runs when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("entry", ["policy.pth", "normalization.npz", "data"])
def test_a_malicious_model_file_runs_nothing(run, tmp_path, entry):
    """A command in every place where a pickle could stand; stable-baselines3's own load runs the one in ``data``."""
    mark, content = tmp_path / "mark", io.BytesIO()
    if entry == "policy.pth":
        torch.save({"bomb": Bomb(mark)}, content)
    elif entry == "normalization.npz":
        np.savez(content, **{"mean.": np.array([Bomb(mark)], dtype=object)})
    else:
        encoded = base64.b64encode(pickle.dumps(Bomb(mark))).decode()
        content.write(json.dumps({"policy_class": {":type:": "<class>", ":serialized:": encoded}}).encode())
    other = copy_run(run, tmp_path / "other", lambda name, old: content.getvalue() if name == entry else old)
    if entry == "data":
        assert evaluate(other, EvaluateConfig(runs=2)).runs == 2
    else:
        with pytest.raises(RunError, match=r"model\.zip is corrupt, or not a model file of gym-gazebo2"):
            evaluate(other, EvaluateConfig(runs=2))
    assert not mark.exists()
    if entry == "data":  # the bomb would go off
        with contextlib.suppress(Exception):
            PPO.load(other / "model.zip")
        assert mark.exists()


def test_evaluation_file_and_best_model(run, tmp_path):
    result = evaluate(run.path, EvaluateConfig(runs=5, model="best_model"), json=tmp_path / "result.json")
    content = json.loads((tmp_path / "result.json").read_text())
    assert content == dataclasses.asdict(result) == run.read_json("evaluation.json")
    keys = ["success_rate", "accuracy_rms_mm", "repeatability_rms_mm", "iso9283_ap_mm", "iso9283_rp_mm"]
    assert {*keys, "runs", "train_wall_s", "train_steps", "time_to_target_s"} <= set(content) and content["runs"] == 5


@pytest.mark.parametrize("kwargs", [{"runs": 1}, {"runs": 0}, {"seed": -1}, {"model": "last"}])
def test_bad_evaluations(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        EvaluateConfig(**kwargs)


def test_default_folder_names_id_algorithm_and_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunFolder.create(resolve(TrainConfig(env="SCARA-v0", seed=7)))
    assert run.path.parts[:3] == ("runs", "SCARA-v0", "ppo") and run.path.name.endswith("-seed7")
    assert isinstance(run.read_config(), TrainConfig)
    with pytest.raises(GymGazebo2Error):
        RunFolder.open(tmp_path)
