"""Functions that the checks share: open a backend, reset it, put objects beside the arm, compare states, and raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import Backend
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.state import ArmState, Placement

__all__ = [
    "Factory", "compute_support", "expect", "expect_error", "get_arrays", "get_travel", "open_backend", "place_beside",
    "reset_arms", "reset_home",
]  # fmt: skip

Array = NDArray[np.float64]
Factory = Callable[[int], Backend]
"""Called with a number of arms; returns a new backend."""

ASIDE, APART = 0.5, 0.3
"""Objects are put this far beyond the arm's reach, and from each other [m]."""


def reset_home(backend: Backend) -> ArmState:
    """Put all arms at home, and objects beside them."""
    return reset_arms(backend, np.tile(backend.robot.home, (backend.num_envs, 1)))


def reset_arms(backend: Backend, q: Array) -> ArmState:
    """Put all arms at poses (n, dof), and objects beside them."""
    mask = np.ones(backend.num_envs, dtype=bool)
    return backend.reset(mask, q) if not backend.num_objects else backend.reset(mask, q, place_beside(backend))


def place_beside(backend: Backend, first: int = 0) -> Placement:
    """Return a placement of objects in a row, out of the arm's reach, on what is below them.

    Args:
        backend: A backend with objects.
        first: The first member of the pool; the next objects are the members behind it.
    """
    if backend.scene is None:
        raise ValueError("The backend has no scene.")
    pool, k = backend.scene.pool, backend.num_objects
    index = (first + np.arange(k)) % len(pool)
    pose = np.zeros((k, 7))
    pose[:, 0], pose[:, 1], pose[:, 3] = Kinematics(backend.robot).compute_reach() + ASIDE, APART * np.arange(k), 1.0
    pose[:, 2] = [compute_support(backend, x, y) for x, y in pose[:, :2]] + pool.half_size[index, 2]
    return Placement(np.tile(index, (backend.num_envs, 1)), np.tile(pose, (backend.num_envs, 1, 1)))


def compute_support(backend: Backend, x: float, y: float) -> float:
    """Return the height of the surface that supports an object at a place: the highest box there, or the floor [m]."""
    heights = [-backend.robot.mount_height]
    for box in backend.scene.boxes if backend.scene is not None else ():
        if abs(x - box.center[0]) <= box.half_size[0] and abs(y - box.center[1]) <= box.half_size[1]:
            heights.append(box.center[2] + box.half_size[2])
    return max(heights)


def get_travel(backend: Backend) -> Array:
    """Return the motion of each joint in one period at full speed, (dof,) [rad or m]."""
    return backend.robot.control_speed * backend.control_dt


def get_arrays(state: ArmState) -> tuple[NDArray[Any], ...]:
    """Return the arrays of a state, those of its objects included."""
    arm = state.time, state.q, state.dq, state.q_setpoint, state.in_collision
    objects = state.objects
    return arm if objects is None else (*arm, objects.index, objects.pose, objects.twist, objects.is_parked)


@contextmanager
def open_backend(factory: Factory, num_envs: int) -> Iterator[Backend]:
    """Make a backend, and close it in the end."""
    with closing(factory(num_envs)) as backend:
        yield backend


def expect(condition: bool, message: str) -> None:
    """Raise an ``AssertionError`` with a message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def expect_error(error: type[Exception], call: Callable[[], object], subject: str) -> None:
    """Raise an ``AssertionError`` unless a call raises an error."""
    try:
        call()
    except error:
        return
    raise AssertionError(f"{subject} was accepted, {error.__name__} expected")
