"""The report of a run is one page, whole in itself, that a browser shows without a complaint."""

import base64
import io
import json
import re
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from gym_gazebo2.algos import EvaluateConfig, evaluate, train
from gym_gazebo2.algos.report import ReportConfig, write_report
from gym_gazebo2.algos.report.curves import compute_band, compute_running_mean, compute_trend, keep_last, thin
from gym_gazebo2.algos.report.figure import Circle, Plot, Series, draw
from gym_gazebo2.algos.report.run_data import read_run
from gym_gazebo2.algos.report.scales import Scale, format_tick
from gym_gazebo2.cli import main
from gym_gazebo2.errors import RunError

from .browser import open_browser, show, take_picture
from .test_train import make_config

MAXIMUM_BYTES = 5_000_000
FIND_OUTSIDE = r"(?:src|href|srcset)=\"(?!data:|#)|url\((?!#)|@import"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training, evaluated and reported."""
    run = train(make_config(tmp_path_factory.mktemp("report") / "run", max_episode_steps=30, start_noise=0.1))
    evaluate(run.path, EvaluateConfig(runs=5))
    write_report(run.path, ReportConfig(price_per_hour=2.0))
    return run


@pytest.fixture(scope="module")
def browser():
    with open_browser() as driver:
        yield driver


def read_page(run):
    return (run.path / "report.html").read_text(encoding="utf-8")


def get_film(page):
    return base64.b64decode(re.search(r'id="arm"[^>]*src="data:image/webp;base64,([^"]*)"', page)[1])


def test_the_page_needs_nothing_but_itself(run):
    page = read_page(run)
    words = re.sub(r"base64,[A-Za-z0-9+/=]*", "", page)
    assert not re.findall(FIND_OUTSIDE, page) and words.count("http") == words.count("http://www.w3.org/")
    assert len(page.encode()) < MAXIMUM_BYTES
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_the_page_shows_configuration_and_results(run):
    page, result = read_page(run), run.read_json("evaluation.json")
    for part in ("SCARA-v0 with PPO", "batch size", "stable baselines3", "machine-hours", "cost at 2 per hour", "2.80 / 1.37"):
        assert part in page, part
    assert f"<td>{result['accuracy_rms_mm']:.3f}</td>" in page and f"<td>{result['train_steps']:,}</td>" in page
    assert f"<td>{2.0 * run.read_json('machines.json')['machine_hours']:.3g}</td>" in page
    for title in ("KL divergence", "Value loss", "Standard deviation of the actions"):
        assert f"<h3>{title}</h3>" in page, title


def test_every_episode_is_a_dot(run):
    page = read_page(run)
    for axis in ("wall", "steps"):
        svg = re.search(rf'id="position_error-{axis}".*?</svg>', page, flags=re.DOTALL)[0]
        assert svg.count("h0") == len(read_run(run.path).episodes) == 160


def test_final_errors_are_kept_and_agree_with_the_figures(run):
    result = run.read_json("evaluation.json")
    errors = np.array(result["errors_mm"])
    assert errors.shape == (5, 3) and len(np.unique(errors[:, 0])) == 5
    assert np.sqrt(np.mean(np.sum(errors**2, axis=1))) == pytest.approx(result["accuracy_rms_mm"])
    points = json.loads(re.search(r'id="view-2".*?json">(.*?)</script>', read_page(run), flags=re.DOTALL)[1])["series"][0][
        "points"
    ]
    assert [point[2:4] for point in points] == [[pytest.approx(y, rel=1e-4), pytest.approx(z, rel=1e-4)] for _, y, z in errors]


def test_the_film_moves_in_real_time(run):
    film = Image.open(io.BytesIO(get_film(read_page(run))))
    assert film.is_animated and film.size == (480, 360) and 25 <= film.n_frames <= 31
    total, pictures = 0, []
    for i in range(film.n_frames):
        film.seek(i)
        film.load()
        total += film.info["duration"]
        pictures.append(np.asarray(film.convert("L"), dtype=float)[:300])
    assert total == 1_500 + 1_000
    assert np.abs(pictures[-1] - pictures[0]).mean() > 0.2, "the arm moves"
    assert (run.path / "arm.webp").read_bytes() == get_film(read_page(run)) and (run.path / "arm.png").is_file()


def test_a_browser_shows_it_without_a_complaint(run, browser):
    show(browser, run.path / "report.html")
    assert browser.get_log("browser") == []
    plots = browser.execute_script(
        "return [...document.querySelectorAll('.plot')].map(p => [p.id, p.querySelector('svg').getBoundingClientRect().height,"
        " p.querySelectorAll('svg path, svg text').length])"
    )
    shown = {name for name, height, _ in plots if height > 100}
    assert {"reward-wall", "position_error-wall", "success-wall", "view-0", "view-1", "view-2", "inside-0"} <= shown
    assert not any(name.endswith("-steps") for name in shown) and all(marks > 10 for *_, marks in plots)


def test_the_axis_changes_without_a_script(run, browser):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, run.path / "report.html")
        browser.find_element("css selector", "label[for=axis-steps]").click()
        assert browser.find_element("id", "reward-steps").is_displayed()
        assert not browser.find_element("id", "reward-wall").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_film_plays(run, browser):
    show(browser, run.path / "report.html")
    arm = browser.find_element("id", "arm")
    assert browser.execute_script("return arguments[0].complete && arguments[0].naturalWidth", arm) == 480
    first, deadline = arm.screenshot_as_png, time.monotonic() + 20.0
    others = iter(lambda: arm.screenshot_as_png if time.monotonic() < deadline else first, None)
    assert any(picture != first for picture in _until(others, first, deadline))


def _until(pictures, first, deadline):
    for picture in pictures:
        yield picture
        if picture != first or time.monotonic() > deadline:
            return


def test_pointing_at_a_plot_shows_the_value(run, browser):
    from selenium.webdriver import ActionChains

    show(browser, run.path / "report.html")
    svg = browser.find_element("css selector", "#position_error-wall svg")
    ActionChains(browser).move_to_element(svg).perform()
    tip = browser.find_element("css selector", "#position_error-wall .tip.on")
    assert re.search(r"(evaluations|trend).*: [\d.,]+ at [\d.]+ wall time \[s\]", tip.get_attribute("textContent"))
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_reader_s_colours(run, browser, scheme):
    show(browser, run.path / "report.html", scheme=scheme)
    picture = np.asarray(Image.open(io.BytesIO(take_picture(browser))).convert("L"), dtype=float)
    assert picture.shape[0] > 2_000 and (np.median(picture) > 220 if scheme == "light" else np.median(picture) < 50)
    ink = "return getComputedStyle(document.querySelector('#reward-wall svg text')).fill"
    lightness = np.mean([int(value) for value in re.findall(r"\d+", browser.execute_script(ink))[:3]])
    assert abs(lightness - np.median(picture)) > 100, "labels stand out from the ground"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_phone_shows_it_without_scrolling_sideways(run, browser, width):
    show(browser, run.path / "report.html", width=width, height=800, mobile=True)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    elements = "[...document.querySelectorAll('main *:not(svg *)')]"
    wide = f"return {elements}.filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    assert browser.execute_script(wide) == []


def test_printed_it_shows_both_axes(run, browser):
    show(browser, run.path / "report.html")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert all(browser.find_element("id", f"reward-{axis}").is_displayed() for axis in ("wall", "steps"))
    assert not browser.find_element("css selector", ".switch").is_displayed()
    assert base64.b64decode(browser.print_page()).startswith(b"%PDF")


def copy_without(run, path, *names):
    shutil.copytree(run.path, path, ignore=shutil.ignore_patterns(*names, "report.html", "arm.*"))
    return path


def test_a_run_that_still_trains_has_a_report(run, tmp_path):
    part = copy_without(run, tmp_path / "part", "model.zip", "best_model.zip", "training.json", "evaluation.json")
    names = {path.name for path in write_report(part)}
    page = (part / "report.html").read_text()
    assert names == {"learning_curve.png", "report.html"} and "the training is not finished" in page
    assert f"gym-gazebo2 evaluate {part}" in page and "KL divergence" in page


def test_a_run_from_before_episodes_were_kept_has_a_report(run, tmp_path):
    part = copy_without(run, tmp_path / "part", "episodes.csv")
    result = json.loads((part / "evaluation.json").read_text())
    result.pop("errors_mm")
    (part / "evaluation.json").write_text(json.dumps(result))
    write_report(part, ReportConfig(video=False))
    page = (part / "report.html").read_text()
    assert 'id="reward-wall"' in page and 'id="view-0"' not in page and "tool error, RMS [mm]" in page


def test_a_run_without_anything_yet_has_a_report(run, tmp_path):
    part = copy_without(run, tmp_path / "part", "*.csv", "*.zip", "training.json", "evaluation.json", "curve.json")
    write_report(part)
    assert "No episode has ended yet" in (part / "report.html").read_text()


def test_no_run_no_report(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        write_report(tmp_path)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_bad_prices(price):
    with pytest.raises(ValueError, match="price_per_hour"):
        ReportConfig(price_per_hour=price)


def test_names_cannot_break_out_of_the_page(run, tmp_path):
    part = copy_without(run, tmp_path / "part")
    config = json.loads((part / "config.json").read_text())
    config["platform"] = "<script>alert(1)</script>"
    (part / "config.json").write_text(json.dumps(config))
    write_report(part, ReportConfig(video=False))
    assert "<script>alert" not in (part / "report.html").read_text()


def test_a_million_steps_are_reported_in_under_ten_seconds(run, tmp_path):
    part, rng, count = copy_without(run, tmp_path / "part", "episodes.csv"), np.random.default_rng(0), 10_000
    columns = [np.arange(1, count + 1) * 100, np.linspace(0.1, 60, count), rng.normal(size=count), np.full(count, 100)]
    rows = np.column_stack([*columns, rng.exponential(size=count), rng.integers(0, 2, count)])
    np.savetxt(
        part / "episodes.csv", rows, fmt="%g", delimiter=",", header="steps,wall_s,reward,length,error_mm,success", comments=""
    )
    start = time.monotonic()
    write_report(part, ReportConfig(video=False))
    assert time.monotonic() - start < 10.0
    page = (part / "report.html").read_text()
    assert len(page.encode()) < 800_000 and "10,000 episodes" in page


def test_the_command(run, capsys):
    assert main(["report", str(run.path), "--no-video", "--price-per-hour", "1.5"]) == 0
    assert f"{run.path / 'report.html'}" in capsys.readouterr().out and "cost at 1.5 per hour" in read_page(run)
    assert main(["report", str(run.path), "--price-per-hour", "-1"]) == 2
    assert "price_per_hour is -1.0, expected a finite price of at least 0" in capsys.readouterr().err
    write_report(run.path, ReportConfig(price_per_hour=2.0))


def test_running_mean():
    values = np.random.default_rng(0).normal(size=250)
    expected = [values[max(0, i - 99) : i + 1].mean() for i in range(250)]
    assert np.allclose(compute_running_mean(values), expected)


def test_a_trend_is_exact_on_lines_and_near_smooth_curves():
    x = np.sort(np.random.default_rng(0).uniform(0, 5, 3_000))
    at, trend = compute_trend(x, 3.0 - 2.0 * x)
    assert len(at) == 120 and np.allclose(trend, 3.0 - 2.0 * at, atol=0.02)
    at, trend = compute_trend(x, np.sin(x) + np.random.default_rng(1).normal(0, 0.3, 3_000))
    assert np.abs(trend - np.sin(at)).max() < 0.15
    assert len(compute_trend(np.ones(5), np.arange(5.0))[0]) == 0
    assert np.isfinite(compute_trend(np.array([0.0, 1e-9, 1.0]), np.array([1.0, 2.0, 3.0]))[1]).all()


def test_a_band_spans_where_all_runs_have_values():
    band = compute_band([(np.array([0.0, 4.0]), np.array([1.0, 5.0])), (np.array([1.0, 3.0]), np.array([10.0, 10.0]))], 5)
    assert band.x.tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert band.low.tolist() == [2.0, 2.5, 3.0, 3.5, 4.0] and band.high.tolist() == [10.0] * 5
    assert np.allclose(band.median, (band.low + band.high) / 2)
    log = compute_band([(np.array([0.0, 2.0]), np.array([1.0, 100.0]))], 3, log=True)
    assert np.allclose(log.median, [1.0, 10.0, 100.0])


def test_thinning_keeps_the_ends():
    assert thin(5, 10).tolist() == [0, 1, 2, 3, 4] and thin(1_000, 3).tolist() == [0, 500, 999]
    assert [a.tolist() for a in keep_last(np.array([1.0, 1.0, 2.0]), np.array([5.0, 6.0, 7.0]))] == [[1.0, 2.0], [6.0, 7.0]]


def test_labels_of_a_plot_are_whole_and_its_colours_the_page_s():
    plot = Plot("A <title> & more", "x", (Series("line", np.array([0.0, 1.0]), np.array([0.04, 0.06])),))
    svg = draw(plot, "key").svg
    assert "0.045" in read_labels(svg) and not re.search(r"#[0-9a-f]{6}|stroke=|fill=", svg)
    assert "var(--c0)" in svg and "A &lt;title&gt; &amp; more" in svg
    small = draw(Plot("rate", "x", (Series("", np.array([0.0, 1.0]), np.array([1e-3, 4e-3])),)), "key").svg
    assert "×10⁻³" in small and "4" in read_labels(small) and "0.004" not in read_labels(small)


def read_labels(svg):
    return re.findall(r">([^<]+)</text>", svg)


def test_points_match_the_axes():
    """The pixel of a tick's label is the pixel of a point of its value, on linear and logarithmic axes."""
    for log in (False, True):
        y = np.array([1.0, 10.0, 100.0])
        drawing = draw(Plot("y", "x", (Series("a", np.array([0.0, 2.0, 4.0]), y, "points"),), log=log), "key")
        places = {
            text: (float(x), float(y)) for x, y, text in re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)<', drawing.svg)
        }
        (x0, y0, *first), _, (x2, y2, *last) = drawing.hints[0]["points"]
        assert first == [0.0, 1.0] and last == [4.0, 100.0] and x2 == pytest.approx(places["4"][0], abs=0.2)
        assert y2 == pytest.approx(places["100"][1] - 4.5, abs=0.2) and x0 == 46.0 and y0 > 200.0


