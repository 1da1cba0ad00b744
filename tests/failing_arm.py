"""An id whose simulator fails at its first step, also in worker processes that import this module."""

from gym_gazebo2.backends import register_backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.errors import BackendError
from gym_gazebo2.registration import EnvRow, register_env


class FailingBackend(FakeBackend):
    def step(self, q_setpoint):
        raise BackendError("The simulator stands still.")


register_backend("failing", FailingBackend)
register_env("Failing-v0", EnvRow("scara", "scara_reach", {"backend": "failing"}))
