"""The public path of the K-FAC preconditioner; the implementation is ``natural.kfac``."""

from gym_gazebo2.algos.natural.kfac import KFAC

__all__ = ["KFAC"]
