"""Sizes that do not fit into memory are refused at once, with the estimate and a value that fits."""

import gymnasium as gym
import pytest

from gym_gazebo2 import memory
from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, make_vec_env, train
from gym_gazebo2.cli import main
from gym_gazebo2.errors import InvalidArgumentError

HUGE = 10**8


def make_config(out, **kwargs):
    sizes = {"num_envs": 2, "steps": 400, "eval_runs": 2, "hyperparameters": {"batch_size": 100}}
    return TrainConfig(env="SCARA-v0", progress="quiet", out=str(out), **{**sizes, **kwargs})


def test_what_is_available_is_known_here():
    available = memory.get_available_bytes()
    assert available is not None and 10**8 < available < 10**14


@pytest.mark.parametrize(("count", "text"), [(5.7e9, "5.7 GB"), (1.25e12, "1.2 TB"), (3e8, "300 MB")])
def test_sizes_are_shown_in_a_unit_that_keeps_them_short(count, text):
    assert memory.format_bytes(count) == text


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"num_envs": HUGE}, "num_envs"),
        ({"num_envs": HUGE, "vec": "dummy"}, "num_envs"),
        ({"num_envs": 10**6, "vec": "subproc"}, "num_envs"),
        ({"hyperparameters": {"n_steps": 10**10, "batch_size": 100}}, "n_steps"),
        ({"algo": "sac", "hyperparameters": {"buffer_size": 10**10}}, "buffer_size"),
        ({"num_layers": 2, "num_hidden": 10**6}, "num_hidden"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_training_that_does_not_fit_is_refused_before_it_leaves_anything(tmp_path, kwargs, name):
    with pytest.raises(InvalidArgumentError, match=rf"^{name}=\d+ needs about .*B of memory for .*are available. Use at most"):
        train(make_config(tmp_path / "run", **kwargs))
    assert not (tmp_path / "run").exists()


def test_a_value_that_fits_is_named(monkeypatch):
    monkeypatch.setattr(memory, "get_available_bytes", lambda: 10**9)
    with pytest.raises(
        InvalidArgumentError, match=r"num_envs=200000 .* 1\.2 GB .* 1\.0 GB are available. Use at most 133333\."
    ):
        gym.make_vec("SCARA-v0", num_envs=200_000, backend="fake")
    monkeypatch.setattr(memory, "get_available_bytes", lambda: None)
    memory.check_memory("num_envs", HUGE, 1e6, "anything")  # nothing is refused where nothing is known


def test_environments_and_evaluations_are_checked_too(tmp_path):
    for make in (lambda: gym.make_vec("MARA-v0", num_envs=HUGE), lambda: make_vec_env("MARA-v0", HUGE)):
        with pytest.raises(InvalidArgumentError, match=f"num_envs={HUGE}"):
            make()
    run = train(make_config(tmp_path / "run"))
    with pytest.raises(InvalidArgumentError, match=f"runs={HUGE}"):
        evaluate(run.path, EvaluateConfig(runs=HUGE))


def test_a_limit_of_a_container_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("1000000000\n")
    (tmp_path / "memory.current").write_text("400000000\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.get_available_bytes() == 600_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.get_available_bytes() > 600_000_000


def test_the_command_ends_in_a_sentence(tmp_path, capsys):
    assert main(["train", "--env", "MARA-v0", "--num-envs", str(HUGE), "--out", str(tmp_path / "run")]) == 2
    shown = capsys.readouterr().err
    assert f"num_envs={HUGE} needs about 600.0 GB of memory" in shown and "Traceback" not in shown
    assert not (tmp_path / "run").exists()
