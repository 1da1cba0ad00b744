"""The page that compares several runs: median and range of each group of runs that differ only in their seeds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.measures import name_summary, read_measured
from gym_gazebo2.algos.report import facts, page
from gym_gazebo2.algos.report.axes import AXES, Axis, choose_limits, make_axis, spans_decades
from gym_gazebo2.algos.report.costs import Prices, find_prices, make_costs, name_cost
from gym_gazebo2.algos.report.curves import compute_band, compute_running_mean, keep_last
from gym_gazebo2.algos.report.figure import Plot, Series, name_color
from gym_gazebo2.algos.report.groups import Group, group_runs
from gym_gazebo2.algos.report.page import text
from gym_gazebo2.algos.report.rows import get_paper, get_paper_title
from gym_gazebo2.algos.report.run_data import RunData, read_run
from gym_gazebo2.algos.report.scaling import make_scaling
from gym_gazebo2.algos.runs.machines import read_holdings
from gym_gazebo2.algos.runs.writing import add_advice, check_writable, write_atomically
from gym_gazebo2.algos.settings.prices import PricePerHour, read_prices
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.tasks import Measure

__all__ = ["CompareConfig", "compare"]

Array = NDArray[np.float64]
Curve = Callable[[RunData, Axis], tuple[Array, Array]]
"""(run, x axis) → x and y of the run's curve."""


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Compare several runs on one page.

    Attributes:
        out: File to write.
        price_per_hour: Price of a machine per hour, in any currency, or TYPE=PRICE,TYPE=PRICE; None: the price that the runs
            store.
        sweep: Folder of the sweep that made the runs: the time for which it held machines counts, too.
    """

    out: str = "comparison.html"
    price_per_hour: PricePerHour = None
    sweep: str | None = None

    def __post_init__(self) -> None:
        """Reject an invalid price."""
        object.__setattr__(self, "price_per_hour", read_prices("price_per_hour", self.price_per_hour))


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: Name of the figure, as in ``evaluation.json``.
        title: Heading.
        form: Format of a number.
        read: Returns the figure of a run; None if the run does not have it.
        better: 1 if larger values are better, −1 if smaller values are, 0 if neither.
    """

    name: str
    title: str
    form: str
    read: Callable[[RunData], float | None]
    better: int = 0


def make_columns(runs: Iterable[RunData], prices: Prices | None) -> tuple[Column, ...]:
    """Return the columns for a set of runs: success rate and measures that any of them has, then time, steps and cost."""
    runs = list(runs)
    measures = {name: measure for run in runs for name, measure in run.measures.items()}
    columns = (
        Column("success_rate", "success [%]", "{:.0f}", lambda run: _scale(_get(run, "success_rate"), 100.0), 1),
        *(_make_measure_column(name, measure) for name, measure in measures.items()),
        Column("repeatability_rms_mm", "repeatability, RMS [mm]", "{:.3f}", lambda run: _get(run, "repeatability_rms_mm"), -1),
        Column("mean_reward", "mean reward", "{:.2f}", lambda run: _get(run, "mean_reward"), 1),
    )
    own = [column for column in columns if any(column.read(run) is not None for run in runs)]
    if measures:  # a shaped reward only serves the training; measures have units
        own = [column for column in own if column.name != "mean_reward"]
    return (*own, *COST, *_make_price(prices))


def _make_measure_column(name: str, measure: Measure) -> Column:
    unit = f" [{measure.unit}]" if measure.unit else ""
    better = -1 if measure.better == "less" else 1

    def read(run: RunData) -> float | None:
        measured = {} if run.evaluation is None else read_measured(run.evaluation)
        return _scale(measured.get(name), measure.scale) if name in run.measures else None

    return Column(name, name_summary(measure) + unit, "{:.3f}", read, better)


def _get(run: RunData, field: str) -> float | None:
    return (run.evaluation or {}).get(field)


