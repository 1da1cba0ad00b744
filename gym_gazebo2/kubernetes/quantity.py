"""Quantities of Kubernetes, such as 2.5, 500m or 3.8Gi."""

from __future__ import annotations

import re

from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["read_quantity"]

FACTORS = {"": 1.0, "m": 1e-3} | {letter: 1000.0**n for n, letter in enumerate("kMGTPE", 1)}
FACTORS |= {f"{letter}i": 1024.0**n for n, letter in enumerate("KMGTPE", 1)}
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z]*)")


def read_quantity(name: str, value: str) -> float:
    """Return the number that a quantity stands for.

    Args:
        name: Name of the argument, for the error.
        value: The quantity.

    Raises:
        InvalidArgumentError: It is no positive quantity.
    """
    match = QUANTITY.fullmatch(value)
    if match is None or match[2] not in FACTORS or float(match[1]) <= 0:
        raise InvalidArgumentError(name, value, "a positive quantity of Kubernetes, such as 2.5, 500m or 3.8Gi")
    return float(match[1]) * FACTORS[match[2]]
