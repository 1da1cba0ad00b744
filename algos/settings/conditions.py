"""Conditions on what a training measures: when to stop, and up to which event the time is reported."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping

from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.tasks import Measure

__all__ = ["REWARD", "SUCCESS", "Condition", "check_condition", "find_default_target", "make_conditions", "parse_condition"]

REWARD = "reward"
"""Mean reward of the last 100 training episodes; every other name is a result of an evaluation."""
SUCCESS = "success_rate"
"""Share of an evaluation's episodes that end in success; known for every environment that reports success."""
PATTERN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(<=|>=)\s*(\S+)\s*")


@dataclasses.dataclass(frozen=True)
class Condition:
    """A bound on one figure, such as ``success_rate>=0.95``.

    Attributes:
        name: "reward", "success_rate" or the name of a measure of the task.
        operator: "<=" or ">=".
        value: The bound, in SI units.
    """

    name: str
    operator: str
    value: float

    def is_met(self, value: float) -> bool:
        """Return whether a value satisfies the bound; NaN does not."""
        return value <= self.value if self.operator == "<=" else value >= self.value

    def __str__(self) -> str:
        """Return the condition as it is written on the command line."""
        return f"{self.name}{self.operator}{self.value:g}"


def parse_condition(option: str, text: object) -> Condition:
    """Return the condition that a text such as "position_error<=0.001" describes.

    Args:
        option: The option, for the message.
        text: The text.

    Raises:
        InvalidArgumentError: The text has another form.
    """
    match = PATTERN.fullmatch(text) if isinstance(text, str) else None
    try:
        if match is None:
            raise ValueError(text)
        return Condition(match[1], match[2], float(match[3]))
    except ValueError as error:
        raise InvalidArgumentError(option, text, "NAME<=NUMBER or NAME>=NUMBER, such as success_rate>=0.95") from error


def check_condition(option: str, condition: Condition, measures: Mapping[str, object] | Collection[str]) -> None:
    """Raise an UnknownNameError unless the environment measures what the condition is about.

    Args:
        option: The option, for the message.
        condition: The condition.
        measures: Names of the task's measures.
    """
    known = [*measures, SUCCESS, REWARD]
    if condition.name not in known:
        raise UnknownNameError(f"figure for {option}", condition.name, known)


def make_conditions(
    option: str, text: str | None, error_mm: float | None = None, reward: float | None = None
) -> tuple[Condition, ...]:
    """Return the conditions given by an option and its short forms.

    Args:
        option: The option, for messages.
        text: A condition as text.
        error_mm: Largest tool error [mm].
        reward: Least mean reward.

    Raises:
        InvalidArgumentError: The text is no condition.
    """
    return (
        *(() if text is None else (parse_condition(option, text),)),
        *(() if error_mm is None else (Condition("position_error", "<=", error_mm / 1e3),)),
        *(() if reward is None else (Condition(REWARD, ">=", reward),)),
    )


def find_default_target(measures: Mapping[str, Measure]) -> Condition | None:
    """Return the target, or else the threshold, of the first measure that has one."""
    for name, measure in measures.items():
        bound = measure.threshold if measure.target is None else measure.target
        if bound is not None:
            return Condition(name, "<=" if measure.better == "less" else ">=", bound)
    return None
