"""Backends: the places where an arm moves. A backend is a row of a table, imported when it is used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from gym_gazebo2.backends.base import Backend
from gym_gazebo2.backends.restart import OnFailure, RestartingBackend, check_on_failure
from gym_gazebo2.checks import add_row
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.robots import RobotSpec

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
}


def register_backend(name: str, factory: str | BackendFactory) -> None:
    """Add a backend to the table; adding the same again is fine.

    Args:
        name: Name of the backend.
        factory: What makes it, or its "module:attribute" to import when used.

    Raises:
        InvalidArgumentError: The name is taken by another backend.
    """
    add_row(BACKENDS, name, factory)


def make_backend(
    backend: str | BackendFactory, robot: RobotSpec, *, on_failure: OnFailure = "raise", **options: Any
) -> Backend:
    """Make a backend of the table, or call a factory.

    Args:
        backend: Name of a row of ``BACKENDS``, or a factory.
        robot: The arm.
        on_failure: "raise" a BackendError; or "restart" the simulator, end the episodes under way and go on.
        **options: Passed on: ``num_envs``, ``control_dt``, and what the backend adds.

    Raises:
        UnknownNameError: The table has no such row, or there is no such way to go on after a failure.
        InvalidArgumentError: The backend does not take such an option.
        MissingDependencyError: The backend's package is not installed.
    """
    check_on_failure(on_failure)
    factory = get_factory(backend)
    _check_options(factory, robot, options)
    if on_failure == "raise":
        return factory(robot, **options)
    return RestartingBackend(lambda: factory(robot, **options))


def _check_options(factory: BackendFactory, robot: RobotSpec, options: dict[str, Any]) -> None:
    """Raise an InvalidArgumentError that lists the options of a factory where it does not take those given."""
    signature = inspect.signature(factory)
    try:
        signature.bind(robot, **options)
    except TypeError as error:
        taken = ", ".join(list(signature.parameters)[1:])
        raise InvalidArgumentError(
            "backend_options", options, f"options that the backend takes, of {taken} ({error})"
        ) from error


def get_factory(backend: str | BackendFactory) -> BackendFactory:
    """Return the factory of a row of the table, imported; a factory passes through.

    Raises:
        UnknownNameError: The table has no such row.
        InvalidArgumentError: It is neither a name nor a factory.
        MissingDependencyError: The backend's package is not installed.
    """
    if not isinstance(backend, str):
        if not callable(backend):
            raise InvalidArgumentError("backend", backend, f"a factory, or a name of: {', '.join(sorted(BACKENDS))}")
        return backend
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    row = BACKENDS[backend]
    if not isinstance(row, str):
        return row
    module, attribute = row.split(":")
    factory: BackendFactory = getattr(importlib.import_module(module), attribute)
    return factory


def make_painter(robot: RobotSpec, width: int, height: int) -> Any:
    """Return an object that draws an arm from its joint positions, whatever backend moves it.

    ``draw(q, p_goal, camera)`` returns a picture (height, width, 3); ``close()`` frees the OpenGL context.

    Raises:
        MissingDependencyError: mujoco is not installed.
        RenderError: This machine has no off-screen OpenGL.
    """
    from gym_gazebo2.backends.mujoco.rendering import Painter

    return Painter(robot, width, height)
