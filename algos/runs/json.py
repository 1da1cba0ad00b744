"""JSON files of a run: how they are written, and checks of the values read from them."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["is_number", "is_number_or_none", "to_json"]


def to_json(value: dict[str, Any]) -> bytes:
    """Return a JSON file's content; NaN is none of JSON's."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def is_number(value: Any) -> bool:
    """Tell whether a value read from JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_number_or_none(value: Any) -> bool:
    """Tell whether a value read from JSON is a finite number or null."""
    return value is None or is_number(value)