def _scale(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


COST = (
    Column("time_to_target_s", "to the target [s]", "{:.1f}", lambda run: run.target and run.target[0], -1),
    Column("train_wall_s", "training [s]", "{:.1f}", lambda run: run.wall_s),
    Column("steps", "steps", "{:,.0f}", lambda run: run.steps),
    Column("speed", "steps per second", "{:,.0f}", lambda run: run.steps / run.wall_s if run.wall_s else None),
    Column("machine_hours", "machine-hours", "{:.3g}", lambda run: run.machine_hours),
)


@add_advice("Or choose another file with --out.")
def compare(paths: Iterable[str | os.PathLike[str]], config: CompareConfig = CompareConfig()) -> Path:
    """Write one page that compares several runs.

    Runs with the same id, algorithm and arguments form a group. The seed, and arguments that do not change what is learned,
    do not count.

    Args:
        paths: The runs' folders.
        config: The file to write, and the machine's price.

    Returns:
        The file written.

    Raises:
        InvalidArgumentError: There are no paths.
        RunError: One of the folders holds no run, or a file of it is corrupt.
        WriteError: The page cannot be written.
    """
    # A folder given twice, as by overlapping patterns of a shell, counts once.
    runs = [read_run(path) for path in dict.fromkeys(os.fspath(path) for path in paths)]
    if not runs:
        raise InvalidArgumentError("paths", [], "at least one run's folder")
    out = Path(config.out)
    check_writable(out)
    groups = group_runs(runs)
    by_env = {env: [group for group in groups if group.env == env] for env in dict.fromkeys(group.env for group in groups)}
    price = find_prices(runs, config.price_per_hour)
    others = [] if config.sweep is None else read_holdings(Path(config.sweep))
    costs = make_costs(runs, others, price, any(map(get_paper, by_env)))
    sections = []
    for i, (env, members) in enumerate(by_env.items()):
        sections.append(_make_section(env, i, members, price))
        sections.append(make_scaling(env, i, [run for group in members for run in group.runs]))
    table = _make_runs(groups, make_columns(runs, price), out.parent)
    body = "\n".join([_make_head(runs, groups, by_env), *sections, costs, table])
    write_atomically(out, page.make_page(f"Comparison: {', '.join(by_env)}", body).encode())
    return out


def _make_price(prices: Prices | None) -> tuple[Column, ...]:
    if prices is None:
        return ()
    return (Column("cost", name_cost(prices), "{:.3g}", lambda run: run.compute_cost(prices)),)


def _make_head(runs: Sequence[RunData], groups: Sequence[Group], envs: Iterable[str]) -> str:
    several = any(len(group.runs) > 1 for group in groups)
    counts = f"{len(runs)} run{'s' if len(runs) > 1 else ''} in {len(groups)} group{'s' if len(groups) > 1 else ''}."
    spread = (
        " Lines and figures are medians over a group's seeds; bands and brackets show the smallest to the largest value."
        if several
        else ""
    )
    return (
        f'<header><p class="eyebrow">gym_gazebo2 · comparison</p><h1>{text(", ".join(envs))}</h1>'
        f'<p class="lead">{text(counts + spread)}</p></header>'
    )


def _make_section(env: str, index: int, groups: Sequence[Group], prices: Prices | None) -> str:
    runs = [run for group in groups for run in group.runs]
    # Every plot is drawn twice, over steps and over wall time; the page's switch shows one of them.
    columns, plots = make_columns(runs, prices), []
    for name in AXES:
        axis = make_axis(name, runs)
        drawn = {key: _plot_measure(groups, axis, key, measure) for key, measure in runs[0].measures.items()}
        drawn["reward"] = _plot_reward(groups, axis)
        if any(run.reports_success for run in runs):
            drawn["success"] = _plot_success(groups, axis)
        plots += [page.make_plot(plot, f"{kind}-{name}-{index}", f"by-{name}") for kind, plot in drawn.items()]
    rows = [
        [_name_group(group), str(len(group.runs)), _describe_evaluations(group), *_summarize(group, groups, columns)]
        for group in groups
    ]
    if paper := get_paper(env):
        cells = [text(paper.get(column.name, "")) for column in columns]
        rows.append([get_paper_title(env), "", "", *cells])
    table = page.make_table(("", "runs", "evaluated", *(column.title for column in columns)), rows, "stack")
    return f"<section><h2>{text(env)}</h2>{table}{page.make_switch(f'axis-{index}')}{page.make_grid(plots)}</section>"


def _make_runs(groups: Sequence[Group], columns: Sequence[Column], folder: Path) -> str:
    rows = [
        [
            _link(run, folder),
            text(f"{group.env}, {group.label}"),
            str(run.config.seed),
            text(facts.describe_evaluation(run)),
            *(_format_cell(column, column.read(run)) for column in columns),
        ]
        for group in groups
        for run in group.runs
    ]
    table = page.make_table(("", "group", "seed", "evaluated", *(column.title for column in columns)), rows, "stack paths")
    return f"<section><h2>Every run</h2>{table}</section>"


def _link(run: RunData, folder: Path) -> str:
    """Return a run's path: as a link to its report, relative to the page's folder, if there is a report."""
    report = run.run.path / "report.html"
    if not report.is_file():
        return text(run.run.path)
    target = quote(Path(os.path.relpath(report.resolve(), folder.resolve())).as_posix())
    return f'<a href="{target}">{text(run.run.path)}</a>'


def _name_group(group: Group) -> str:
    return f'<i style="--c:var(--{name_color(group.color)})"></i>{text(group.label)}'


def _describe_evaluations(group: Group) -> str:
    """Return the settings of a group's evaluations. If they differ, list all: the group's medians then mix them."""
    settings = list(dict.fromkeys(facts.describe_evaluation(run) for run in group.runs if run.evaluation is not None))
    return text(f"different settings: {'; '.join(settings)}" if len(settings) > 1 else "".join(settings) or "–")


def _summarize(group: Group, groups: Sequence[Group], columns: Sequence[Column]) -> list[str]:
    """Return a group's cells: the median, in bold if it is the best of all groups, and the range over the runs."""
    cells = []
    for column in columns:
        values = _get_values(group, column)
        if not values:
            cells.append("–")
            continue
        median = float(np.median(values))
        # better is ±1, so the maximum of better · median is the best group for either direction.
        best = max((column.better * float(np.median(v)) for g in groups if (v := _get_values(g, column))), default=0.0)
        shown = _format_cell(column, median)
        shown = f"<b>{shown}</b>" if len(groups) > 1 and column.better and column.better * median == best else shown
        # "3 of 5" marks figures that not every run of the group has, such as a target that some never met.
        low, high = (column.form.format(edge) for edge in (min(values), max(values)))
        missing = f", {len(values)} of {len(group.runs)}" if len(values) < len(group.runs) else ""
        span = low if low == high else f"{low}–{high}"
        cells.append(shown + (f' <span class="range">({span}{missing})</span>' if len(values) > 1 or missing else ""))
    return cells


def _get_values(group: Group, column: Column) -> list[float]:
    return [value for run in group.runs if (value := column.read(run)) is not None]


def _format_cell(column: Column, value: float | None) -> str:
    return "–" if value is None else column.form.format(value)


def _plot_measure(groups: Sequence[Group], axis: Axis, name: str, measure: Measure) -> Plot:
    def read(run: RunData, axis: Axis) -> tuple[Array, Array]:
        x, values = axis.read(run, name)
        return x, measure.scale * values

    # The threshold is a line of the plot; all groups of a section share the id, and with it the measure.
    values = np.concatenate([read(run, axis)[1] for group in groups for run in group.runs])
    log, bound = spans_decades(values), measure.threshold
    rules = () if bound is None else ((measure.scale * bound, f"success, {measure.scale * bound:g} {measure.unit}".rstrip()),)
    series = _make_bands(groups, axis, read, log=log)
    title = f"{measure.label[:1].upper()}{measure.label[1:]}, evaluations{f' [{measure.unit}]' if measure.unit else ''}"
    return Plot(title, axis.label, series, log=log, rules=rules)


def _plot_reward(groups: Sequence[Group], axis: Axis) -> Plot:
    series = _make_bands(groups, axis, _get_reward)
    limits, _ = choose_limits(np.empty(0), [one.y for one in series] + [one.high for one in series if one.high is not None])
    return Plot("Reward, last 100 episodes", axis.label, series, limits=limits)


def _plot_success(groups: Sequence[Group], axis: Axis) -> Plot:
    series = _make_bands(groups, axis, _get_success)
    return Plot("Success, evaluations [%]", axis.label, series, limits=(-4.0, 104.0))


def _get_reward(run: RunData, axis: Axis) -> tuple[Array, Array]:
    if not len(run.episodes):
        return axis.read(run, "reward")
    return keep_last(axis.choose(run.episodes.wall_s, run.episodes.steps), compute_running_mean(run.episodes.reward))


def _get_success(run: RunData, axis: Axis) -> tuple[Array, Array]:
    x, rate = axis.read(run, "success_rate")
    return x, 100.0 * rate


def _make_bands(groups: Sequence[Group], axis: Axis, curve: Curve, log: bool = False) -> tuple[Series, ...]:
    """Return one median line per group, drawn above the bands of all groups.

    Args:
        groups: The groups.
        axis: The x axis.
        curve: Returns the curve of a run.
        log: Whether the y axis is logarithmic.
    """
    bands, lines = [], []
    for group in groups:
        curves = [(x, y) for x, y in (curve(run, axis) for run in group.runs) if len(x)]
        if not curves:
            continue
        # A group of one run has no band. The label is on the line alone, or the legend would name each group twice.
        band = compute_band(curves, log=log)
        if len(curves) > 1:
            bands.append(Series("", band.x, band.low, "band", group.color, high=band.high))
        lines.append(Series(group.label, band.x, band.median, "line", group.color))
    return (*bands, *lines)
