"""The report of one run: a page, and pictures of the arm and of the learning curve."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.images import encode_png
from gym_gazebo2.algos.measures import name_summary
from gym_gazebo2.algos.report import facts, page
from gym_gazebo2.algos.report.accuracy import plot_views
from gym_gazebo2.algos.report.axes import AXES, make_axis, spans_decades
from gym_gazebo2.algos.report.costs import find_prices
from gym_gazebo2.algos.report.learning import get_constants, plot_internals, plot_measure, plot_reward, plot_success
from gym_gazebo2.algos.report.page import text
from gym_gazebo2.algos.report.rows import get_paper, get_paper_title
from gym_gazebo2.algos.report.run_data import RunData, read_run
from gym_gazebo2.algos.report.strip import make_strip
from gym_gazebo2.algos.report.video import SIZE, FilmedEpisode, encode_film, film_episode
from gym_gazebo2.algos.report.workers import make_workers
from gym_gazebo2.algos.runs.writing import OTHER_FOLDER, add_advice, check_writable, write_atomically
from gym_gazebo2.algos.settings.prices import PricePerHour, read_prices
from gym_gazebo2.algos.vec_env import has_batched_form
from gym_gazebo2.errors import MissingDependencyError, RenderError
from gym_gazebo2.tasks import Measure

__all__ = ["ReportConfig", "write_report"]

EXAMPLES = {"success": "An episode that succeeded", "failure": "An episode that failed"}
"""Episode of an evaluation → its caption."""


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """Write the report of a run.

    Attributes:
        price_per_hour: Price of a machine per hour, in any currency, or TYPE=PRICE,TYPE=PRICE; None: the price that the run
            stores.
        video: Film an episode of the arm.
        out: Folder to write to; None: the run's folder. An evaluation in it is shown in place of the run's own.
    """

    price_per_hour: PricePerHour = None
    video: bool = True
    out: str | None = None

    def __post_init__(self) -> None:
        """Reject an invalid price."""
        object.__setattr__(self, "price_per_hour", read_prices("price_per_hour", self.price_per_hour))


@add_advice(OTHER_FOLDER)
def write_report(path: str | os.PathLike[str], config: ReportConfig = ReportConfig()) -> list[Path]:
    """Write ``report.html`` into a run's folder, with ``learning_curve.png``, ``arm.png`` and ``arm.webp``.

    Where an evaluation of a task with objects exists, ``success.png`` and ``failure.png`` show one episode each.

    The run need not be finished or evaluated: the page shows the results that exist. Without an OpenGL driver the film is left
    out, with a warning that names the package to install.

    Args:
        path: The run's folder.
        config: The content of the report.

    Returns:
        The files written.

    Raises:
        RunError: The folder holds no run, or a file of it is corrupt.
        WriteError: A file cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    folder = Path(path if config.out is None else config.out)
    data = read_run(path, folder)
    check_writable(folder / "report.html")
    files = {"learning_curve.png": _draw_learning_curve(data)}
    films = _film(data) if config.video else {}
    film = films.get("success", next(iter(films.values()), None))
    if film is not None:
        files |= {"arm.png": encode_png(film.frames[-1]), "arm.webp": encode_film(film)}
    strips = {name: encode_png(make_strip(episode)) for name, episode in films.items() if name in EXAMPLES}
    files |= {f"{name}.png": strip for name, strip in strips.items()}
    # The page embeds its pictures, so that it can be sent as one file; the separate files are for README files and slides.
    files["report.html"] = _make_page(data, config, film, files.get("arm.webp"), strips).encode()
    for name, content in files.items():
        write_atomically(folder / name, content)
    return [folder / name for name in files]


def _film(data: RunData) -> dict[str, FilmedEpisode]:
    """Return films of the arm: of a success and a failure of the evaluation, else of any episode.

    There is none without a model, for environments of other packages, and without OpenGL.
    """
    if data.model is None or not has_batched_form(data.config.env):
        return {}
    evaluation = data.evaluation or {}
    seeds: dict[str, int] = evaluation.get("examples") or {"": 0}
    changes = {**evaluation["env_kwargs"], "start_noise": evaluation["start_noise"]} if evaluation.get("examples") else None
    try:
        return {name: film_episode(data.model, seed, changes) for name, seed in seeds.items()}
    except RenderError as error:
        warnings.warn(f"The report has no picture of the arm. {error}", stacklevel=3)
        return {}


