"""What a robot's file holds, what was assumed about it, and what is wrong with it."""

from __future__ import annotations

from gym_gazebo2.inspection.examine import Examination, RobotQuestion, examine_robot
from gym_gazebo2.inspection.facts import JointFacts, RobotFacts, collect_facts

__all__ = ["Examination", "JointFacts", "RobotFacts", "RobotQuestion", "collect_facts", "examine_robot"]
