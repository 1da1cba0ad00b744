"""An environment id whose steps take 1 ms each: a stand-in for a slow simulator, without its load on the processors.

Import it as ``benchmarks.slow_arm:SlowSCARA-v0``, also in worker processes.
"""

from __future__ import annotations

import time

from numpy.typing import NDArray

from gym_gazebo2.backends import register_backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.registration import EnvRow, register_env
from gym_gazebo2.state import ArmState

STEP_S = 1e-3


class SlowBackend(FakeBackend):
    """The reference backend, which sleeps for 1 ms per arm and step: arms take turns, as in one simulator."""

    def step(self, q_setpoint: NDArray) -> ArmState:
        """Sleep, and step."""
        time.sleep(STEP_S * self.num_envs)
        return super().step(q_setpoint)


register_backend("slow", SlowBackend)
register_env("SlowSCARA-v0", EnvRow("scara", "scara_reach", {"backend": "slow"}))
