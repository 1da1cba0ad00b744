"""The ROS 2 client as a ``Backend``: one arm. The simulator or robot that moves it decides how its time advances."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import Backend
from gym_gazebo2.backends.ros2.choose import choose_pacing
from gym_gazebo2.backends.ros2.link import Link
from gym_gazebo2.backends.ros2.lock_step import LockStep
from gym_gazebo2.backends.ros2.pacing import Array, Pacing, Sample, Settings
from gym_gazebo2.checks import read_number
from gym_gazebo2.errors import InvalidArgumentError, UnsupportedError
from gym_gazebo2.ownership import Owner
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros.topics import CONTROLLER, Topics
from gym_gazebo2.state import ArmState, Placement

__all__ = ["Ros2Backend"]

STALE_PERIODS = 3
"""Age at which the newest state of a free-running arm is too old to act on, in control periods."""


class Ros2Backend(Backend):
    """One arm on the ROS 2 contract: a provider in lock-step or free-running, Gazebo Sim, or the robot.

    Attributes:
        link: The arm's topics.
        pacing: How its time advances: ``LockStep``, ``FreeRunning`` or ``ControlWorld``.
    """

    max_envs = 1
    is_shared = True
    is_tied_to_process = True
    window: Mapping[str, Any] = MappingProxyType({})
    is_local = False
    """Whether only nodes of this machine are discovered; False leaves the range to the user's settings."""

    def __init__(
        self,
        robot: RobotSpec,
        num_envs: int = 1,
        control_dt: float = 0.05,
        namespace: str | None = None,
        domain_id: int | None = None,
        timeout: float = 20.0,
        lock_step: bool | None = None,
        reset_speed: float = 0.2,
        stale_after: float | None = None,
        world: str | None = None,
        controller: str = CONTROLLER,
        joint_prefix: str = "",
        remap: Mapping[str, str] | None = None,
    ) -> None:
        """Connect to what moves the arm.

        Args:
            robot: The arm.
            num_envs: 1; several arms need several processes.
            control_dt: Control period [s].
            namespace: ROS namespace; None is the robot's name, "" is the root namespace.
            domain_id: ROS domain; None takes ROS_DOMAIN_ID, or 0.
            timeout: Deadline of every wait [s].
            lock_step: Whether lock-step is required (True) or forbidden (False); None accepts both.
            reset_speed: Speed of the motion to a start pose, as a share of the velocity limits, where the arm cannot be placed.
            stale_after: Free-running: age of the newest state at which the arm is held and a step fails [s]; None is three
                control periods. A simulator slower than real time needs more.
            world: Name of Gazebo Sim's world, needed if there are several.
            controller: Name of the controller that takes the commands.
            joint_prefix: Prefix of the joints' names in messages, such as "left_".
            remap: Other names of topics, by the last word of the usual one: ``{joint_states: /arm/states}``.

        Raises:
            InvalidArgumentError: A number is out of range.
            BackendError: No simulator or robot was found; or it has other joints, or not the required lock-step.
        """
        super().__init__(robot, num_envs, control_dt)
        timeout = read_number("timeout", timeout, "a deadline above 0 s", lambda seconds: seconds > 0)
        share = "a share of the velocity limit above 0, up to 1"
        reset_speed = read_number("reset_speed", reset_speed, share, lambda speed: 0 < speed <= 1)
        age = f"a finite age of at least a control period, {self.control_dt} s"
        stale_after = STALE_PERIODS * self.control_dt if stale_after is None else stale_after
        stale_after = read_number("stale_after", stale_after, age, lambda seconds: seconds >= self.control_dt)
        # Stamp of the episode's start [ns]: the provider's clock is not reset, but an episode's time begins at zero.
        self._setpoint, self._start, self._state = np.tile(robot.home, (1, 1)), 0, _make_home_state(robot)
        if not isinstance(joint_prefix, str):
            raise InvalidArgumentError("joint_prefix", joint_prefix, "a string")
        topics = Topics(robot.name if namespace is None else namespace, controller, remap or {})
        self.link = Link(robot, topics, domain_id, _make_weak(self._check_alive), self.is_local, joint_prefix)
        settings = Settings(self.control_dt_ns, timeout, reset_speed, stale_after)
        try:
            self.pacing: Pacing = choose_pacing(self.link, settings, lock_step, world)
        except BaseException:
            self.link.close()
            raise
        self.lock_step = self.pacing.lock_step
        # Ends what was opened when the backend is closed, dropped without a close, or still open at the end of the program.
        self._leave = weakref.finalize(self, _leave, self.pacing, self.link, self._owner)

    @property
    def q_setpoint(self) -> Array:
        """(1, dof) set-points of the drives at the end of their last ramp [rad], as a copy."""
        return self._setpoint.copy()

    def reset(self, mask: NDArray[np.bool_], q: Array, objects: Placement | None = None) -> ArmState:
        """Bring the arm to ``q``, at rest: at once where it can be placed, else by a slow motion; then time starts at zero."""
        mask, q = self._check_reset(mask, q, self._state.q)
        self._place(mask, objects)
        if mask[0]:
            with self._holding_on_failure():
                sample = self.pacing.place(q[0])
                self._check_sane(sample.q[None], sample.dq[None])
                self._start = sample.stamp
                self._state = self._keep(sample)
            self._was_reset[:] = self._is_ready = True
        return self._state

    def step(self, q_setpoint: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Command one period, and return the state at its end."""
        goal = self._check_step(q_setpoint, self._setpoint)
        self._take_away(park)
        with self._holding_on_failure():
            sample = self.pacing.advance(goal[0].copy())
            self._check_sane(sample.q[None], sample.dq[None])
            self._state = self._keep(sample)
        return self._state

    def step_effort(self, effort: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Apply efforts for one period, where a provider in lock-step takes them, and return the state at its end.

        Raises:
            UnsupportedError: What moves the arm is a robot, runs freely, or takes no efforts.
        """
        provider, pacing = self.link.provider, self.pacing
        if provider is None or not provider.takes_effort or not isinstance(pacing, LockStep):
            raise UnsupportedError(
                f"Torque control needs a provider in lock-step that takes efforts. Found: {provider or 'a robot'}. "
                "Start gym-gazebo2 sim with the provider mujoco."
            )
        effort = self._check_effort(effort)
        self._take_away(park)
        with self._holding_on_failure():
            sample = pacing.apply(effort[0].copy())
            self._check_sane(sample.q[None], sample.dq[None])
            self._state = self._keep(sample)
        return self._state

    def close(self) -> None:
        """Hold a free-running arm, and leave the ROS graph; closing twice is fine."""
        super().close()
        self._leave()

    def _check_alive(self) -> None:
        """Raise a BackendError if the simulator is known to be dead. Does nothing by default: the backend did not start it."""

    def _advise(self, is_diverging: bool) -> str:
        """Return the cause of an impossible state: a simulator in lock-step computed it, or a robot published it."""
        if self.lock_step:
            return super()._advise(is_diverging)
        return f"{self.link.topics.state} brought it: check its publisher, its units, and the limits in the URDF."

    @contextlib.contextmanager
    def _holding_on_failure(self) -> Iterator[None]:
        """Hold the arm on any failure, Ctrl-C included. The episode is then over: the next call must be a reset."""
        try:
            yield
        except BaseException:
            self._was_reset[:] = self._is_ready = False
            self.pacing.hold()
            raise

    def _keep(self, sample: Sample) -> ArmState:
        self._setpoint = sample.setpoint[None].copy()
        stamp = np.array([sample.stamp - self._start], dtype=np.int64)
        return ArmState(stamp, sample.q[None], sample.dq[None], sample.setpoint[None], np.array([sample.in_collision]))


def _leave(pacing: Pacing, link: Link, owner: Owner) -> None:
    """Hold a free-running arm, and leave the ROS graph; in a fork of the process, both belong to the parent."""
    if owner.is_here:
        pacing.hold()
        link.close()


def _make_weak(method: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls a method while its object exists, and does not keep the object alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    return call


def _make_home_state(robot: RobotSpec) -> ArmState:
    """Return home, at rest: the state before the first reset, which ``reset`` returns if its mask selects no arm."""
    home = robot.home[None]
    return ArmState(np.zeros(1, dtype=np.int64), home.copy(), np.zeros_like(home), home.copy(), np.zeros(1, dtype=bool))
