"""The measures of an environment id's task, and how their values are written in tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gym_gazebo2.algos.env_id import get_spec
from gym_gazebo2.algos.settings.conditions import SUCCESS, Condition
from gym_gazebo2.tasks import TASKS, Measure, Task

__all__ = [
    "describe_condition",
    "describe_measures",
    "format_value",
    "get_measures",
    "get_task",
    "name_summary",
    "read_measured",
    "show_measure",
    "to_si",
]


def get_task(env_id: str) -> Task | None:
    """Return the task of an id of this package, or of one registered with ``register_env``; None for other ids."""
    task = get_spec(env_id).kwargs.get("task")
    return TASKS.get(task) if isinstance(task, str) else task if isinstance(task, Task) else None


def get_measures(env_id: str) -> Mapping[str, Measure]:
    """Return name → measure. The first one decides which model is the best. Empty for ids without a task of this package."""
    task = get_task(env_id)
    return {} if task is None else task.MEASURES


def to_si(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of results in SI units. Versions before 0.1.0 stored the tool error in millimetres, as "error_mm"."""
    rest = {key: value for key, value in row.items() if key != "error_mm"}
    return rest | ({"position_error": row["error_mm"] / 1e3} if "error_mm" in row else {})


def format_value(value: float) -> str:
    """Return a number with about three significant digits: 0.0042, 0.176, 8.07, 131.1."""
    size = abs(value)
    if size < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if size < 1.0 else f"{value:.2f}" if size < 10.0 else f"{value:,.1f}"


def show_measure(measure: Measure, value: float) -> str:
    """Return a value [SI] in the measure's display unit, such as "0.176 mm"."""
    return f"{format_value(measure.scale * value)} {measure.unit}".rstrip()


def name_summary(measure: Measure) -> str:
    """Return the name of a measure's value over many episodes, such as "tool error, RMS"."""
    return f"{measure.label}, RMS" if measure.summary == "rms" else measure.label


def describe_measures(measures: Mapping[str, Measure], values: Mapping[str, float]) -> str:
    """Return labels and values of measures, such as "tool error 0.176 mm"; empty without measures."""
    return ", ".join(f"{measure.label} {show_measure(measure, values[name])}" for name, measure in measures.items())


def describe_condition(condition: Condition, measures: Mapping[str, Measure]) -> str:
    """Return a condition in words: "tool error 1 mm", "success rate 95 %", "mean reward 500"."""
    if condition.name in measures:
        measure = measures[condition.name]
        return f"{measure.label} {measure.scale * condition.value:g} {measure.unit}".rstrip()
    return f"success rate {100 * condition.value:g} %" if condition.name == SUCCESS else f"mean reward {condition.value:g}"


def read_measured(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return name → value [SI] of an ``evaluation.json``. Versions before 0.1.0 had separate fields for the tool's errors."""
    if "measures" in evaluation:
        return dict(evaluation["measures"])
    angle = evaluation.get("orientation_error_rms_deg")
    return {
        "position_error": evaluation["accuracy_rms_mm"] / 1e3,
        **({} if angle is None else {"orientation_error": math.radians(angle)}),
    }
