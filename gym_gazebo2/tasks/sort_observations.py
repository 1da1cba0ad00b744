"""Observations of the sorting tasks: first the tool, then one block of numbers per object.

Objects that are sorted or lost are zeros, and come last; the remaining ones move to the front. So the first block is always the
object to sort next. A policy that has learnt to sort one object thereby sorts many: it need not see the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.scene import SHAPES
from gym_gazebo2.tasks.sort_view import SortView

__all__ = ["OBSERVATIONS", "ObjectObservation", "arrange"]

Array = NDArray[np.float64]

SHARE = 1.0001
"""Bound of a number between −1 and 1, with room for rounding to float32."""
ANGLE = np.pi + 0.001
"""Bound of an angle [rad]."""


@dataclasses.dataclass(frozen=True)
class ObjectObservation:
    """One form of the observation.

    Attributes:
        compute_tool: view → (n, a) numbers of the tool.
        compute_object: (view, bins (3, 3)) → (n, k, b) numbers of the objects.
        tool_bounds: (a,) largest absolute values.
        object_bounds: (b,) largest absolute values.
    """

    compute_tool: Callable[[SortView], Array]
    compute_object: Callable[[SortView, Array], Array]
    tool_bounds: tuple[float, ...]
    object_bounds: tuple[float, ...]


def arrange(objects: Array, remains: NDArray[np.bool_], slots: int) -> Array:
    """Return the blocks of objects (n, k, b) as (n, slots · b): remaining ones at the front, in their order, then zeros."""
    order = np.argsort(~remains, axis=1, kind="stable")
    kept = np.take_along_axis(objects * remains[..., None], order[..., None], axis=1)[:, :slots]
    n, k, b = kept.shape
    return np.concatenate([kept.reshape(n, k * b), np.zeros((n, (slots - k) * b))], axis=1)


def _one_hot(view: SortView) -> Array:
    return np.eye(len(SHAPES))[view.shape]


def _compute_source_tool(view: SortView) -> Array:
    width = 0.5 * (view.opening + 1.0)
    return np.column_stack([view.tcp, view.tcp_rpy, view.tcp_velocity, view.tcp_spin, width])


def _compute_source_object(view: SortView, bins: Array) -> Array:
    parts = [_one_hot(view), 2.0 * view.half_size, view.position, view.rpy, view.velocity, view.spin]
    return np.concatenate(parts, axis=-1)


def _compute_relative_tool(view: SortView) -> Array:
    return np.column_stack(
        [
            5.0 * (view.tcp - [0.5, 0.0, 0.2]),
            view.tcp_rpy,
            2.0 * view.tcp_velocity,
            view.tcp_spin,
            view.opening,
            view.opening_setpoint,
        ]
    )


def _compute_relative_object(view: SortView, bins: Array) -> Array:
    parts = [
        _one_hot(view),
        80.0 * view.half_size - 0.8,  # sizes of 30 to 60 mm become 0.4 to 1.6
        5.0 * (view.position - [0.5, 0.0, 0.05]),
        view.rpy,
        view.velocity,
        0.1 * view.spin,
        10.0 * (view.position - view.tcp[:, None]),
        5.0 * (bins[view.shape] - view.position),
    ]
    return np.concatenate(parts, axis=-1)


_TOOL_BOUNDS = (*(3.0,) * 3, *(ANGLE,) * 3, *(10.0,) * 3, *(30.0,) * 3)

OBSERVATIONS: dict[str, ObjectObservation] = {
    "relative": ObjectObservation(
        _compute_relative_tool,
        _compute_relative_object,
        (*(15.0,) * 3, *(ANGLE,) * 3, *(20.0,) * 3, *(30.0,) * 3, 1.5, SHARE),
        (*(SHARE,) * 3, *(4.0,) * 3, *(15.0,) * 3, *(ANGLE,) * 3, *(10.0,) * 3, *(10.0,) * 3, *(30.0,) * 3, *(15.0,) * 3),
    ),
    "source": ObjectObservation(
        _compute_source_tool,
        _compute_source_object,
        (*_TOOL_BOUNDS, 1.25),
        (*(SHARE,) * 3, *(0.2,) * 3, *(3.0,) * 3, *(ANGLE,) * 3, *(10.0,) * 3, *(100.0,) * 3),
    ),
}
"""Name → form. "relative" has scaled numbers, and the vectors from the tool to the object and from the object to its bin.
"source" has the unscaled numbers of the project from which the task was taken."""