def test_a_circle_in_a_plot_of_positions_matches_the_axes():
    plot = Plot("xy", "x", (), circles=(Circle("success", (0.0, 0.0), 5.0),), reach=10.0, size=(380, 366))
    svg = draw(plot, "key").svg
    x = {label: float(x) for x, label in re.findall(r'x="([\d.]+)" y="[\d.]+" text-anchor="middle">([^<]+)<', svg)}
    y = {label: float(y) for y, label in re.findall(r'y="([\d.]+)" text-anchor="end">([^<]+)<', svg)}
    radius = float(re.search(r' r="([\d.]+)"', svg)[1])
    assert [x["8"] - x["0"], y["0"] - y["8"]] == [pytest.approx(radius * 8.0 / 5.0, abs=0.2)] * 2


@pytest.mark.parametrize(
    "values", [[], [np.nan], [3.0, 3.0], [0.0, 0.0], [-1e-9, 1e-9], [1e12, -1e12], [0.5, np.inf], [1.1, 1.9]]
)
@pytest.mark.parametrize("log", [False, True])
def test_every_plot_has_ticks_and_finite_pixels(values, log):
    y = np.array(values, dtype=float)
    svg = draw(Plot("y", "x", (Series("a", np.arange(len(y)) * 1.0, y, "points"),), log=log), "key").svg
    assert len(read_labels(svg)) > 4 and "nan" not in svg and "inf" not in svg


def test_ticks_are_round_and_inside_the_axis():
    assert Scale(0.0, 10.2, 0, 1).list_ticks(6) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert np.allclose(Scale(-0.004, 0.0041, 0, 1).list_ticks(5), [-0.004, -0.002, 0.0, 0.002, 0.004])
    assert Scale(0.05, 300.0, 0, 1, log=True).list_ticks(5) == [0.1, 1.0, 10.0, 100.0]
    assert Scale(0.9, 12.0, 0, 1, log=True).list_ticks(5) == [1.0, 2.0, 5.0, 10.0]
    assert len(Scale(1e-12, 1e12, 0, 1, log=True).list_ticks(5)) < 9
    labels = [format_tick(value) for value in (0.1 + 0.2, -0.0, -20.0, 2e5, 1e6, 2.5e6, 12_000.0, 3e-5)]
    assert labels == ["0.3", "0", "−20", "200k", "1M", "2.5M", "12k", "3e−05"]
