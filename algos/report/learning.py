"""The plots of one training: its episodes, its evaluations, and the quantities that the algorithm logs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.report.axes import Axis, choose_limits, spans_decades
from gym_gazebo2.algos.report.curves import compute_running_mean, compute_trend, keep_last
from gym_gazebo2.algos.report.figure import Plot, Series
from gym_gazebo2.algos.report.run_data import RunData

__all__ = ["get_constants", "plot_internals", "plot_measure", "plot_reward", "plot_success"]

Array = NDArray[np.float64]

INTERNALS = {
    "loss": "Loss",
    "policy_gradient_loss": "Policy loss",
    "policy_loss": "Policy loss",
    "policy_objective": "Policy objective",
    "actor_loss": "Actor loss",
    "value_loss": "Value loss",
    "imitation_loss": "Squared distance from the teacher's actions",
    "teacher_share": "Share of steps in which the teacher acts",
    "critic_loss": "Critic loss",
    "entropy_loss": "Entropy loss",
    "approx_kl": "KL divergence",
    "kl_divergence_loss": "KL divergence",
    "kl": "KL divergence",
    "std": "Standard deviation of the actions",
    "ent_coef": "Entropy coefficient",
    "ent_coef_loss": "Loss of the entropy coefficient",
    "clip_fraction": "Share of clipped updates",
    "explained_variance": "Explained variance of the value",
    "learning_rate": "Learning rate",
}
"""Column of the log → title of its plot, in the order of the page. Other columns follow under their own names."""
COUNTERS = ("n_updates",)
"""Columns that only count up; they get no plot."""
PREFIX = "train/"
"""Prefix of the columns in which SB3 logs an algorithm's own quantities."""


def plot_reward(data: RunData, axis: Axis) -> Plot:
    """Return a plot of the reward: every episode, the mean of the last 100, the trend, and the evaluations."""
    episodes = data.episodes
    x = axis.choose(episodes.wall_s, episodes.steps)
    mean, trend = compute_running_mean(episodes.reward), compute_trend(x, episodes.reward)
    evaluated = axis.read(data, "reward")
    # A few rewards far below the others, as of early crashes, would flatten the curve; they are left out, and counted.
    limits, outside = choose_limits(episodes.reward, (mean, trend[1], evaluated[1]))
    series = (
        Series("episode", x, episodes.reward, "dots", 0),
        Series("trend", *trend, "line", 4),
        Series("mean of the last 100", *keep_last(x, mean), "line", 0),
        Series("evaluations", *evaluated, "points", 1),
    )
    return Plot("Reward per episode", axis.label, _drop_empty(series), limits=limits, note=_describe_outside(outside))


def plot_measure(data: RunData, axis: Axis, name: str) -> Plot:
    """Return a plot of a measure at the end of every episode and in the evaluations.

    Args:
        data: The run.
        axis: The x axis.
        name: Name of the measure.
    """
    measure, episodes = data.measures[name], data.episodes
    unit = f" [{measure.unit}]" if measure.unit else ""
    ends = measure.scale * episodes.measures.get(name, np.full(len(episodes), np.nan))
    at, values = axis.read(data, name)
    values = measure.scale * values
    log = spans_decades(values)
    known = ends > 0.0 if log else np.isfinite(ends)  # a logarithmic axis has no place for zero
    x, ends = axis.choose(episodes.wall_s, episodes.steps)[known], ends[known]
    # On a logarithmic axis the trend is that of the logarithm; the trend of the values would follow the largest alone.
    trend_x, trend = compute_trend(x, np.log(ends) if log else ends)
    series = (
        Series("episode", x, ends, "dots", 0),
        Series("trend", trend_x, np.exp(trend) if log else trend, "line", 4),
        Series("evaluations, RMS" if measure.summary == "rms" else "evaluations", at, values, "points", 1),
    )
    return Plot(
        f"{_capitalize(measure.label)} at the end{unit}",
        axis.label,
        _drop_empty(series),
        log=log,
        rules=_make_rules(data, name),
    )


def _capitalize(label: str) -> str:
    """Return a label with a capital first letter. ``str.capitalize`` would change the rest, which may hold names."""
    return label[:1].upper() + label[1:]


def _make_rules(data: RunData, name: str) -> tuple[tuple[float, str], ...]:
    """Return the horizontal lines of a measure's threshold and of the training's target, with their labels."""
    measure, target = data.measures[name], data.config.target_condition
    bounds = {"success": measure.threshold, "target": target.value if target is not None and target.name == name else None}
    scaled = {label: measure.scale * bound for label, bound in bounds.items() if bound is not None}
    return tuple((value, f"{label}, {value:g} {measure.unit}".rstrip()) for label, value in scaled.items())


def plot_success(data: RunData, axis: Axis) -> Plot:
    """Return a plot of the success rate: of the last 100 episodes, and of the evaluations."""
    episodes = data.episodes
    x = axis.choose(episodes.wall_s, episodes.steps)
    evaluated_x, rate = axis.read(data, "success_rate")
    success = compute_running_mean(episodes.success)
    series = (
        Series("last 100 episodes", *keep_last(x, 100.0 * success), "line", 0),
        Series("evaluations", evaluated_x, 100.0 * rate, "points", 1),
    )
    return Plot("Success [%]", axis.label, _drop_empty(series), limits=(-4.0, 104.0))


def plot_internals(data: RunData, axis: Axis) -> list[Plot]:
    """Return a plot of each of the algorithm's logged quantities that changes."""
    names = [name for name in _get_columns(data) if not _is_constant(data, name)]
    return [_plot_column(data, axis, name) for name in names]


def get_constants(data: RunData) -> dict[str, float]:
    """Return the algorithm's logged quantities that never change: title → value."""
    names = [name for name in _get_columns(data) if _is_constant(data, name)]
    return {_get_title(name): float(data.log[name][1][0]) for name in names}


def _plot_column(data: RunData, axis: Axis, name: str) -> Plot:
    steps, values = data.log[name]
    finite = np.isfinite(values)
    x, values = axis.place(data, steps)[finite], values[finite]
    # Percentiles, so that a single outlier does not choose the axis.
    low, high = np.percentile(values, [10.0, 90.0])
    log = bool(values.min() > 0.0 and high > 30.0 * low)
    return Plot(_get_title(name), axis.label, (Series(name.removeprefix(PREFIX), x, values, "line", 0),), log, size=(380, 205))


def _get_columns(data: RunData) -> list[str]:
    """Return the columns of the algorithm's quantities, in the order of the page."""
    columns = [name for name in data.log if name.startswith(PREFIX) and np.isfinite(data.log[name][1]).any()]
    order = list(INTERNALS)
    known = sorted(
        (n for n in columns if n.removeprefix(PREFIX) in INTERNALS), key=lambda n: order.index(n.removeprefix(PREFIX))
    )
    return known + sorted(n for n in columns if n.removeprefix(PREFIX) not in (*INTERNALS, *COUNTERS))


def _is_constant(data: RunData, name: str) -> bool:
    values = data.log[name][1]
    return bool(np.ptp(values[np.isfinite(values)]) == 0.0)


def _get_title(name: str) -> str:
    short = name.removeprefix(PREFIX)
    return INTERNALS.get(short, short.replace("_", " ").capitalize())


def _drop_empty(series: tuple[Series, ...]) -> tuple[Series, ...]:
    return tuple(entry for entry in series if len(entry.x))


def _describe_outside(count: int) -> str:
    return f"{count:,} episode{'s' if count > 1 else ''} outside the frame." if count else ""
