"""Lock-step with Gazebo Sim (gz-sim) through ros_gz and gz_ros2_control: the world is paused and asked for steps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from gym_gazebo2.backends.ros2.feed import fill_velocities
from gym_gazebo2.backends.ros2.link import Array, Link, Sample, Settings
from gym_gazebo2.backends.ros2.travel import travel
from gym_gazebo2.backends.ros2.wire import JointReading, read_force
from gym_gazebo2.errors import BackendError
from gym_gazebo2.ros import Clock, to_ns

__all__ = ["CONTROL_WORLD", "ControlWorld", "import_control_world"]

CONTROL_WORLD = "ros_gz_interfaces/srv/ControlWorld"
QUIET = 0.5
"""A clock that stood still for so long is that of a paused world [s]."""
CALL_AGAIN = 2.0
"""A call after which neither answer nor clock came for so long is made again [s]."""
LAG = 2.0
"""Time that the last state has to come after the clock [s]."""


def import_control_world() -> Any:
    """Return the service's type, or None where ros_gz_interfaces is not installed."""
    try:
        from ros_gz_interfaces.srv import ControlWorld as service
    except ImportError:
        return None
    return service


class ControlWorld:
    """Paced by calls.

    The call that asks for steps returns when they are queued, so their end is told by the clock and by the state of that stamp.
    Resetting a world with controllers loses them: the arm goes to a start pose by commands instead, at full speed.
    """

    lock_step = True

    def __init__(self, link: Link, settings: Settings, service: str) -> None:
        """Pause the world, and measure its physics step.

        Args:
            link: The arm's topics.
            settings: The control period and the deadlines.
            service: Name of the world's control service.

        Raises:
            BackendError: The world does not answer or advance, or the control period is no whole number of its steps.
        """
        self._link, self._settings, self._service = link, settings, service
        self._type = import_control_world()
        self._calls = link.graph.node.create_client(self._type, service)
        self._clock: int | None = None
        self._state: JointReading | None = None
        self._force = 0.0
        link.on_state, link.on_contact = self._on_state, self._on_contact
        link.graph.subscribe(Clock, link.topics.clock, self._on_clock)
        if not link.graph.wait(lambda: self._calls.service_is_ready() and link.is_heard, settings.timeout):
            raise BackendError(f"Nobody serves {service}, or nobody takes {link.topics.command}. Are the controllers active?")
        self._call(1)
        self._now = self._settle(QUIET)
        self._physics_dt = self._measure_step()
        self._steps = settings.control_dt_ns // self._physics_dt
        if self._steps * self._physics_dt != settings.control_dt_ns:
            raise BackendError(
                f"The control period is {settings.control_dt_ns} ns, expected a whole number of the world's physics steps of "
                f"{self._physics_dt} ns. Change control_dt, or max_step_size in the world."
            )

    def place(self, q: Array) -> Sample:
        """Go to ``q`` by commands, from the time at which the world stands."""
        if self._read_clock() != self._now:
            self._now = self._settle(QUIET)
            self._wait_state()
        settings = dataclasses.replace(self._settings, reset_speed=1.0)
        return travel(self._link.robot, self._read_positions(), q, self.advance, settings)

    def advance(self, goal: Array, least: int = 0) -> Sample:
        """Command a period, with at least so much time to get there [ns], run its steps, and wait for the state at its end."""
        self._check_clock()
        before, self._force = self._read_positions(), 0.0
        self._link.send_goal(goal, max(least, self._settings.control_dt_ns))
        if not self._link.flush(self._settings.timeout):
            raise BackendError(f"{self._link.topics.command} was not received within {self._settings.timeout:g} s.")
        self._run(self._steps, self._now + self._settings.control_dt_ns)
        q, dq = self._link.arrange(self._get_state())
        dq = fill_velocities(dq, q - before, self._settings.control_dt_ns)
        return Sample(self._now, q, dq, goal, self._force > 0.0)

    def hold(self) -> None:
        """Do nothing: time stands still."""

    def _read_clock(self) -> int | None:
        """Return the newest time that has come [ns]."""
        self._link.graph.drain()
        return self._clock

    def _check_clock(self) -> None:
        """Raise a BackendError where the world is not where the last step left it."""
        if self._read_clock() != self._now:
            raise BackendError(
                f"The world of {self._service} is at {self._clock} ns before a step, expected {self._now} ns, where the last "
                "one left it. Does another client step or run it? Call reset()."
            )

    def _settle(self, quiet: float) -> int:
        """Return the time at which the world stands still [ns]: its clock does not change for so long [s]."""
        deadline = time.monotonic() + self._settings.timeout
        while (seen := self._clock) is None or self._has_changed(seen, quiet):
            if time.monotonic() > deadline:
                raise BackendError(f"The world of {self._service} does not pause; its clock is at {seen} ns.")
        return seen

    def _measure_step(self) -> int:
        """Run one physics step, and return how long it is [ns]."""
        before = self._now
        self._call(1)
        self._now = self._clock or before
        self._wait_state()
        return self._now - before

    def _run(self, steps: int, target: int) -> None:
        """Run steps, and wait until the clock and the state say that they are over."""
        self._call(steps)
        self._link.graph.wait(lambda: (self._clock or 0) >= target, self._settings.timeout)
        if self._clock != target:
            raise BackendError(
                f"The world of {self._service} is at {self._clock} ns, expected {target} ns at the end of {steps} steps. "
                "Does it hang, or does another client step or run it?"
            )
        self._now = target
        self._wait_state()

    def _call(self, steps: int) -> None:
        """Ask for steps until the clock moves.

        A call without an answer is made again. It may have been the answer that was lost: then both are run, and the clock
        says so once it stands still.
        """
        request = self._type.Request()
        request.world_control.pause, request.world_control.multi_step = True, steps
        before, deadline = self._clock, time.monotonic() + self._settings.timeout
        is_repeated = False
        while time.monotonic() < deadline:
            if self._ask(request, lambda: self._clock != before, deadline):
                if is_repeated:
                    self._settle(CALL_AGAIN + QUIET)
                return
            is_repeated = True
        raise BackendError(
            f"{self._service} moved the clock not at all within {self._settings.timeout:g} s, expected {steps} physics steps. "
            f"Does the simulator hang, or is {self._link.topics.clock} not bridged?"
        )

    def _ask(self, request: Any, has_moved: Callable[[], bool], deadline: float) -> bool:
        """Call once, and return whether the clock moves: before the deadline where an answer comes, else before long."""
        future, left = self._calls.call_async(request), deadline - time.monotonic()
        if self._link.graph.wait(lambda: self._is_answered(future) or has_moved(), min(CALL_AGAIN, left)):
            return self._link.graph.wait(has_moved, deadline - time.monotonic())
        self._calls.remove_pending_request(future)
        return False

    def _is_answered(self, future: Any) -> bool:
        if future.done() and not future.result().success:
            raise BackendError(f"{self._service} refused to step. Does the world have another name?")
        return bool(future.done())

    def _has_changed(self, seen: int, timeout: float) -> bool:
        return self._link.graph.wait(lambda: self._clock != seen, timeout)

    def _wait_state(self) -> None:
        """Wait for the state of this instant."""
        if not self._link.graph.wait(lambda: self._get_stamp() == self._now, LAG):
            raise BackendError(
                f"{self._link.topics.state} has the stamp {self._get_stamp()} ns, expected {self._now} ns, the world's time. "
                "Set update_rate of the controller_manager to one update a physics step, and leave other clients out."
            )

    def _get_state(self) -> JointReading:
        if self._state is None:
            raise BackendError(f"No state came on {self._link.topics.state}.")
        return self._state

    def _get_stamp(self) -> int | None:
        return None if self._state is None else self._state.stamp

    def _read_positions(self) -> Array:
        return self._link.arrange(self._get_state())[0]

    def _on_state(self, reading: JointReading) -> None:
        if not set(self._link.robot.joint_names).isdisjoint(reading.names):
            self._state = reading

    def _on_contact(self, contact: bytes) -> None:
        self._force = max(self._force, read_force(contact))

    def _on_clock(self, message: Clock) -> None:
        self._clock = to_ns(message.clock)
