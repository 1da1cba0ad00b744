"""The error of everything around Gazebo 11."""

from __future__ import annotations

from gym_gazebo2.errors import GymGazebo2Error

__all__ = ["GazeboError"]


class GazeboError(GymGazebo2Error, RuntimeError):
    """Gazebo is missing, cannot be installed, or its plug-in cannot be built."""
