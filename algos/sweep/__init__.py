"""Sweeps: many trainings over ids, algorithms, seeds and hyperparameters, in parallel and resumable."""

from gym_gazebo2.algos.sweep.config import Point, SweepConfig
from gym_gazebo2.algos.sweep.runner import sweep

__all__ = ["Point", "SweepConfig", "sweep"]
