"""The simulator that tests of servers start: Gazebo 11, or with GYM_GAZEBO2_SIMULATOR=gz_sim today's Gazebo."""

from __future__ import annotations

import os

SIMULATOR = os.environ.get("GYM_GAZEBO2_SIMULATOR", "gazebo")
PLACE_STEPS = {"gazebo": 0, "gz_sim": 1}[SIMULATOR]
"""Physics steps that a placement takes."""
