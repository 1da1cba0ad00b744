"""The embedded physics, MuJoCo. This package is the only place that imports the engine.

Raises:
    MissingDependencyError: On import, if mujoco is not installed.
"""

from __future__ import annotations

import os
import sys

from gym_gazebo2.errors import MissingDependencyError


def _import_engine() -> None:
    """Import MuJoCo, without its graphics if the library that MUJOCO_GL names cannot be loaded.

    MuJoCo loads that library on import, and fails without it, also where nothing is drawn. Pictures then raise a RenderError.
    """
    try:
        import mujoco.batch
    except Exception:
        if "MUJOCO_GL" not in os.environ or "mujoco._structs" not in sys.modules:
            raise
        chosen = os.environ["MUJOCO_GL"]
        os.environ["MUJOCO_GL"] = "disable"
        try:
            import mujoco.batch  # noqa: F401
        finally:
            os.environ["MUJOCO_GL"] = chosen


try:
    _import_engine()
except ImportError as error:
    raise MissingDependencyError("mujoco", "mujoco") from error

from gym_gazebo2.backends.mujoco.backend import PHYSICS_DT, MujocoBackend  # noqa: E402
from gym_gazebo2.backends.mujoco.clock import stop_clock  # noqa: E402

stop_clock()

__all__ = ["PHYSICS_DT", "MujocoBackend"]
