"""The state of the arms, as a backend returns it: one frozen, batched record without any type of a simulator."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTROL_DT", "ArmState"]

CONTROL_DT = 0.05
"""Default control period [s]: one step of an environment, and one command to an arm."""


@dataclasses.dataclass(frozen=True, slots=True)
class ArmState:
    """State of a batch of n arms at one instant of each arm's own time.

    Attributes:
        time: (n,) int64, simulated time since the arm's reset [ns].
        q: (n, dof) measured joint positions [rad].
        dq: (n, dof) measured joint velocities [rad/s].
        q_setpoint: (n, dof) set-points of the drives at the end of their last ramp [rad].
        in_collision: (n,) bool, whether links touched each other or the world at any physics step of the period.
    """

    time: NDArray[np.int64]
    q: NDArray[np.float64]
    dq: NDArray[np.float64]
    q_setpoint: NDArray[np.float64]
    in_collision: NDArray[np.bool_]

    @property
    def num_envs(self) -> int:
        """Number of arms n."""
        return len(self.time)
