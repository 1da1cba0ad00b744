"""The embedded physics, MuJoCo. This package is the only place that imports the engine.

Raises:
    MissingDependencyError: On import, if mujoco is not installed.
"""

from __future__ import annotations

from gym_gazebo2.errors import MissingDependencyError

try:
    import mujoco.batch  # noqa: F401
except ImportError as error:
    raise MissingDependencyError("mujoco", "mujoco") from error

from gym_gazebo2.backends.mujoco.backend import PHYSICS_DT, MujocoBackend

__all__ = ["PHYSICS_DT", "MujocoBackend"]
