"""Checks whether windows can be opened on this machine."""

from __future__ import annotations

import os
import sys

from gym_gazebo2.errors import RenderError

__all__ = ["check_display", "has_display"]


def has_display() -> bool:
    """Return whether windows can be opened, judged by the environment variables of X11 and Wayland."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def check_display(otherwise: str) -> None:
    """Check that windows can be opened.

    Args:
        otherwise: The alternative, for the error: it follows "Start from a desktop session, or".

    Raises:
        RenderError: Neither DISPLAY nor WAYLAND_DISPLAY is set.
    """
    if not has_display():
        raise RenderError(f"No window can be opened here: DISPLAY is not set. Start from a desktop session, or {otherwise}.")
