"""A backend that is made anew when its simulator fails: training goes on, and whoever looks can tell."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import Backend
from gym_gazebo2.errors import BackendError, UnknownNameError
from gym_gazebo2.state import ArmState

__all__ = ["MOST_RESTARTS", "OnFailure", "RestartingBackend", "check_on_failure"]

Array = NDArray[np.float64]
OnFailure = Literal["raise", "restart"]

LOG = logging.getLogger("gym_gazebo2.backends")
MOST_RESTARTS = 3
"""Restarts without a whole step between them; after so many, what is set up is broken."""


def check_on_failure(on_failure: str) -> None:
    """Raise an UnknownNameError unless it is a way to go on after a failure."""
    if on_failure not in get_args(OnFailure):
        raise UnknownNameError("on_failure", on_failure, get_args(OnFailure))


class RestartingBackend(Backend):
    """Arms of another backend. Where that one raises a BackendError, it is closed and made again.

    A step that fails returns the last state, and ``num_restarts`` grows: the episodes under way are over. A reset that fails is
    tried again, of every arm: those that were not to be reset start at home, for their episodes are over, too.

    Attributes:
        inner: The backend that moves the arms now.
    """

    def __init__(self, make: Callable[[], Backend], most: int = MOST_RESTARTS) -> None:
        """Make the first one; if that fails, nothing is tried again.

        Args:
            make: Makes a backend.
            most: Most restarts without a whole step between them.
        """
        self.inner = make()
        super().__init__(self.inner.robot, self.inner.num_envs, self.inner.control_dt)
        self.lock_step, self.is_shared, self.max_envs = self.inner.lock_step, self.inner.is_shared, self.inner.max_envs
        self._make, self._most, self._failures = make, most, 0

    @property
    def q_setpoint(self) -> Array:
        """(n, dof) set-points that the inner one's drives have reached [rad], as a copy."""
        return self.inner.q_setpoint

    def reset(self, mask: NDArray[np.bool_], q: Array) -> ArmState:
        """Put the masked arms at ``q``, in a new simulator where the old one fails, the others at home there."""
        self._check_open()
        try:
            self._state = self.inner.reset(mask, q)
        except BackendError as error:
            self._restart(error)
            return self.reset(np.ones_like(mask), np.where(mask[:, np.newaxis], q, self.robot.home))
        return self._state

    def step(self, q_setpoint: Array) -> ArmState:
        """Step; where that fails, start anew and return the last state."""
        self._check_open()
        try:
            self._state = self.inner.step(q_setpoint)
            self._failures = 0
        except BackendError as error:
            self._restart(error)
        return self._state

    def close(self) -> None:
        """Close the inner one; closing twice is fine."""
        super().close()
        self.inner.close()

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the inner one's."""
        return self.inner.get_state()

    def set_state(self, state: dict[str, NDArray[Any]]) -> ArmState:
        """Continue from what ``get_state`` returned."""
        self._state = self.inner.set_state(state)
        return self._state

    def camera(self, name: str, width: int, height: int) -> NDArray[np.uint8]:
        """Return the inner one's pictures."""
        return self.inner.camera(name, width, height)

    def render(self, mode: str, width: int, height: int) -> NDArray[np.uint8] | None:
        """Draw the inner one's first arm."""
        return self.inner.render(mode, width, height)

    def show_goal(self, goal: Array) -> None:
        """Show goals in the inner one's pictures."""
        self.inner.show_goal(goal)

    def _restart(self, error: BackendError) -> None:
        """Close what failed and make another.

        Raises:
            BackendError: It failed too often in a row.
        """
        self.inner.close()
        for attempt in range(self._failures + 1, self._most + 1):
            self._failures = attempt
            LOG.warning("Restart %d of at most %d in a row, after: %s", attempt, self._most, error)
            try:
                self.inner = self._make()
            except BackendError as again:
                error = again
            else:
                self.num_restarts += 1
                return
        raise BackendError(
            f"The simulator was started anew {self._most} times without a whole step between, and failed again: {error}"
        ) from error
