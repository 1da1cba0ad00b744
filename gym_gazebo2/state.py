"""The state of arms and objects, as a backend returns it: frozen, batched records without any type of a simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTROL_DT", "PARK_POSITION", "ArmState", "ObjectState", "Placement"]

CONTROL_DT = 0.05
"""Default control period [s]: one step of an environment, and one command to an arm."""


PARK_POSITION = (0.0, 0.0, -10.0)
"""Reported position of an object that was taken away [m, base frame]. Engines may keep it elsewhere."""


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Objects to put somewhere at a reset, at rest.

    Attributes:
        index: (n, k) int64, members of the scene's pool, different ones for the k objects of an arm.
        pose: (n, k, 7) positions [m] and quaternions wxyz in the base frame.
        factors: "friction" and "mass" → (n, k) factors, until the next placement: on the friction of all contacts of an object,
            and on its mass and inertia. A missing name means 1, and so does None in place of the mapping. An engine accepts
            those of ``Backend.object_factors``.
    """

    index: NDArray[np.int64]
    pose: NDArray[np.float64]
    factors: Mapping[str, NDArray[np.float64]] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectState:
    """State of the k objects of each of n scenes.

    Attributes:
        index: (n, k) int64, members of the scene's pool.
        pose: (n, k, 7) positions [m] and quaternions wxyz in the base frame; ``PARK_POSITION`` where parked.
        twist: (n, k, 6) linear [m/s] and angular velocities [rad/s] along the base's axes; zeros where parked.
        is_parked: (n, k) bool, objects that the task has taken away.
    """

    index: NDArray[np.int64]
    pose: NDArray[np.float64]
    twist: NDArray[np.float64]
    is_parked: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class ArmState:
    """State of a batch of n arms at one instant of each arm's own time.

    Attributes:
        time: (n,) int64, simulated time since the arm's reset [ns].
        q: (n, dof) measured joint positions [rad].
        dq: (n, dof) measured joint velocities [rad/s].
        q_setpoint: (n, dof) set-points of the drives at the end of their last ramp [rad].
        in_collision: (n,) bool, whether links touched each other or the world at any physics step of the period. Contacts with
            objects do not count.
        objects: The objects of the scene; None for a scene without objects.
    """

    time: NDArray[np.int64]
    q: NDArray[np.float64]
    dq: NDArray[np.float64]
    q_setpoint: NDArray[np.float64]
    in_collision: NDArray[np.bool_]
    objects: ObjectState | None = None

    @property
    def num_envs(self) -> int:
        """Number of arms n."""
        return len(self.time)
