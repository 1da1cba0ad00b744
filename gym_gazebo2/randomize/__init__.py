"""Domain randomization as data: what varies from one episode to the next, in ranges, and the draws from them.

A policy that has seen many frictions, masses, delays and sensor errors in simulation is less surprised by those of a robot
(Tobin et al. 2017, Peng et al. 2018). Nothing here knows a simulator or a task.
"""

from __future__ import annotations

from gym_gazebo2.randomize.draws import Randomizer
from gym_gazebo2.randomize.engines import check_engine
from gym_gazebo2.randomize.ranges import Randomize, read_randomize

__all__ = ["Randomize", "Randomizer", "check_engine", "read_randomize"]
