"""A wrapper that restarts a backend's simulator when it fails, so that a training continues.

It never hides a restart: ``num_restarts`` grows, the environment truncates the episodes and reports ``simulator_restarted``,
and a warning is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import Backend
from gym_gazebo2.errors import BackendError, UnknownNameError
from gym_gazebo2.state import ArmState, Placement

__all__ = ["MOST_RESTARTS", "OnFailure", "RestartingBackend", "check_on_failure"]

Array = NDArray[np.float64]
OnFailure = Literal["raise", "restart"]

LOG = logging.getLogger("gym_gazebo2.backends")
MOST_RESTARTS = 3
"""Largest number of restarts without a successful step between them. More mean that the setup itself is broken."""


def check_on_failure(on_failure: str) -> None:
    """Check a value of ``on_failure``.

    Raises:
        UnknownNameError: It is neither "raise" nor "restart".
    """
    if on_failure not in get_args(OnFailure):
        raise UnknownNameError("on_failure", on_failure, get_args(OnFailure))


class RestartingBackend(Backend):
    """Wraps another backend. When that one raises a BackendError, it is closed and a new one is made.

    A step that fails returns the last good state, and ``num_restarts`` grows: the current episodes are over. A reset that fails
    is repeated on the new simulator for every arm. Arms outside the mask start at home there, since their episodes are over,
    too.

    Attributes:
        inner: The current backend.
    """

    def __init__(self, make: Callable[[], Backend], most: int = MOST_RESTARTS) -> None:
        """Make the first backend.

        Args:
            make: Makes a backend.
            most: Largest number of restarts without a successful step between them.

        Raises:
            BackendError: The first simulator does not start. This is not retried: it is an error of the setup.
        """
        self.inner = make()
        super().__init__(self.inner.robot, self.inner.num_envs, self.inner.control_dt, self.inner.scene)
        self.lock_step, self.is_shared, self.max_envs = self.inner.lock_step, self.inner.is_shared, self.inner.max_envs
        self.is_tied_to_process, self.object_factors = self.inner.is_tied_to_process, self.inner.object_factors
        self._make, self._most, self._failures = make, most, 0

    @property
    def q_setpoint(self) -> Array:
        """(n, dof) set-points of the inner one's drives at the end of their last ramp [rad], as a copy."""
        return self.inner.q_setpoint

    def reset(self, mask: NDArray[np.bool_], q: Array, objects: Placement | None = None) -> ArmState:
        """Put the masked arms at ``q``. If the simulator fails, do it on a new one, with the other arms at home."""
        self._check_open()
        try:
            self._state = self.inner.reset(mask, q) if objects is None else self.inner.reset(mask, q, objects)
        except BackendError as error:
            # The new simulator knows no arm's state, so all arms must be reset. The recursion ends: each failure counts
            # towards the limit of _restart, since only a successful step clears the count.
            self._restart(error)
            home = self.robot.home[: np.shape(q)[1]]
            objects = None if objects is None else _copy_first(objects, mask)
            return self.reset(np.ones_like(mask), np.where(mask[:, np.newaxis], q, home), objects)
        return self._state

    def step(self, q_setpoint: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Step. If the simulator fails, restart it and return the last good state."""
        return self._try(self.inner.step, q_setpoint, park)

    def step_effort(self, effort: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Apply efforts. If the simulator fails, restart it and return the last good state."""
        return self._try(self.inner.step_effort, effort, park)

    def _try(self, step: Callable[..., ArmState], command: Array, park: NDArray[np.bool_] | None) -> ArmState:
        self._check_open()
        try:
            self._state = step(command) if park is None else step(command, park)
            self._failures = 0
        except BackendError as error:
            # The new simulator needs a reset before its first step. The environment sees num_restarts grow and truncates the
            # episodes, so a reset comes next. The state returned here is only the last observation of the old episodes.
            self._restart(error)
        return self._state

    def close(self) -> None:
        """Close the inner backend. Closing twice is fine."""
        super().close()
        self.inner.close()

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the inner backend's state."""
        return self.inner.get_state()

    def set_state(self, state: dict[str, NDArray[Any]]) -> ArmState:
        """Continue from a state that ``get_state`` returned."""
        self._state = self.inner.set_state(state)
        return self._state

    def camera(self, name: str, width: int, height: int, arms: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """Return the inner backend's pictures."""
        return self.inner.camera(name, width, height, arms)

    def render(self, mode: str, width: int, height: int) -> NDArray[np.uint8] | None:
        """Draw the inner backend's first arm."""
        return self.inner.render(mode, width, height)

    def show_goal(self, goal: Array) -> None:
        """Show goals in the inner backend's pictures."""
        self.inner.show_goal(goal)

    def _restart(self, error: BackendError) -> None:
        """Close the failed backend and make a new one.

        Raises:
            BackendError: The limit of restarts without a successful step is reached.
        """
        self.inner.close()
        # A start that fails counts as well, so that a simulator that no longer starts ends the training.
        for attempt in range(self._failures + 1, self._most + 1):
            self._failures = attempt
            LOG.warning("Restarting the simulator (attempt %d of %d in a row) after: %s", attempt, self._most, error)
            try:
                self.inner = self._make()
            except BackendError as again:
                error = again
            else:
                self.num_restarts += 1
                return
        raise BackendError(
            f"The simulator was restarted {self._most} times without a successful step and failed again. Its error: {error}"
        ) from error


def _copy_first(objects: Placement, mask: NDArray[np.bool_]) -> Placement:
    """Return a placement for every arm: those outside the mask get the objects of the first arm inside."""
    first = int(np.argmax(mask))
    index = np.where(mask[:, None], objects.index, objects.index[first])
    factors = {name: np.where(mask[:, None], value, value[first]) for name, value in (objects.factors or {}).items()}
    return Placement(index, np.where(mask[:, None, None], objects.pose, objects.pose[first]), factors)
