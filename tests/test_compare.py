"""Several runs on one page: grouped by what they were asked to do, with median and spread over the seeds."""

import json
import re
import shutil

import numpy as np
import pytest

from gym_gazebo2.algos import EvaluateConfig, evaluate, train
from gym_gazebo2.algos.report import CompareConfig, ReportConfig, compare, write_report
from gym_gazebo2.algos.report.groups import group_runs
from gym_gazebo2.algos.report.run_data import read_run
from gym_gazebo2.cli import main
from gym_gazebo2.errors import RunError

from .browser import open_browser, show
from .test_report import FIND_OUTSIDE
from .test_train import make_config

SIZES = {"steps": 1_600, "eval_every": 400, "eval_runs": 2, "max_episode_steps": 25, "hyperparameters": {"batch_size": 100}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three seeds of PPO, one with fewer arms, and one of another algorithm and id each."""
    folder = tmp_path_factory.mktemp("compare")
    variants = {
        "ppo-0": {},
        "ppo-1": {"seed": 1},
        "ppo-2": {"seed": 2},
        "few": {"num_envs": 4},
        "trpo": {"algo": "trpo"},
        "mara": {"env": "MARA-v0"},
    }
    paths = {name: train(make_config(folder / name, **{**SIZES, **kwargs})).path for name, kwargs in variants.items()}
    for path in paths.values():
        evaluate(path, EvaluateConfig(runs=3))
    return paths


@pytest.fixture(scope="module")
def page(runs):
    return compare(runs.values(), CompareConfig(out=str(runs["few"].parent / "comparison.html"), price_per_hour=2.0))


def read_rows(page, section):
    """Return the cells of the table in a section, by the first one."""
    text = re.search(rf"<section><h2>{section}</h2>.*?</section>", page.read_text(), flags=re.DOTALL)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", text, flags=re.DOTALL)
    cells = [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row)] for row in rows]
    return {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[1:]}


def test_runs_are_grouped_by_everything_but_the_seed(runs):
    groups = group_runs([read_run(path) for path in runs.values()])
    found = {(group.env, group.label): [run.config.seed for run in group.runs] for group in groups}
    assert found == {
        ("SCARA-v0", "ppo, num envs 8"): [0, 1, 2],
        ("SCARA-v0", "ppo, num envs 4"): [0],
        ("SCARA-v0", "trpo"): [0],
        ("MARA-v0", "ppo"): [0],
    }
    assert [group.color for group in groups] == [0, 1, 2, 0]


def test_the_table_shows_median_and_range(runs, page):
    rows = read_rows(page, "SCARA-v0")
    assert set(rows) == {"ppo, num envs 8", "ppo, num envs 4", "trpo", "2019 paper, 1 / 8 workers"}
    values = [json.loads((runs[f"ppo-{i}"] / "evaluation.json").read_text())["accuracy_rms_mm"] for i in range(3)]
    cell = rows["ppo, num envs 8"]["tool error, RMS [mm]"]
    assert cell == f"{np.median(values):.3f} ({min(values):.3f}–{max(values):.3f})" and rows["ppo, num envs 8"]["runs"] == "3"
    assert rows["2019 paper, 1 / 8 workers"]["tool error, RMS [mm]"] == "2.80 / 1.37"
    assert rows["trpo"]["to the target [s]"] == "–" and "cost at 2 per hour" in rows["trpo"]
    assert len(read_rows(page, "Every run")) == 6


def test_the_band_holds_the_median(page):
    text = page.read_text()
    assert not re.findall(FIND_OUTSIDE, text) and len(text.encode()) < 5_000_000
    figure = re.search(r'id="position_error-steps-0".*?</figure>', text, flags=re.DOTALL)[0]
    hints = json.loads(re.search(r'json">(.*?)</script>', figure, flags=re.DOTALL)[1])["series"]
    assert [series["name"] for series in hints] == ["ppo, num envs 8", "ppo, num envs 4", "trpo"]
    assert all(len(series["points"]) > 100 for series in hints) and 'class="band"' in figure


def test_a_browser_shows_it(page):
    with open_browser() as browser:
        show(browser, page)
        heights = "return [...document.querySelectorAll('.plot svg')].map(s => s.getBoundingClientRect().height > 100)"
        assert browser.execute_script(heights).count(True) == 6
        browser.find_element("css selector", "label[for=axis-1-steps]").click()
        assert (
            browser.find_element("id", "position_error-steps-1").is_displayed()
            and browser.find_element("id", "position_error-wall-0").is_displayed()
        )
        for width in (320, 390, 900, 1180, 1280):
            show(browser, page, width=width, height=800, mobile=width < 500)
            for element in ("document.documentElement", *(f"document.querySelectorAll('.scroll')[{i}]" for i in range(3))):
                assert browser.execute_script(f"return {element}.scrollWidth - {element}.clientWidth") == 0, (width, element)
        assert browser.get_log("browser") == []


def test_unfinished_runs_appear_beside_finished_ones(runs, tmp_path):
    part = tmp_path / "part"
    shutil.copytree(runs["ppo-1"], part, ignore=shutil.ignore_patterns("evaluation.json", "training.json", "*.zip"))
    out = compare([runs["ppo-0"], part], CompareConfig(out=str(tmp_path / "page.html")))
    rows = read_rows(out, "SCARA-v0")
    assert rows["ppo"]["runs"] == "2" and ", 1 of 2)" in rows["ppo"]["tool error, RMS [mm]"]
    assert read_rows(out, "Every run")[str(part)]["tool error, RMS [mm]"] == "–"


def test_different_settings_of_evaluations_are_listed(runs, tmp_path):
    paths = [shutil.copytree(runs[name], tmp_path / name) for name in ("ppo-0", "ppo-1", "ppo-2")]
    evaluate(paths[1], EvaluateConfig(runs=2, backend="fake", start_noise=0.3, model="best_model"))
    old = json.loads((paths[2] / "evaluation.json").read_text())
    del old["start_noise"], old["seed"]
    (paths[2] / "evaluation.json").write_text(json.dumps(old))
    page = compare([*paths, runs["few"]], CompareConfig(out=str(tmp_path / "page.html")))
    own, other = "3 runs on mujoco", "2 runs on fake, starts ±0.3 rad, best model"
    evaluated = {name: row["evaluated"] for name, row in read_rows(page, "SCARA-v0").items()}
    assert evaluated["ppo, num envs 8"] == f"different settings: {own}; {other}" and evaluated["ppo, num envs 4"] == own
    rows = read_rows(page, "Every run")
    assert [rows[str(path)]["evaluated"] for path in paths] == [own, other, own]
    [*_, report] = write_report(paths[1], ReportConfig(video=False))
    assert "from starts up to 0.3 rad from home" in report.read_text()


def test_the_command(runs, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["compare", str(runs["ppo-0"]), str(runs["trpo"]), "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out and "2 runs in 2 groups" in out.read_text()


def test_folders_that_cannot_be_compared(tmp_path):
    with pytest.raises(ValueError, match="at least one run's folder"):
        compare([])
    with pytest.raises(RunError, match="not a run folder"):
        compare([tmp_path])


def test_a_run_s_path_leads_to_its_report_where_there_is_one(runs, tmp_path):
    with_report = shutil.copytree(runs["few"], tmp_path / "runs of mine" / "50% few")
    write_report(with_report, ReportConfig(video=False))
    page = compare([with_report, runs["trpo"]], CompareConfig(out=str(tmp_path / "pages" / "page.html")))
    assert re.findall(r'<a href="(.*?)"', page.read_text()) == ["../runs%20of%20mine/50%25%20few/report.html"]
    with open_browser() as driver:
        show(driver, page)
        driver.find_element("link text", str(with_report)).click()
        assert driver.title.startswith("SCARA-v0, ppo, seed 0")
