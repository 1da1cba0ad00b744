"""The ranges from which episodes draw, as one frozen record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gym_gazebo2.checks import read_number, read_whole
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["FACTORS", "MAX_LATENCY", "Randomize", "Range", "read_randomize"]

Range = tuple[float, float]

FACTORS = ("friction", "mass")
"""Factors that a placement carries to the engine, in the order in which they are drawn."""
LEAST_FACTOR, LARGEST_FACTOR = 0.1, 10.0
"""Limits of every factor. A factor outside them is probably a mistake in its unit, and makes contacts unstable."""
MAX_LATENCY = 20
"""Largest latency [control periods]: 1 s at the default control period."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Randomize:
    """What each episode draws at its reset, after everything else. A field that is None draws nothing.

    Draws are uniform and include both ends of a range. Lists, as from JSON, become tuples.

    Attributes:
        friction: Range of the factor on the friction of each object, in all its contacts.
        mass: Range of the factor on mass and inertia of each object.
        size: Range of the size of each object, relative to the one that the task chose. The object becomes a member of the
            scene's pool of the same kind, with a size in the range. The range must include 1.
        latency: Range of the delay of actions, in whole control periods. An episode has one delay.
        noise: Standard deviation of the Gaussian noise on observations, in the unit of each component: one number for all
            components, or one number per component. Each step draws new noise.
        noise_factor: Range of a factor on ``noise``, drawn once per episode. None: 1.
    """

    friction: Range | None = None
    mass: Range | None = None
    size: Range | None = None
    latency: tuple[int, int] | None = None
    noise: float | tuple[float, ...] | None = None
    noise_factor: Range | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InvalidArgumentError: A range is invalid, or ``noise_factor`` is given without ``noise``.
        """
        for name in ("friction", "mass", "size"):
            self._set(name, _read_factors)
        self._set("latency", _read_latency)
        self._set("noise", _read_noise)
        self._set("noise_factor", _read_noise_factor)
        if self.size is not None and not self.size[0] <= 1.0 <= self.size[1]:
            raise InvalidArgumentError("randomize.size", self.size, "a range that includes 1, the size that the task chose")
        if self.noise_factor is not None and self.noise is None:
            sentence = "randomize.noise_factor is given without randomize.noise. Give noise, too."
            raise InvalidArgumentError("randomize.noise_factor", self.noise_factor, sentence=sentence)

    def _set(self, name: str, read: Any) -> None:
        value = getattr(self, name)
        object.__setattr__(self, name, None if value is None else read(f"randomize.{name}", value))

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the fields that are given."""
        return tuple(field.name for field in dataclasses.fields(self) if getattr(self, field.name) is not None)


def read_randomize(value: Randomize | Mapping[str, Any] | None) -> Randomize | None:
    """Return the ranges of a keyword: a record, a dictionary of its fields, or None. Without any part, the result is None.

    Raises:
        UnknownNameError: A dictionary has another key.
        InvalidArgumentError: The value has another type, or a range is invalid.
    """
    if value is None:
        return None
    if not isinstance(value, Randomize):
        if not isinstance(value, Mapping):
            raise InvalidArgumentError("randomize", value, "a Randomize, or a dictionary of its fields")
        names = [field.name for field in dataclasses.fields(Randomize)]
        for name in value:
            if name not in names:
                raise UnknownNameError("field of randomize", name, names)
        value = Randomize(**value)
    return value if value.parts else None


def _read_pair(name: str, value: Any, expected: str) -> Sequence[Any]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InvalidArgumentError(name, value, expected)
    return value


def _read_range(name: str, value: Any, expected: str, least: float, largest: float) -> Range:
    low, high = (read_number(name, end, expected) for end in _read_pair(name, value, expected))
    if not least <= low <= high <= largest:
        raise InvalidArgumentError(name, value, expected)
    return low, high


def _read_factors(name: str, value: Any) -> Range:
    expected = f"two factors (lowest, highest) from {LEAST_FACTOR:g} to {LARGEST_FACTOR:g}"
    return _read_range(name, value, expected, LEAST_FACTOR, LARGEST_FACTOR)


def _read_noise_factor(name: str, value: Any) -> Range:
    expected = f"two factors (lowest, highest) from 0 to {LARGEST_FACTOR:g}"
    return _read_range(name, value, expected, 0.0, LARGEST_FACTOR)


def _read_latency(name: str, value: Any) -> tuple[int, int]:
    expected = f"two whole numbers of control periods (lowest, highest) from 0 to {MAX_LATENCY}"
    try:
        low, high = (read_whole(name, end, 0, MAX_LATENCY) for end in _read_pair(name, value, expected))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(name, value, expected) from error
    if low > high:
        raise InvalidArgumentError(name, value, expected)
    return low, high


def _read_noise(name: str, value: Any) -> float | tuple[float, ...]:
    expected = "a standard deviation of at least 0, or one per component of the observation"
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple) and value:
        return tuple(read_number(name, number, expected, lambda x: x >= 0.0) for number in value)
    return read_number(name, value, expected, lambda x: x >= 0.0)
