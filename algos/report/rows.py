"""What is told of an evaluation, in which order and form, and the 2019 paper's figures beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gym_gazebo2.algos.env_id import drop_module
from gym_gazebo2.algos.runs.json import is_number, is_number_or_none
from gym_gazebo2.registration import ENVIRONMENTS

__all__ = ["CURVE", "CURVE_COLUMNS", "EVALUATION", "Fields", "PAPER", "ROWS", "TRAINING", "format_row", "get_paper"]

ROWS: dict[str, tuple[str, str]] = {
    "success_rate": ("success rate", "{:.0%}"),
    "accuracy_rms_mm": ("accuracy, RMS [mm]", "{:.3f}"),
    "repeatability_rms_mm": ("repeatability, RMS [mm]", "{:.3f}"),
    "iso9283_ap_mm": ("ISO 9283 AP [mm]", "{:.3f}"),
    "iso9283_rp_mm": ("ISO 9283 RP [mm]", "{:.3f}"),
    "orientation_error_rms_deg": ("orientation error, RMS [°]", "{:.2f}"),
    "collision_rate": ("runs with contact", "{:.0%}"),
    "median_steps_to_goal": ("median steps to the goal", "{:.0f}"),
    "train_wall_s": ("training, wall time [s]", "{:.1f}"),
    "train_steps": ("training, environment steps", "{:,}"),
    "time_to_target_s": ("time to the target [s]", "{:.1f}"),
}
"""Field of an ``Evaluation`` → its label and format, in the order to show."""

Fields = dict[str, Callable[[Any], bool]]
CURVE_COLUMNS = ("steps", "wall_s", "error_mm", "reward", "success_rate")


def is_curve(value: Any) -> bool:
    """Tell whether a value read from JSON is a list of evaluations."""
    return isinstance(value, list) and all(
        isinstance(row, dict) and all(is_number(row.get(name)) for name in CURVE_COLUMNS) for row in value
    )


EVALUATION: Fields = {
    **dict.fromkeys(ROWS, is_number_or_none),
    **dict.fromkeys(("accuracy_rms_mm", "repeatability_rms_mm", "success_rate", "runs"), is_number),
    **dict.fromkeys(("env", "algo", "backend"), lambda value: isinstance(value, str)),
}
TRAINING: Fields = {"train_wall_s": is_number, "train_steps": is_number}
CURVE: Fields = {"evaluations": is_curve}
"""What a report needs of ``evaluation.json``, ``training.json`` and ``curve.json``."""

PAPER = {
    "mara": {"accuracy_rms_mm": "0.05 / 0.075", "repeatability_rms_mm": "0.02 / 0.016", "train_wall_s": "3000 / 2000"},
    "scara": {"accuracy_rms_mm": "2.80 / 1.37", "repeatability_rms_mm": "4.52 / 3.57", "train_wall_s": "600 / 300"},
}
"""The 2019 paper's figures with one worker / with 8 (MARA's time: 4 or 8), by robot."""


def get_paper(env_id: str) -> dict[str, str]:
    """Return the paper's figures for the robot of an id, by row; empty where it has none."""
    row = ENVIRONMENTS.get(drop_module(env_id))
    return PAPER.get(row.robot, {}) if row else {}


def format_row(name: str, values: Mapping[str, Any]) -> str:
    """Return a field of an evaluation as it is shown: "never" where it never came to pass."""
    value = values[name]
    return "never" if value is None else ROWS[name][1].format(value)
