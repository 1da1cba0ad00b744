"""The table of backends: the engines and robots that move arms. A row is imported when it is first used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from gym_gazebo2.backends.base import Backend
from gym_gazebo2.backends.restart import OnFailure, RestartingBackend, check_on_failure
from gym_gazebo2.checks import add_row
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UnsupportedError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.scene import Scene

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendFactory",
    "OnFailure",
    "get_factory",
    "make_backend",
    "make_painter",
    "register_backend",
]

BackendFactory = Callable[..., Backend]
"""Called as factory(robot, num_envs=…, control_dt=…, **options)."""

BACKENDS: dict[str, str | BackendFactory] = {
    "fake": "gym_gazebo2.backends.fake:FakeBackend",
    "mujoco": "gym_gazebo2.backends.mujoco:MujocoBackend",
    "ros2": "gym_gazebo2.backends.ros2:Ros2Backend",
    "gazebo": "gym_gazebo2.backends.gazebo:GazeboBackend",
    "gz_sim": "gym_gazebo2.backends.gazebo:GzSimBackend",
}


def register_backend(name: str, factory: str | BackendFactory) -> None:
    """Add a backend to the table. Adding the same backend again changes nothing.

    Args:
        name: Name of the backend.
        factory: A class or function that makes the backend, or its "module:attribute", imported when first used.

    Raises:
        InvalidArgumentError: Another backend has this name.
    """
    add_row(BACKENDS, name, factory)


def make_backend(
    backend: str | BackendFactory, robot: RobotSpec, *, on_failure: OnFailure = "raise", **options: Any
) -> Backend:
    """Make a backend of the table, or call a factory.

    Args:
        backend: Name of a row of ``BACKENDS``, or a factory.
        robot: The arm.
        on_failure: "raise" a BackendError, or "restart" the simulator, truncate the current episodes and continue.
        **options: Keywords of the backend: ``num_envs``, ``control_dt`` and its own.

    Raises:
        UnknownNameError: The table has no such row, or ``on_failure`` is neither "raise" nor "restart".
        InvalidArgumentError: The backend has no such keyword, or its value is invalid.
        MissingDependencyError: The backend's package is not installed.
        UnsupportedError: A scene is given, and the backend has none.
    """
    check_on_failure(on_failure)
    factory = get_factory(backend)
    _check_options(factory, robot, options)
    if on_failure == "raise":
        return factory(robot, **options)
    return RestartingBackend(lambda: factory(robot, **options))


def _check_options(factory: BackendFactory, robot: RobotSpec, options: dict[str, Any]) -> None:
    """Raise an InvalidArgumentError that lists the keywords of a factory, if it does not take the given ones."""
    # Comparing with the signature beforehand keeps a TypeError from inside the constructor apart from a wrong keyword.
    signature = inspect.signature(factory)
    if options.get("scene") is not None and not _takes(signature, "scene"):
        name = getattr(factory, "__name__", repr(factory))
        raise UnsupportedError(f"The backend {name} has no scenes: it takes no keyword 'scene'. The 'mujoco' backend does.")
    try:
        signature.bind(robot, **options)
    except TypeError as error:
        own = {"num_envs", "control_dt"}  # arguments of the environment, not options that the user gave
        accepted = ", ".join(name for name in list(signature.parameters)[1:] if name not in own)
        given = {name: value for name, value in options.items() if name not in own}
        raise InvalidArgumentError("backend_options", given, f"only these keywords: {accepted} ({error})") from error


def _takes(signature: inspect.Signature, name: str) -> bool:
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    return name in signature.parameters or inspect.Parameter.VAR_KEYWORD in kinds


def get_factory(backend: str | BackendFactory) -> BackendFactory:
    """Return the factory of a row of the table, imported. A factory is returned as it is.

    Raises:
        UnknownNameError: The table has no such row.
        InvalidArgumentError: The value is neither a name nor a factory.
        MissingDependencyError: The backend's package is not installed.
    """
    if not isinstance(backend, str):
        if not callable(backend):
            raise InvalidArgumentError("backend", backend, f"a factory, or one of the names {', '.join(sorted(BACKENDS))}")
        return backend
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    row = BACKENDS[backend]
    if not isinstance(row, str):
        return row
    module, attribute = row.split(":")
    factory: BackendFactory = getattr(importlib.import_module(module), attribute)
    return factory


def make_painter(robot: RobotSpec, width: int, height: int, scene: Scene | None = None) -> Any:
    """Return a painter: it draws an arm from its joint positions, whichever backend moves the arm.

    ``draw(q, p_goal, camera, objects)`` returns a picture (height, width, 3); ``close()`` frees the OpenGL context.

    Args:
        robot: The arm.
        width: Width of the pictures [px].
        height: Height of the pictures [px].
        scene: What stands around the arm; None: only the floor.

    Raises:
        MissingDependencyError: mujoco is not installed.
        RenderError: This machine has no off-screen OpenGL.
    """
    from gym_gazebo2.backends.mujoco.rendering import Painter

    return Painter(robot, width, height, scene)
