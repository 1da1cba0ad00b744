"""Registers the ids of gym_gazebo2 as soon as Gymnasium is imported, in this process and in every worker process.

Gymnasium read the entry point ``gymnasium.envs`` until 1.0, and reads it no more; a worker that unpickles
``gym.make("MARA-v0")`` then knows no such id. So ``gym_gazebo2_autoload.pth`` imports this module when Python starts. It
costs one finder that waits for the name "gymnasium", and imports nothing before that name comes.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class GymnasiumWatcher:
    """A finder that steps aside when Gymnasium is imported, and registers the ids after it."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return Gymnasium's own spec with the registration added; None for every other module."""
        if name != "gymnasium":
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _Then(spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


class _Then:
    """Execute a module, then register the ids."""

    def __init__(self, execute: Any) -> None:
        self.execute = execute

    def __call__(self, module: ModuleType) -> None:
        self.execute(module)
        try:
            import gym_gazebo2  # noqa: F401
        except ImportError as error:
            import warnings

            warnings.warn(f"The ids of gym_gazebo2 are not registered: {error}", ImportWarning, stacklevel=2)


if "gymnasium" not in sys.modules:
    sys.meta_path.insert(0, GymnasiumWatcher())
