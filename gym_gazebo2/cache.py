"""The folder in which this package keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["find_cache"]


def find_cache() -> Path:
    """Return ``gym_gazebo2`` in the user's cache folder, which ``XDG_CACHE_HOME`` names. It may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gym_gazebo2"
