"""The tasks of panda-gym 3.0.7 under its own numbers: reach, push, slide, pick and place, stack, flip.

Numbers and order of the observation are those of the package (Gallouédec et al., "panda-gym: Open-source goal-conditioned
environments for robotic learning", 2021). Goals and observations are in its world frame, whose origin lies 0.6 m in front of
the arm's base; the engine's state is in the base frame.
"""

from __future__ import annotations

from gym_gazebo2.tasks.panda_gym.flip import FlipTask
from gym_gazebo2.tasks.panda_gym.rows import make_panda_gym_tasks
from gym_gazebo2.tasks.panda_gym.task import P_WORLD_IN_BASE, PandaGymTask

__all__ = ["P_WORLD_IN_BASE", "FlipTask", "PandaGymTask", "make_panda_gym_tasks"]
