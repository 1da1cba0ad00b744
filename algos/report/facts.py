"""The sentences, figures and tables of a run's report."""

from __future__ import annotations

import json
from typing import Any

from gym_gazebo2.algos.measures import describe_condition, format_value, name_summary, read_measured, show_measure
from gym_gazebo2.algos.report.costs import PAPER_COST, PAPER_HOURS, PAPER_PRICE, Prices, list_unpriced, name_cost
from gym_gazebo2.algos.report.page import text
from gym_gazebo2.algos.report.rows import get_paper, make_rows
from gym_gazebo2.algos.report.run_data import RunData
from gym_gazebo2.algos.settings.prices import describe_prices
from gym_gazebo2.tasks import Measure

__all__ = ["describe", "describe_evaluation", "format_duration", "get_configuration", "get_cost", "get_figures", "get_results"]

HOUR_S = 3600.0
"""One hour [s]."""


def format_duration(seconds: float | None) -> tuple[str, str]:
    """Return a time as number and unit: seconds below 100 s, minutes below 2 h, else hours; "never" for None."""
    if seconds is None:
        return "never", ""
    if seconds < 100.0:
        return f"{seconds:.3g}", "s"
    if seconds < 2 * HOUR_S:
        return f"{seconds / 60.0:.1f}", "min"
    return f"{seconds / HOUR_S:.1f}", "h"


def describe(data: RunData) -> str:
    """Return two sentences: the extent of the training, and the result of the evaluation."""
    kind = "arm" if data.measures else "environment"
    arms = f"one {kind}" if data.config.num_envs == 1 else f"{data.config.num_envs} {kind}s in parallel"
    learned = f"{data.steps:,} steps in {' '.join(format_duration(data.wall_s))} on {arms}"
    first = f"{learned}." if data.training else f"{learned} so far; the training is not finished."
    if (result := data.evaluation) is None:
        return f"{first} Not evaluated yet."
    noise = f" from starts up to {get_start_noise(data):g} rad from home" if get_start_noise(data) else ""
    measured = read_measured(result)
    # An evaluation by a version before 0.1.0 lacks measures that the task has today.
    found = [_describe_value(m, measured[name]) for name, m in data.measures.items() if name in measured]
    if result["success_rate"] is not None:
        found.append(f"{round(result['success_rate'] * result['runs'])} of {result['runs']} succeeded")
    ended = ", ".join(found or [f"mean reward {format_value(result['mean_reward'])}"])
    return f"{first} In {result['runs']} runs{noise}: {ended}."


def _describe_value(measure: Measure, value: float) -> str:
    return f"{measure.label} {show_measure(measure, value)}{' (RMS)' if measure.summary == 'rms' else ''}"


def get_start_noise(data: RunData) -> float | None:
    """Return the start noise of a run's evaluation [rad]; the training's if the file is older than this field."""
    noise = (data.evaluation or {}).get("start_noise")
    return data.config.start_noise if noise is None else noise


def describe_evaluation(data: RunData) -> str:
    """Return those settings of a run's evaluation that can differ between runs; "–" if it was not evaluated."""
    if (result := data.evaluation) is None:
        return "–"
    noise = get_start_noise(data)
    parts = (
        f"{result['runs']} runs on {result['backend']}",
        f"starts ±{noise:g} rad" if noise != data.config.start_noise else "",
        "best model" if result.get("model") == "best_model" else "",
    )
    return ", ".join(filter(None, parts))


