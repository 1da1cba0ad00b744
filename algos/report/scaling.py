"""The section of a comparison on the number of workers: reward against wall time and against iterations, one curve per count.

These are the axes of figures 5 and 6 of the gym-gazebo2 paper (arXiv:1903.06278).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.measures import name_summary, read_measured
from gym_gazebo2.algos.report import page
from gym_gazebo2.algos.report.axes import choose_limits, make_axis, spans_decades
from gym_gazebo2.algos.report.curves import compute_band, compute_running_mean, keep_last
from gym_gazebo2.algos.report.figure import Plot, Series, name_color
from gym_gazebo2.algos.report.groups import format_argument, get_arguments
from gym_gazebo2.algos.report.page import text
from gym_gazebo2.algos.report.run_data import RunData

__all__ = ["Family", "count_iterations", "find_families", "make_scaling"]

Array = NDArray[np.float64]
Curve = Callable[[RunData], tuple[Array, Array]]

TIED = ("num_envs", "n_steps", "batch_size")
"""Arguments that may follow from the number of workers: on Gazebo each worker has an arm of its own."""


@dataclasses.dataclass(frozen=True)
class Family:
    """Runs that differ in their numbers of workers and their seeds only.

    Attributes:
        label: Algorithm, and the arguments in which the family differs from the others of the same id.
        by_workers: Number of workers → runs, in ascending order; 0: without workers.
    """

    label: str
    by_workers: Mapping[int, Sequence[RunData]]


def find_families(runs: Sequence[RunData]) -> list[Family]:
    """Return the families with several numbers of workers among the runs of one id."""
    members: dict[str, list[RunData]] = {}
    for run in runs:
        members.setdefault(_make_key(run, (*TIED, "workers")), []).append(run)
    families = []
    for peers in members.values():
        if _are_tied(peers):
            families.append(peers)
            continue
        split: dict[str, list[RunData]] = {}
        for run in peers:
            split.setdefault(_make_key(run, ("workers",)), []).append(run)
        families += split.values()
    several = [family for family in families if len(_list_counts(family)) > 1]
    return [Family(_name(family, several), {n: _select(family, n) for n in _list_counts(family)}) for family in several]


def count_iterations(run: RunData, steps: Array) -> Array:
    """Return the iterations after which a training had made these steps; empty where its log counts none (off policy)."""
    at, counts = run.log.get("time/iterations", (np.empty(0), np.empty(0)))
    return steps * (counts[-1] / at[-1]) if len(at) else np.empty(0)


def make_scaling(env: str, index: int, runs: Sequence[RunData]) -> str:
    """Return the section of an id; empty where all runs have the same number of workers.

    Args:
        env: Environment id.
        index: Number of the id in the page.
        runs: Its runs.
    """
    families = find_families(runs)
    parts = [_make_family(family, f"{index}-{number}", len(families) > 1) for number, family in enumerate(families)]
    about = "One curve per number of workers: the median of its runs. Bands and brackets show smallest and largest values."
    head = f'<h2>{text(env)} by number of workers</h2><p class="about">{about}</p>'
    return f"<section>{head}{''.join(parts)}</section>" if parts else ""


def _make_family(family: Family, key: str, is_named: bool) -> str:
    runs = [run for members in family.by_workers.values() for run in members]
    wall = make_axis("wall", runs)
    columns = {"reward": _make_reader("reward")} | {name: _make_reader(name, m.scale) for name, m in runs[0].measures.items()}
    titles = {"reward": "Reward, last 100 episodes"}
    titles |= {name: f"{m.label[:1].upper()}{m.label[1:]}, evaluations [{m.unit}]" for name, m in runs[0].measures.items()}
    plots = []
    for name, read in columns.items():
        for kind, label, place in (("wall time", wall.label, wall.place), ("iterations", "iterations", count_iterations)):
            title = f"{titles[name]}, over {kind}"
            plot = _plot(family, title, label, read, place, is_log=name != "reward")
            plots.append(page.make_plot(plot, f"workers-{name}-{kind.replace(' ', '-')}-{key}"))
    name = f"<h3>{text(family.label)}</h3>" if is_named else ""
    return f"{name}{_make_table(family)}{page.make_grid(plots, 'pairs')}"


def _make_reader(name: str, scale: float = 1.0) -> Curve:
    """Return a function that reads steps and values of a curve of a run."""

    def read(run: RunData) -> tuple[Array, Array]:
        if name == "reward" and len(run.episodes):
            return keep_last(run.episodes.steps.astype(float), compute_running_mean(run.episodes.reward))
        values = run.curve.get(name, np.empty(0))
        known = np.isfinite(values)
        return run.curve["steps"][: len(values)][known], scale * values[known]

    return read


def _plot(family: Family, title: str, label: str, read: Curve, place: Callable[[RunData, Array], Array], is_log: bool) -> Plot:
    curves = {n: [(place(run, steps), y) for run in runs for steps, y in [read(run)]] for n, runs in family.by_workers.items()}
    curves = {n: [(x, y) for x, y in found if len(x)] for n, found in curves.items()}
    log = is_log and spans_decades(np.concatenate([np.empty(0), *(y for found in curves.values() for _, y in found)]))
    bands, lines = [], []
    for color, (count, found) in enumerate(curves.items()):
        if not found:
            continue
        band = compute_band(found, log=log)
        if len(found) > 1:
            bands.append(Series("", band.x, band.low, "band", color, high=band.high))
        lines.append(Series(_name_count(count), band.x, band.median, "line", color))
    series = (*bands, *lines)
    limits, _ = choose_limits(np.empty(0), [part for one in series for part in (one.y, one.high) if part is not None])
    return Plot(title, label, series, log=log, limits=None if log else limits, size=(560, 300))


def _make_table(family: Family) -> str:
    base = next((runs for count, runs in family.by_workers.items() if count > 0), [])
    reference = _compute_median([_get_speed(run) for run in base])
    rows = []
    for color, (count, runs) in enumerate(family.by_workers.items()):
        speed = _compute_median([_get_speed(run) for run in runs])
        rows.append(
            [
                f'<i style="--c:var(--{name_color(color)})"></i>{text(_name_count(count))}',
                str(len(runs)),
                _show([run.wall_s for run in runs], "{:.1f}"),
                _show([_get_speed(run) for run in runs], "{:,.0f}"),
                f"{speed / reference:.2f}" if speed and reference else "–",
                _show([run.machine_hours for run in runs], "{:.3g}"),
                *(_show(_read_results(runs, name), "{:.3f}") for name in runs[0].measures),
            ]
        )
    measures = [f"{name_summary(m)}{f' [{m.unit}]' if m.unit else ''}" for m in family.by_workers[count][0].measures.values()]
    head = ("", "runs", "training [s]", "steps per second", "speed-up", "machine-hours", *measures)
    return page.make_table(head, rows, "stack")


def _read_results(runs: Sequence[RunData], name: str) -> list[float]:
    """Return a measure of the evaluations, in its shown unit."""
    found = [(run, read_measured(run.evaluation)) for run in runs if run.evaluation is not None]
    return [run.measures[name].scale * measured[name] for run, measured in found if name in measured]


def _get_speed(run: RunData) -> float:
    return run.steps / run.wall_s if run.wall_s else 0.0


def _compute_median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _show(values: Sequence[float], form: str) -> str:
    """Return median and range as a cell."""
    if not values:
        return "–"
    median, low, high = (form.format(value) for value in (float(np.median(values)), min(values), max(values)))
    return median + (f' <span class="range">({low}–{high})</span>' if low != high else "")


def _name_count(count: int) -> str:
    return "without workers" if count == 0 else f"{count} worker{'s' * (count > 1)}"


def _get_count(run: RunData) -> int:
    return run.config.workers or 0


def _list_counts(runs: Sequence[RunData]) -> list[int]:
    return sorted({_get_count(run) for run in runs})


def _select(runs: Sequence[RunData], count: int) -> list[RunData]:
    return [run for run in runs if _get_count(run) == count]


def _make_key(run: RunData, without: Sequence[str]) -> str:
    own = {name: value for name, value in get_arguments(run).items() if name not in without}
    return json.dumps([run.config.algo, own], sort_keys=True, default=str)


def _are_tied(runs: Sequence[RunData]) -> bool:
    """Return whether the tied arguments follow from the number of workers."""
    values: dict[int, set[str]] = {}
    for run in runs:
        own = get_arguments(run)
        values.setdefault(_get_count(run), set()).add(json.dumps([own.get(name) for name in TIED]))
    return all(len(found) == 1 for found in values.values())


def _name(family: Sequence[RunData], others: Sequence[Sequence[RunData]]) -> str:
    """Return the algorithm of a family, and its arguments in which others of this algorithm differ."""
    own = get_arguments(family[0])
    peers = [get_arguments(other[0]) for other in others if other[0].config.algo == family[0].config.algo]
    skipped = ("workers", *(TIED if _are_tied(family) and len(peers) == 1 else ()))
    names = [name for name in own if name not in skipped and any(peer.get(name) != own[name] for peer in peers)]
    return ", ".join([family[0].config.algo, *(f"{name.replace('_', ' ')} {format_argument(own[name])}" for name in names)])