def _make_page(
    data: RunData, config: ReportConfig, film: FilmedEpisode | None, video: bytes | None, strips: Mapping[str, bytes]
) -> str:
    parts = (
        _make_opening(data, config, film, video),
        _make_learning(data),
        _make_accuracy(data),
        _make_strips(data, strips),
        _make_internals(data),
        make_workers(data.sessions),
        _make_cost(data, config),
        _make_configuration(data),
    )
    return page.make_page(f"{data.config.env}, {data.config.algo}, seed {data.config.seed}", "\n".join(parts))


def _make_opening(data: RunData, config: ReportConfig, film: FilmedEpisode | None, video: bytes | None) -> str:
    run = data.config
    head = (
        f'<header><p class="eyebrow">gym_gazebo2 · training report</p>'
        f'<h1>{text(run.env)} with {text(_name_algorithm(data))}</h1><p class="lead">{text(facts.describe(data))}</p></header>'
    )
    figures = page.make_figures(facts.get_figures(data, find_prices([data], config.price_per_hour)))
    # Without a film the figures take the full width.
    if film is None or video is None:
        return f'{head}<div class="opening single">{figures}</div>'
    still = page.make_data_uri(encode_png(film.frames[-1], SIZE), "image/png")
    moving = page.make_data_uri(video, "image/webp")
    end = f" At the end: {film.measured[-1]}." if film.measured[-1] else ""
    caption = f"One episode of {film.times[-1]:g} s, in real time.{end}"
    # Readers who prefer reduced motion, and printers, get the last picture in place of the film.
    arm = (
        f'<figure class="arm"><picture><source media="(prefers-reduced-motion: reduce), print" srcset="{still}">'
        f'<img id="arm" width="{SIZE[0]}" height="{SIZE[1]}" alt="The arm in one episode" src="{moving}"></picture>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )
    return f'{head}<div class="opening">{arm}{figures}</div>'


def _name_algorithm(data: RunData) -> str:
    return data.config.algo.upper().replace("_", " ")


def _make_learning(data: RunData) -> str:
    if not len(data.episodes) and not len(data.curve["steps"]):
        return '<section><h2>Learning</h2><p class="note">No episode has ended yet.</p></section>'
    # Every plot is drawn twice, over steps and over wall time; the page's switch shows one of them.
    plots = []
    for name in AXES:
        axis = make_axis(name, [data])
        drawn = {"reward": plot_reward(data, axis)}
        drawn |= {measure: plot_measure(data, axis, measure) for measure in data.measures}
        if data.reports_success:
            drawn["success"] = plot_success(data, axis)
        plots += [page.make_plot(plot, f"{kind}-{name}", f"by-{name}") for kind, plot in drawn.items()]
    count = f"{len(data.episodes):,} episodes of the training, one dot each. " if len(data.episodes) else ""
    runs = f"An evaluation is {data.config.eval_runs} runs of the policy without exploration."
    return (
        f'<section><h2>Learning</h2><p class="about">{text(count + runs)}</p>'
        f"{page.make_switch('axis')}{page.make_grid(plots)}</section>"
    )


def _make_accuracy(data: RunData) -> str:
    # The threshold of the first measure is a distance wherever the task places the tool, the only case with views.
    results = facts.get_results(data)
    if not results or data.evaluation is None:
        hint = f"Not evaluated yet: <code>gym-gazebo2 evaluate {text(data.run.path)}</code>"
        return f'<section><h2>Evaluation</h2><p class="note">{hint}</p></section>'
    first = next(iter(data.measures.values()), None)
    threshold_mm = None if first is None or first.threshold is None else 1e3 * first.threshold
    views = [page.make_plot(plot, f"view-{i}") for i, plot in enumerate(plot_views(data.evaluation, threshold_mm))]
    title = "Accuracy and repeatability" if views else "Evaluation"
    result = data.evaluation
    name = f"{result['env']}, {result['algo']} ({result.get('model', 'model')}), {result['runs']} runs"
    where = f" on {result['backend']}" if result["backend"] else ""
    about = f"{name}{where}." + (
        " The plots show the tool's final positions around the goal. Accuracy is the distance from the goal, "
        "repeatability the distance from the mean position."
        if views
        else ""
    )
    if get_paper(data.config.env):
        table = page.make_table(("", "here", get_paper_title(data.config.env)), results, "narrow")
    else:
        table = page.make_table((), [row[:2] for row in results], "narrow")
    return (
        f'<section><h2>{title}</h2><p class="about">{text(about)}</p>'
        f"{page.make_grid(views, 'small') if views else ''}{table}</section>"
    )


def _make_strips(data: RunData, strips: Mapping[str, bytes]) -> str:
    """Return the pictures of a success and a failure."""
    if not strips or data.evaluation is None:
        return ""
    rows = []
    for name, strip in strips.items():
        caption = f"{EXAMPLES[name]}, seed {data.evaluation['examples'][name]}"
        source = page.make_data_uri(strip, "image/png")
        rows.append(
            f'<figure class="strip"><img alt="{text(caption)}" src="{source}"><figcaption>{text(caption)}</figcaption></figure>'
        )
    return f"<section><h2>Episodes</h2>{''.join(rows)}</section>"


def _make_internals(data: RunData) -> str:
    axis = make_axis("steps", [data])
    plots = [page.make_plot(plot, f"inside-{i}") for i, plot in enumerate(plot_internals(data, axis))]
    if not plots:
        return ""
    constants = ", ".join(f"{name.lower()} {value:g}" for name, value in get_constants(data).items())
    note = f'<p class="note">Constant: {text(constants)}.</p>' if constants else ""
    return f"<section><h2>Inside {text(_name_algorithm(data))}</h2>{page.make_grid(plots, 'small')}{note}</section>"


def _make_cost(data: RunData, config: ReportConfig) -> str:
    option = "<code>--price-per-hour</code>"
    prices = find_prices([data], config.price_per_hour)
    hint = "" if prices else f'<p class="note screen">For the cost in money, use {option}.</p>'
    rows = facts.get_cost(data, prices)
    if get_paper(data.config.env):
        table = page.make_table(("", "here", "2019 paper, all experiments"), rows, "narrow")
    else:
        table = page.make_table((), [row[:2] for row in rows], "narrow")
    return f"<section><h2>Time and cost</h2>{table}{hint}</section>"


def _make_configuration(data: RunData) -> str:
    tables = [page.make_table((), rows, caption=title) for title, rows in facts.get_configuration(data).items() if rows]
    whole = json.dumps(data.about, indent=2)
    stopped = (data.training or {}).get("stopped_by")
    note = f'<p class="about">Stopped early: {text(stopped)}.</p>' if stopped else ""
    return (
        f'<section><h2>Configuration</h2>{note}<div class="what">{"".join(f"<div>{table}</div>" for table in tables)}</div>'
        f'<details class="screen"><summary>config.json</summary><pre>{text(whole)}</pre></details></section>'
        f"<footer>{text(data.run.path)}</footer>"
    )


def _draw_learning_curve(data: RunData) -> bytes:
    """Return a PNG of the first measure (or the success rate) and of the reward, over environment steps.

    Pages and README files that cannot show HTML use it.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "train") from error

    # Figure without pyplot: pyplot chooses a window system by itself, and keeps figures in memory until they are closed.
    figure = Figure(figsize=(7, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    _draw_results(top, data)
    steps, episodes = data.curve["steps"] / 1e3, data.episodes
    bottom.plot(episodes.steps / 1e3, episodes.reward, ".", markersize=2, color="0.75", label="training episode")
    bottom.plot(steps, data.curve["reward"], color="#0072b2", label="evaluations")
    bottom.set(ylabel="reward per episode", xlabel="environment steps [thousands]")
    for axes in (top, bottom):
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def _draw_results(axes: Any, data: RunData) -> None:
    """Draw the first measure of the evaluations; without measures, their success rate, or else their reward."""
    name, measure = next(iter(data.measures.items()), ("", None))
    if measure is None:
        is_known = "success_rate" in data.curve
        name, measure = ("success_rate", Measure("success", "%", 100.0)) if is_known else ("reward", Measure("reward"))
    x, values = make_axis("steps", [data]).read(data, name)
    label = f"{name_summary(measure)}, evaluations"
    axes.plot(x / 1e3, measure.scale * values, "o-", markersize=3, color="#0072b2", label=label)
    if spans_decades(values):
        axes.set_yscale("log")
    if measure.threshold is not None:
        bound = measure.scale * measure.threshold
        axes.axhline(bound, color="0.5", linewidth=1, linestyle="--", label=f"success ({bound:g} {measure.unit})")
    axes.set(ylabel=measure.title, title=f"{data.config.env}, {data.config.algo}, seed {data.config.seed}")
