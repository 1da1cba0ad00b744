"""What a run and a sweep cost: the time for which machines were held, times their prices."""

import dataclasses
import json
import socket
import time
from contextlib import closing

import numpy as np
import pytest

from gym_gazebo2.algos import TrainConfig, resume, train
from gym_gazebo2.algos.distributed.node_types import find_machines, list_types
from gym_gazebo2.algos.distributed.session import RaySession
from gym_gazebo2.algos.report import CompareConfig, ReportConfig, compare, write_report
from gym_gazebo2.algos.report.run_data import read_run
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.machines import (
    Holding,
    MachineLog,
    compute_cost,
    count_hours,
    merge_holdings,
    read_holdings,
)
from gym_gazebo2.algos.settings.prices import DEFAULT, describe_prices, read_prices
from gym_gazebo2.algos.sweep.runner import SweepConfig, sweep
from gym_gazebo2.cli import load_command, main
from gym_gazebo2.errors import InvalidArgumentError, RunError

from .test_compare import read_rows

TINY = {"env": "SCARA-v0", "num_envs": 16, "max_episode_steps": 10, "steps": 640, "eval_every": 320, "eval_runs": 2,
        "hyperparameters": {"n_steps": 10, "batch_size": 80, "policy_kwargs": {"net_arch": [8]}},
        "progress": "quiet"}  # fmt: skip
HERE = socket.gethostname()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (0.134, {DEFAULT: 0.134}),
        (0, {DEFAULT: 0.0}),
        ("0.134", {DEFAULT: 0.134}),
        ("small=0.05,big=0.2", {"small": 0.05, "big": 0.2}),
        ("0.1, big=0.2", {DEFAULT: 0.1, "big": 0.2}),
        ({"a": np.float64(0.5)}, {"a": 0.5}),
        ({}, None),
    ],
)
def test_prices_are_read(given, expected):
    assert read_prices("price_per_hour", given) == expected


@pytest.mark.parametrize("bad", [-1, "-1", "small=-1", "inf", "nan", "cheap", "small=", "=1", "a=1,", True, ["1"]])
def test_prices_that_cannot_be(bad):
    with pytest.raises(InvalidArgumentError, match=r"^price_per_hour is .*, expected a (finite )?price"):
        TrainConfig(price_per_hour=bad)


def test_prices_are_shown():
    assert describe_prices({DEFAULT: 0.134}) == "0.134 per hour"
    assert describe_prices({"small": 0.05, DEFAULT: 0.1}) == "small 0.05, 0.1 per hour"