def get_figures(data: RunData, prices: Prices | None) -> dict[str, tuple[str, str]]:
    """Return the most important figures: label → number and unit.

    Args:
        data: The run.
        prices: Type of machine → price per hour; None: unknown.
    """
    figures: dict[str, tuple[str, str]] = {}
    if (result := data.evaluation) is not None:
        measured = read_measured(result)
        for name, measure in data.measures.items():
            if name in measured:
                figures[name_summary(measure)] = (format_value(measure.scale * measured[name]), measure.unit)
        if result["repeatability_rms_mm"] is not None:
            figures["repeatability, RMS"] = (format_value(result["repeatability_rms_mm"]), "mm")
        if result["success_rate"] is not None:
            figures[f"success in {result['runs']} runs"] = (f"{100 * result['success_rate']:.0f}", "%")
        # A task's own measures say more than its reward, so the reward is a figure only where there are none.
        if not data.measures:
            figures["mean reward"] = (format_value(result["mean_reward"]), "")
    if goal := describe_target(data):
        figures[f"to {goal}, wall time"] = format_duration(data.target and data.target[0])
    figures["training, wall time"] = format_duration(data.wall_s)
    if prices is None or (cost := data.compute_cost(prices)) is None:
        figures["steps per second"] = (f"{data.steps / data.wall_s if data.wall_s else 0.0:,.0f}", "")
    else:
        figures[name_cost(prices)] = (f"{cost:.2g}", "")
    return figures


def get_results(data: RunData) -> list[tuple[str, str, str]]:
    """Return the rows of the evaluation: label, value, and value of the 2019 paper; no rows before an evaluation."""
    if data.evaluation is None:
        return []
    paper = get_paper(data.config.env)
    rows = make_rows(data.evaluation, data.measures)
    return [(text(label), text(value), text(paper.get(name, ""))) for name, (label, value) in rows.items()]


def describe_target(data: RunData) -> str:
    """Return the training's target in words; empty if it has none."""
    condition = data.config.target_condition
    return "" if condition is None else describe_condition(condition, data.measures)


def get_cost(data: RunData, prices: Prices | None) -> list[tuple[str, str, str]]:
    """Return the rows of the training's cost: label, value, and value of all experiments of the 2019 paper.

    Args:
        data: The run.
        prices: Type of machine → price per hour; None: unknown.
    """
    target, goal, machines = data.target, describe_target(data), list(dict.fromkeys(one.host for one in data.held))
    reached = "never" if target is None else f"{' '.join(format_duration(target[0]))}, {target[1]:,} steps"
    rows = [
        *([(f"time to {goal}", reached, "")] if goal else []),
        ("wall time, evaluations included", " ".join(format_duration(data.wall_s)), ""),
        ("environment steps", f"{data.steps:,}", ""),
        ("steps per second", f"{data.steps / data.wall_s if data.wall_s else 0.0:,.0f}", ""),
        *([("machines", ", ".join(machines), "12")] if machines else []),
        ("machine-hours, start-up included", f"{data.machine_hours:.4g}", f"{PAPER_HOURS:,.0f}"),
    ]
    if prices is not None:
        cost = data.compute_cost(prices)
        missing = list_unpriced(data.holdings, prices)
        paid = f"– (no price for {', '.join(missing)})" if cost is None else f"{cost:.3g}"
        rows += [
            ("price of a machine", describe_prices(prices), f"{PAPER_PRICE} € per hour"),
            (name_cost(prices), paid, f"{PAPER_COST:.2f} €"),
        ]
        if target is not None and cost is not None and data.wall_s:
            rows.append((f"cost to {goal}", f"{cost * target[0] / data.wall_s:.3g}", ""))
    return [(text(name), text(value), text(paper)) for name, value, paper in rows]


def get_configuration(data: RunData) -> dict[str, list[tuple[str, str]]]:
    """Return the tables of the configuration, by title: arguments, hyperparameters, versions and machine."""
    # Hyperparameters have a table of their own; folder and display do not change the result.
    arguments = {name: value for name, value in vars(data.config).items() if name not in ("hyperparameters", "out", "progress")}
    about = data.about
    machine = {
        "processor": about.get("processor") or about.get("machine"),
        "processors": about.get("processor_count"),
        "system": about.get("platform"),
        "commit": about.get("git_commit"),
    }
    parts = {
        "Arguments": arguments,
        "Hyperparameters": data.config.hyperparameters,
        "Versions": about.get("versions", {}),
        "Machine": machine,
    }
    return {title: [_format_entry(*item) for item in values.items() if item[1] is not None] for title, values in parts.items()}


def _format_entry(name: str, value: Any) -> tuple[str, str]:
    shown = value if isinstance(value, str) else f"{value:,}" if _is_count(value) else json.dumps(value, default=str)
    return text(name.replace("_", " ")), text(shown)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
