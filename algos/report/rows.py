"""What is told of an evaluation, in which order and form, and the 2019 paper's figures beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_gazebo2.registration import ENVIRONMENTS

__all__ = ["PAPER", "ROWS", "format_row", "get_paper"]

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
    "time_to_target_s": ("time to the target error [s]", "{:.1f}"),
}
"""Field of an ``Evaluation`` → its label and format, in the order to show."""

PAPER = {
    "mara": {"accuracy_rms_mm": "0.05 / 0.075", "repeatability_rms_mm": "0.02 / 0.016", "train_wall_s": "3000 / 2000"},
    "scara": {"accuracy_rms_mm": "2.80 / 1.37", "repeatability_rms_mm": "4.52 / 3.57", "train_wall_s": "600 / 300"},
}
"""The 2019 paper's figures with one worker / with 8 (MARA's time: 4 or 8), by robot."""


def get_paper(env_id: str) -> dict[str, str]:
    """Return the paper's figures for the robot of an id, by row; empty where it has none."""
    row = ENVIRONMENTS.get(env_id)
    return PAPER.get(row.robot, {}) if row else {}


def format_row(name: str, values: Mapping[str, Any]) -> str:
    """Return a field of an evaluation as it is shown: "never" where it never came to pass."""
    value = values[name]
    return "never" if value is None else ROWS[name][1].format(value)