def test_each_moment_of_a_machine_counts_once():
    """Against counting on a grid of tenths of a second."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        starts, lengths = rng.integers(0, 500, 8), rng.integers(1, 200, 8)
        hosts = rng.choice(["a", "b"], 8)
        rows = list(zip(hosts.tolist(), starts.tolist(), lengths.tolist(), strict=True))
        held = [Holding(host, "", start / 10, (start + length) / 10) for host, start, length in rows]
        moments = {(host, moment) for host, start, length in rows for moment in range(start, start + length)}
        assert count_hours(merge_holdings(held)) * 36_000 == pytest.approx(len(moments))
        assert merge_holdings(merge_holdings(held)) == merge_holdings(held)


def test_the_price_is_that_of_the_type_or_of_the_name_or_of_all():
    held = [Holding("a", "small", 0, 3600), Holding("b", "big", 0, 7200), Holding("c", "", 0, 3600)]
    assert compute_cost(held, {"small": 1.0, "big": 10.0, "c": 100.0}) == 121.0
    assert compute_cost(held, {"small": 1.0, DEFAULT: 0.5}) == 2.5
    assert compute_cost(held, {"small": 1.0}) is None
    assert compute_cost(held, None) is None


def test_sessions_are_added_and_the_time_between_them_is_not_counted(tmp_path):
    for number, machines in enumerate(({"a": "", "b": "big"}, {"a": ""})):
        log = MachineLog(tmp_path, held_s=3600.0 if number == 0 else 0.0)
        time.sleep(0.05)
        log.note(machines)
        log.note(machines)
        log.write({DEFAULT: 2.0})
        time.sleep(0.05)
    held = read_holdings(tmp_path)
    assert [(one.host, one.type) for one in held] == [("a", ""), ("a", ""), ("b", "big")]
    content = json.loads((tmp_path / "machines.json").read_text())
    assert content["machine_hours"] == pytest.approx(2.0, abs=0.01) == content["cost"] / 2
    assert content["price_per_hour"] == {DEFAULT: 2.0}


@pytest.mark.parametrize(
    "text", ["", "{}", '{"held": [{"host": "a"}]}', '{"held": [{"host":"a","type":"","since":2,"until":1}]}']
)
def test_a_corrupt_record_is_named(tmp_path, text):
    (tmp_path / "machines.json").write_text(text)
    with pytest.raises(RunError, match=r"machines\.json is corrupt: .* Delete the file"):
        read_holdings(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    started = time.time()
    run = train(TrainConfig(**TINY, out=str(out), price_per_hour=3.6))
    return run, started, time.time()


def test_a_training_stores_what_it_held_and_costs(run):
    run, started, ended = run
    content = run.read_json("machines.json")
    [held] = read_holdings(run.path)
    assert held.host == HERE and held.type == ""
    assert started <= held.since and held.until <= ended
    assert held.until - held.since >= run.read_json("training.json")["train_wall_s"]
    assert content["machine_hours"] == pytest.approx((held.until - held.since) / 3600)
    assert content["cost"] == pytest.approx(3.6 * content["machine_hours"])
    assert resume(run.path).read_json("machines.json") == content  # it has ended, and holds nothing


def test_the_report_shows_it_beside_the_paper(run, tmp_path):
    run, *_ = run
    for config, cells in (
        (ReportConfig(video=False), ("3.6 per hour", "cost at 3.6 per hour")),
        (ReportConfig(video=False, price_per_hour=f"{HERE}=7.2"), (f"{HERE} 7.2 per hour", "cost")),
        (ReportConfig(video=False, price_per_hour="big=1"), ("big 1 per hour", f"no price for {HERE}")),
    ):
        [*_, page] = write_report(run.path, config)
        text = page.read_text()
        assert all(cell in text for cell in (*cells, "1,603", "0.134 € per hour", "214.80 €", HERE)), cells


def test_runs_of_older_versions_count_with_their_wall_time(run, tmp_path):
    run, *_ = run
    data = dataclasses.replace(read_run(run.path), held=())
    assert data.machine_hours == pytest.approx(data.wall_s / 3600)
    assert data.compute_cost({DEFAULT: 2.0}) == pytest.approx(2 * data.wall_s / 3600)


def test_a_sweep_stores_what_it_held_and_its_page_counts_a_shared_machine_once(tmp_path):
    settings = {"hyper": ("n_steps=10", "batch_size=80"), "steps": 640, "runs": 2, "jobs": 2, "price_per_hour": 1.0}
    config = SweepConfig(env=("SCARA-v0",), seeds=(0, 1), out=str(tmp_path), **settings)
    runs = [read_run(run.path) for run in sweep(config)]
    content = json.loads((tmp_path / "machines.json").read_text())
    assert max(run.machine_hours for run in runs) < content["machine_hours"] == content["cost"]
    page = compare([run.run.path for run in runs], CompareConfig(str(tmp_path / "page.html"), sweep=str(tmp_path)))
    rows = read_rows(page, "Cost of all runs")
    assert rows["machine-hours"]["here"] == f"{content['machine_hours']:,.4g}"
    assert rows["machine-hours"]["2019 paper, all experiments"] == "1,603"
    assert rows["price of a machine"]["here"] == "1 per hour"  # stored by the runs
    assert rows["cost"]["here"] == f"{content['cost']:,.3g}" and rows["cost"]["2019 paper, all experiments"] == "214.80 €"
    assert sweep(config) and json.loads((tmp_path / "machines.json").read_text())["machine_hours"] >= content["machine_hours"]


@pytest.mark.filterwarnings("ignore::ResourceWarning:ray.*", "ignore::DeprecationWarning")
def test_workers_machines_have_the_types_of_their_nodes(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_NODE_TYPE_NAME", "small")
    with closing(RaySession(num_cpus=2)):
        assert list_types() == {HERE: "small"}
        run = train(TrainConfig(**TINY, workers=1, out=str(tmp_path / "run"), price_per_hour="small=2,big=5"))
    [held] = read_holdings(run.path)
    assert (held.host, held.type) == (HERE, "small")
    content = run.read_json("machines.json")
    assert content["cost"] == pytest.approx(2 * content["machine_hours"])
    assert find_machines([]) == {HERE: ""}


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_the_commands_take_several_prices(command):
    words = ["--price-per-hour", "small=0.05", "--price-per-hour=big=0.2", "--price-per-hour", "0.1"]
    settings = load_command(command).parse(words, command).settings
    assert settings.price_per_hour == {"small": 0.05, "big": 0.2, DEFAULT: 0.1}


def test_a_comparison_takes_prices(run, tmp_path, capsys):
    run, *_ = run
    out = tmp_path / "page.html"
    words = ["compare", "--price-per-hour", f"{HERE}=0.05", str(run.path), "--price-per-hour", "big=0.2", "--out", str(out)]
    assert main(words) == 0
    assert f"{HERE} 0.05, big 0.2 per hour" in out.read_text()
    with pytest.raises(SystemExit, match="2"):
        main(["compare", str(run.path), "--price-per-hour", "cheap", "--out", str(out)])
    assert "price_per_hour is 'cheap', expected a price" in capsys.readouterr().err
    assert RunFolder(run.path).read_config().price_per_hour == {DEFAULT: 3.6}
