"""Every episode is recorded, once, whatever interrupts the training; and progress is shown where it can be."""

import dataclasses
import time

import numpy as np
import pytest

from gym_gazebo2.algos import TrainConfig, resume, train
from gym_gazebo2.algos.runs.episodes import FILE_NAME, EpisodeLog, read_episodes
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.training.callbacks import RunCallback
from gym_gazebo2.algos.training.progress import (
    PlainProgress,
    QuietProgress,
    RichProgress,
    SpeedMeter,
    Status,
    format_status,
    make_progress,
)
from gym_gazebo2.errors import RunError, UnknownNameError, WriteError

from .test_full_disk import full_disk
from .test_train import interrupt_after, make_config


def get_rows(run):
    """Return the episodes without their wall times, which no two trainings share."""
    table = dataclasses.asdict(read_episodes(run.path))
    table.pop("wall_s")
    return np.column_stack([*table.pop("measures").values(), *table.values()])


@pytest.mark.parametrize(
    "kwargs",
    [
        {"num_envs": 4},
        {"num_envs": 2, "vec": "dummy", "backend": "fake"},
        {"num_envs": 2, "vec": "subproc", "backend": "fake"},
        {"num_envs": 2, "algo": "sac", "hyperparameters": {"learning_starts": 100, "train_freq": 20}},
        {"num_envs": 2, "algo": "dqn", "hyperparameters": {"learning_starts": 100, "train_freq": 20}},
    ],
    ids=["batched", "dummy", "subproc", "sac", "dqn"],
)
def test_every_episode_is_a_row(tmp_path, kwargs):
    sizes = {"steps": 800, "eval_every": 800, "eval_runs": 2, "hyperparameters": {"batch_size": 100}}
    run = train(make_config(tmp_path / "run", **{**sizes, **kwargs}))
    episodes, arms = read_episodes(run.path), kwargs["num_envs"]
    total = run.read_json("training.json")["train_steps"]
    assert len(episodes) == total // 100 >= 8
    assert np.array_equal(episodes.steps, np.repeat(np.arange(1, len(episodes) // arms + 1) * 100 * arms, arms))
    assert np.all(episodes.length == 100) and np.all(np.diff(episodes.wall_s) >= 0.0) and episodes.wall_s[0] > 0.0
    error = episodes.measures["position_error"]
    assert np.all((error > 0.0) & (error < 2.0)) and len(np.unique(episodes.reward)) > 1
    assert np.array_equal(episodes.success == 1.0, error <= 0.005)
    logged = [row["rollout/ep_rew_mean"] for row in run.read_progress() if "rollout/ep_rew_mean" in row]
    assert logged[-1] == pytest.approx(episodes.reward[-100:].mean(), rel=1e-3)


def test_resuming_neither_doubles_nor_loses_an_episode(tmp_path, monkeypatch):
    whole = train(make_config(tmp_path / "whole", start_noise=0.1))
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(tmp_path / "cut", start_noise=0.1, checkpoint_seconds=1e-9))
    path = tmp_path / "cut" / FILE_NAME
    assert len(path.read_text().splitlines()) == 1 + 4 * 8, "rows after the checkpoint are there to be forgotten"
    with path.open("a") as stream:
        stream.write("3200,1.2")  # killed while it wrote
    cut = resume(tmp_path / "cut")
    assert np.array_equal(get_rows(cut), get_rows(whole)) and len(get_rows(whole)) == 48
    assert np.all(np.diff(read_episodes(cut.path).wall_s) >= 0.0)


def test_an_incomplete_line_is_ignored_and_a_damaged_file_is_an_error(tmp_path):
    log = EpisodeLog(RunFolder(tmp_path), 0, ["position_error"])
    info = {"position_error": 0.25, "is_success": False, "episode": {"r": -1.5, "l": 100}}
    log.collect(np.array([True, False, True]), [info, {}, info], 300, 1.0)
    log.close()
    log.close()
    path = tmp_path / FILE_NAME
    assert read_episodes(tmp_path).measures["position_error"].tolist() == [0.25, 0.25]
    path.write_text(path.read_text()[:-3])
    assert len(read_episodes(tmp_path)) == 1
    assert len(read_episodes(tmp_path / "older run")) == 0
    path.write_text("steps,wall_s\nthree,4\n")
    for read in (lambda: read_episodes(tmp_path), lambda: EpisodeLog(RunFolder(tmp_path), 100)):
        with pytest.raises(RunError, match=r"episodes\.csv is corrupt"):
            read()


def test_an_environment_without_measures_and_success_has_neither(tmp_path):
    log = EpisodeLog(RunFolder(tmp_path), 0)
    log.collect(np.array([True]), [{"episode": {"r": 1.0, "l": 3}}], 3, 0.1)
    log.close()
    episodes = read_episodes(tmp_path)
    assert episodes.measures == {} and np.isnan(episodes.success).all() and episodes.reward.tolist() == [1.0]


def test_a_file_of_the_first_version_is_read_and_continued_in_si_units(tmp_path):
    path = tmp_path / FILE_NAME
    path.write_text("steps,wall_s,reward,length,error_mm,success\n100,0.5,-1.5,100,250,0\n200,0.9,2,100,4,1\n")
    before = read_episodes(tmp_path)
    assert before.measures["position_error"].tolist() == [0.25, 0.004] and before.success.tolist() == [0.0, 1.0]
    log = EpisodeLog(RunFolder(tmp_path), 100, ["position_error"])
    log.collect(np.array([True]), [{"position_error": 0.1, "is_success": False, "episode": {"r": 3.0, "l": 7}}], 207, 1.0)
    log.close()
    after = read_episodes(tmp_path)
    assert after.measures["position_error"].tolist() == [0.25, 0.1] and after.steps.tolist() == [100.0, 207.0]


def test_a_full_disk_is_an_error_with_a_remedy(tmp_path):
    log = EpisodeLog(RunFolder(tmp_path), 0)
    log.collect(np.array([True]), [{"episode": {"r": 1.0, "l": 3}}], 3, 0.1)
    with full_disk(10), pytest.raises(WriteError, match=r"episodes\.csv: File too large. Free disk space."):
        log.flush()
    log.close()


def test_following_costs_at_most_three_percent_of_the_training(tmp_path, monkeypatch):
    spent = {"steps": 0.0, "rollouts": 0.0}

    def measure(name, key):
        original = getattr(RunCallback, name)

        def timed(self):
            start = time.thread_time()
            try:
                return original(self)
            finally:
                spent[key] += time.thread_time() - start

        monkeypatch.setattr(RunCallback, name, timed)

    measure("_on_step", "steps")
    measure("_on_rollout_end", "rollouts")
    start = time.thread_time()
    train(make_config(tmp_path / "run", num_envs=64, steps=38_400, progress="plain", eval_every=10**9, eval_runs=2))
    total = time.thread_time() - start
    assert 0.0 < spent["steps"] + spent["rollouts"] < 0.03 * total


STATUS = Status("SCARA-v0 ppo seed 0", 250, 1_000, 5.0, 50.0, -1.5, ("tool error 0.250 mm",), 0.5)


def test_a_status_shows_every_known_figure():
    line = format_status(STATUS)
    for part in (
        "25% of 1,000 steps",
        "0:00:05",
        "0:00:15 left",
        "reward -1.500",
        "tool error 0.250 mm",
        "success 50%",
        "50 steps/s",
    ):
        assert part in line
    assert format_status(Status("id", 0, 10, 0.0)) == "id    0% of 10 steps  0:00:00"


def test_the_speed_is_that_of_the_last_seconds():
    meter = SpeedMeter()
    assert meter.measure(0.0, 0) is None and meter.measure(1.0, 100) == 100.0
    for second in range(2, 60):
        speed = meter.measure(float(second), 100 + 10 * (second - 1))
    assert speed == pytest.approx(10.0)


def test_modes(capsys, monkeypatch):
    assert isinstance(make_progress("auto"), PlainProgress), "pytest's standard error is no terminal"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(make_progress("auto"), RichProgress)
    for mode, kind in (("quiet", QuietProgress), ("plain", PlainProgress), ("rich", RichProgress)):
        progress = make_progress(mode)
        assert type(progress) is kind
        progress.start()
        progress.update(STATUS)
        progress.update(STATUS, is_milestone=True)
        progress.stop()
        progress.stop()
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.count("tool error 0.250 mm") == {"quiet": 0, "plain": 1}.get(
            mode, shown.err.count("left")
        )
        assert (shown.err == "") == (mode == "quiet")
    with pytest.raises(UnknownNameError, match="Did you mean 'plain'"):
        TrainConfig(progress="plan")


def test_a_configuration_from_before_the_modes_is_read():
    assert TrainConfig(progress=True).progress == "auto" and TrainConfig(progress=False).progress == "quiet"
    with pytest.raises(UnknownNameError, match="progress mode 'loud'"):
        TrainConfig(progress="loud")


def test_training_in_a_log_prints_lines(tmp_path, capsys):
    train(make_config(tmp_path / "run", steps=1_600, progress="auto"))
    lines = capsys.readouterr().err.splitlines()
    assert "0% of 1,600 steps" in lines[0] and "100% of 1,600 steps" in lines[-1]
    assert all("tool error" in line and "\x1b" not in line for line in lines)
