"""Registers the ids of gym_gazebo2 as soon as Gymnasium is imported, in this process and in every worker process.

With it ``import gymnasium`` is enough for ``gymnasium.make("MARA-v0")``. Without it, each program and each worker process that
unpickles such a call must import ``gym_gazebo2`` first. Gymnasium itself looked for other packages' ids through the entry
point ``gymnasium.envs`` until 1.0, and no longer does.

Python imports this module at every start of the interpreter, because ``gym_gazebo2_autoload.pth`` lies beside it in
site-packages. It puts one finder in front of ``sys.meta_path``, which waits for the name "gymnasium" and then removes itself.
Cost, measured with ``python -X importtime``: 0.2 ms per start of Python, and 2 ms per import of Gymnasium, which takes more
than 100 ms by itself. A program that does not import Gymnasium imports nothing of this package.

Set the environment variable ``GYM_GAZEBO2_AUTOLOAD=0`` to switch it off; ``import gym_gazebo2`` then registers the ids.
"""

from __future__ import annotations

import os
import sys

# typing and importlib.machinery are imported for type checkers alone: importing them took nine tenths of this module's time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

SWITCH = "GYM_GAZEBO2_AUTOLOAD"
"""Environment variable that switches the registration off with the value 0."""


class GymnasiumWatcher:
    """A finder of modules that adds the registration of the ids to the import of Gymnasium, and finds nothing else."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return Gymnasium's own spec with the registration added; None for every other module.

        Args:
            name: Full name of the module that is imported.
            path: Part of the interface of finders; unused.
            target: Part of the interface of finders; unused.
        """
        if name != "gymnasium":
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)  # otherwise the search below would come back here
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _AndRegister(spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


class _AndRegister:
    """Executes a module, then registers the ids."""

    def __init__(self, execute: Callable[[ModuleType], None]) -> None:
        self.execute = execute

    def __call__(self, module: ModuleType) -> None:
        self.execute(module)
        # Registration comes after Gymnasium is complete, as it needs the registry. A broken installation of this package must
        # not break Gymnasium for programs that do not use it, so the error becomes a warning.
        try:
            import gym_gazebo2  # noqa: F401
        except ImportError as error:
            import warnings

            warnings.warn(f"The ids of gym_gazebo2 are not registered: {error}", ImportWarning, stacklevel=2)


if os.environ.get(SWITCH) != "0" and "gymnasium" not in sys.modules:
    sys.meta_path.insert(0, GymnasiumWatcher())  # type: ignore[arg-type]
