"""Write the JSON files of a run, and check values read from them."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["is_number", "is_number_or_none", "to_json"]


def to_json(value: dict[str, Any]) -> bytes:
    """Return the content of a JSON file. NaN and infinity raise a ValueError, as JSON has neither."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def is_number(value: Any) -> bool:
    """Return whether a value read from JSON is a finite number. Python counts ``True`` as an integer; here it is no number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_number_or_none(value: Any) -> bool:
    """Return whether a value read from JSON is a finite number or null."""
    return value is None or is_number(value)
