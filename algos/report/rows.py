"""The rows of an evaluation: label and value of each figure, and the 2019 paper's figures for comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gym_gazebo2.algos.env_id import drop_module
from gym_gazebo2.algos.measures import get_measures, name_summary, read_measured
from gym_gazebo2.algos.runs.json import is_number, is_number_or_none
from gym_gazebo2.registration import ENVIRONMENTS
from gym_gazebo2.tasks import Measure

__all__ = [
    "CURVE",
    "EVALUATION",
    "PAPER",
    "TRAINING",
    "Fields",
    "Row",
    "format_digits",
    "get_paper",
    "get_paper_title",
    "make_rows",
]

Fields = dict[str, Callable[[Any], bool]]
Row = tuple[str, str]
"""Label and formatted value of a figure."""

ACCURACY = {
    "repeatability_rms_mm": "repeatability, RMS [mm]",
    "iso9283_ap_mm": "ISO 9283 AP [mm]",
    "iso9283_rp_mm": "ISO 9283 RP [mm]",
}
FIGURES: dict[str, tuple[str, str]] = {
    "collision_rate": ("runs with contact", "{:.0%}"),
    "mean_reward": ("mean reward", "{:.2f}"),
    "mean_length": ("mean steps of an episode", "{:.0f}"),
    "median_steps_to_goal": ("median steps to the goal", "{:.0f}"),
    "train_wall_s": ("training, wall time [s]", "{:.1f}"),
    "train_steps": ("training, environment steps", "{:,}"),
    "time_to_target_s": ("time to the target [s]", "{:.1f}"),
}
"""Field of an ``Evaluation`` → its label and format, in the order of the table."""
NONE_IS_NEVER = ("median_steps_to_goal", "time_to_target_s")
"""Fields in which None means that the event never happened, and not that the value is unknown."""


def is_curve(value: Any) -> bool:
    """Return whether a value read from JSON is a list of evaluations: rows of numbers with the columns common to all."""
    return isinstance(value, list) and all(
        isinstance(row, dict)
        and all(is_number(entry) for entry in row.values())
        and {"steps", "wall_s", "reward"} <= row.keys()
        for row in value
    )


EVALUATION: Fields = {
    **dict.fromkeys(("success_rate", "accuracy_rms_mm", *ACCURACY, "train_wall_s"), is_number_or_none),
    "runs": is_number,
    **dict.fromkeys(("env", "algo", "backend"), lambda value: isinstance(value, str)),
}
TRAINING: Fields = {"train_wall_s": is_number, "train_steps": is_number}
CURVE: Fields = {"evaluations": is_curve}
"""Fields that a report reads from ``evaluation.json``, ``training.json`` and ``curve.json``, each with a check of its value."""

PAPER = {
    "mara": {"position_error": "0.05 / 0.075", "repeatability_rms_mm": "0.02 / 0.016", "train_wall_s": "3000 / 2000"},
    "scara": {"position_error": "2.80 / 1.37", "repeatability_rms_mm": "4.52 / 3.57", "train_wall_s": "600 / 300"},
}
"""Figures of the gym-gazebo2 paper (arXiv:1903.06278), with one worker / with 8, by robot and name of the figure.

The times of MARA are those with 4 / 8 workers.
"""
PAPER_TITLES = {"mara": "2019 paper, 1 / 8 workers (times: 4 / 8)", "scara": "2019 paper, 1 / 8 workers"}
"""Titles of the paper's figures in tables, by robot."""


def get_paper(env_id: str) -> dict[str, str]:
    """Return the paper's figures for the robot of an id, by name; empty for robots and tasks that are not in the paper."""
    row = ENVIRONMENTS.get(drop_module(env_id))
    is_reach = row is not None and "position_error" in get_measures(env_id)
    return PAPER.get(row.robot, {}) if row is not None and is_reach else {}


def get_paper_title(env_id: str) -> str:
    """Return the title of the paper's figures for an id that ``get_paper`` knows."""
    return PAPER_TITLES[ENVIRONMENTS[drop_module(env_id)].robot]


def make_rows(evaluation: Mapping[str, Any], measures: Mapping[str, Measure]) -> dict[str, Row]:
    """Return name → label and value of every figure of an evaluation, in the order of the table.

    Args:
        evaluation: Fields of an ``Evaluation``.
        measures: The task's measures.
    """
    rows: dict[str, Row] = {}
    if evaluation.get("success_rate") is not None:
        rows["success_rate"] = ("success rate", format_success(evaluation))
    # The task's measures come first, in the order in which it names them, then accuracy, then the general figures.
    measured = read_measured(evaluation)
    for name, measure in measures.items():
        if name in measured:
            unit = f" [{measure.unit}]" if measure.unit else ""
            rows[name] = (name_summary(measure) + unit, format_digits(measure.scale * measured[name]))
    for name, label in ACCURACY.items():
        if evaluation.get(name) is not None:
            rows[name] = (label, format_digits(evaluation[name]))
    for name, (label, form) in FIGURES.items():
        if name in evaluation and (evaluation[name] is not None or name in NONE_IS_NEVER):
            rows[name] = (label, "never" if evaluation[name] is None else form.format(evaluation[name]))
    # "never" would be wrong where the environment reports no success, or where the training most likely had no target.
    if "success_rate" not in rows:
        rows.pop("median_steps_to_goal", None)
    if not measures and evaluation.get("time_to_target_s") is None:
        rows.pop("time_to_target_s", None)
    return rows


def format_success(evaluation: Mapping[str, Any]) -> str:
    """Return a success rate, with its 95 % confidence interval if the file has one."""
    interval = evaluation.get("success_interval")
    rate = f"{evaluation['success_rate']:.0%}"
    return rate if interval is None else f"{rate} (95 % CI {100 * interval[0]:.0f}–{100 * interval[1]:.0f}%)"


def format_digits(value: float) -> str:
    """Return a number with three decimals; below 0.01 with two significant digits instead."""
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0.0 else f"{value:.2g}"
