"""Whether this machine has a screen for windows."""

from __future__ import annotations

import os
import sys

from gym_gazebo2.errors import RenderError

__all__ = ["check_display", "has_display"]


def has_display() -> bool:
    """Tell whether windows can be opened, as far as the environment tells."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def check_display(otherwise: str) -> None:
    """Raise a RenderError where no window can be opened.

    Args:
        otherwise: What to do without one, after "Start from a desktop session, or".
    """
    if not has_display():
        raise RenderError(f"No window can be opened here: DISPLAY is not set. Start from a desktop session, or {otherwise}.")
