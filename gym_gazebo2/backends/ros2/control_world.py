"""Lock-step with Gazebo Sim (gz-sim) through ros_gz and gz_ros2_control: the world is paused and asked for physics steps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from gym_gazebo2.backends.ros2.link import Link
from gym_gazebo2.backends.ros2.messages import JointReading, ObjectCommand
from gym_gazebo2.backends.ros2.pacing import Array, Sample, Settings, fill_velocities
from gym_gazebo2.backends.ros2.return_motion import return_to
from gym_gazebo2.errors import BackendError
from gym_gazebo2.ros.topics import Clock, WrenchStamped, import_control_world, to_ns

__all__ = ["ControlWorld"]

PAUSED_AFTER_S = 0.5
"""A world whose clock did not change for this long is paused [s]."""
RESEND_AFTER_S = 2.0
"""A call is made again if neither its answer nor a clock message came for this long [s]."""
STATE_TIMEOUT_S = 2.0
"""Longest wait for the last state of a period after the clock reached its end [s]."""


class ControlWorld:
    """Paced by calls of the world's control service.

    The service returns when the steps are *queued*, not when they are done. The end of a period is therefore read from two
    topics: the clock reaches the expected time, and a state with that stamp arrives. The clock alone is not enough: gz-sim
    publishes it at the *start* of a physics step.

    The world is never reset, because a reset removes its controllers. The arm moves to a start pose by commands instead, at
    full speed, which costs only simulated time.
    """

    lock_step = True

    def __init__(self, link: Link, settings: Settings, service: str) -> None:
        """Pause the world, and measure its physics step.

        Args:
            link: The arm's topics.
            settings: The control period and the deadline.
            service: Name of the world's control service.

        Raises:
            BackendError: The world does not answer or advance, or the control period is not a whole number of its steps.
        """
        if link.has_objects:
            raise BackendError(
                f"The scene has objects, but {service} is a Gazebo Sim through ros_gz, which reports none on "
                f"{link.topics.objects}. Use gym-gazebo2 sim with the same scene."
            )
        self.timeout, self._link, self._settings, self._service = settings.timeout, link, settings, service
        self._type = import_control_world()
        self._calls = link.graph.node.create_client(self._type, service)
        self._clock: int | None = None  # newest clock message [ns]
        self._state: JointReading | None = None
        self._force = 0.0  # largest contact force of the period [N]
        link.on_state, link.on_contact = self._on_state, self._on_contact
        link.graph.subscribe(Clock, link.topics.clock, self._on_clock)

        def is_ready() -> bool:
            return self._calls.service_is_ready() and link.num_command_subscribers > 0

        if not link.graph.wait(is_ready, settings.timeout):
            raise BackendError(
                f"The service {service} or a subscriber to {link.topics.command} is missing after {settings.timeout:g} s. "
                "Check that the controllers are active."
            )
        self._call(1)  # a call with pause=True also pauses a world that runs
        self._now = self._wait_paused(PAUSED_AFTER_S)  # where the last step left the world [ns]
        self._physics_dt = self._measure_step()
        self._steps = settings.control_dt_ns // self._physics_dt
        if self._steps * self._physics_dt != settings.control_dt_ns:
            raise BackendError(
                f"The control period is {settings.control_dt_ns} ns, expected a whole number of the world's physics steps of "
                f"{self._physics_dt} ns. Change control_dt, or max_step_size in the world."
            )

    @property
    def clock(self) -> int | None:
        """The newest time of the world's clock that was received [ns]; None before the first."""
        return self._clock

    def place(self, q: Array, objects: ObjectCommand | None = None) -> Sample:
        """Move to ``q`` (dof,) [rad] by commands, starting at the world's present time."""
        if self._read_clock() != self._now:
            self._now = self._wait_paused(PAUSED_AFTER_S)
            self._wait_for_state()
        settings = dataclasses.replace(self._settings, reset_speed=1.0)
        return return_to(self._link.robot, self._read_positions(), q, self._move, settings)

    def advance(self, goal: Array, objects: ObjectCommand | None = None) -> Sample:
        """Command a set-point (dof,) [rad], run the physics steps of a period, and wait for the state at its end."""
        return self._move(goal)

    def _move(self, goal: Array, shortest: int = 0) -> Sample:
        """Command a set-point, run the physics steps of a period, and wait for the state at its end.

        Args:
            goal: (dof,) set-point [rad].
            shortest: Shortest time to reach it [ns].
        """
        self._check_clock()
        before, self._force = self._read_positions(), 0.0
        self._link.send_goal(goal, max(shortest, self._settings.control_dt_ns))
        # The steps must not begin before the controller has the command: ROS keeps no order between the two.
        if not self._link.flush(self.timeout):
            raise BackendError(
                f"{self._link.topics.command} was not acknowledged within {self.timeout:g} s. Check the controllers."
            )
        self._run(self._steps, self._now + self._settings.control_dt_ns)
        q, dq = self._link.arrange(self._get_state())
        dq = fill_velocities(dq, q - before, self._settings.control_dt_ns)
        return Sample(self._now, q, dq, goal, self._force > 0.0)

    def hold(self) -> None:
        """Do nothing: time stands still."""

    def _read_clock(self) -> int | None:
        """Read all queued messages, and return the newest time [ns]."""
        self._link.graph.drain()
        return self._clock

    def _check_clock(self) -> None:
        """Raise a BackendError if the world is not where the last step left it."""
        if self._read_clock() != self._now:
            raise BackendError(
                f"The world of {self._service} is at {self._clock} ns before a step, expected {self._now} ns, where the last "
                "step ended. Check whether another client steps or runs it, then call reset()."
            )

    def _wait_paused(self, quiet: float) -> int:
        """Return the time at which the world stands still [ns].

        Args:
            quiet: How long its clock must not change [s].
        """
        deadline = time.monotonic() + self.timeout
        while (seen := self._clock) is None or self._has_changed(seen, quiet):
            if time.monotonic() > deadline:
                raise BackendError(
                    f"The world of {self._service} does not pause within {self.timeout:g} s; its clock is at {seen} ns. "
                    "Check whether another client runs it."
                )
        return seen

    def _measure_step(self) -> int:
        """Run one physics step, and return its length [ns]."""
        before = self._now
        self._call(1)
        self._now = self._clock or before
        self._wait_for_state()
        return self._now - before

    def _run(self, steps: int, target: int) -> None:
        """Run physics steps, and wait until clock and state have reached the target time [ns]."""
        self._call(steps)
        self._link.graph.wait(lambda: (self._clock or 0) >= target, self.timeout)
        if self._clock != target:
            raise BackendError(
                f"The world of {self._service} is at {self._clock} ns, expected {target} ns at the end of {steps} steps. "
                "Check whether it hangs, or another client steps or runs it."
            )
        self._now = target
        self._wait_for_state()

    def _call(self, steps: int) -> None:
        """Ask for steps until the clock moves.

        A call without an answer is made again. If only its answer was lost, the steps then run twice. So after a repeated call
        the clock is watched until it stands still, and ``_run`` compares it with the target.
        """
        request = self._type.Request()
        # Without pause=True, gz-sim ignores multi_step.
        request.world_control.pause, request.world_control.multi_step = True, steps
        before, deadline = self._clock, time.monotonic() + self.timeout
        is_repeated = False
        while time.monotonic() < deadline:
            if self._ask(request, lambda: self._clock != before, deadline):
                if is_repeated:
                    self._wait_paused(RESEND_AFTER_S + PAUSED_AFTER_S)
                return
            is_repeated = True
        raise BackendError(
            f"The clock did not advance within {self.timeout:g} s after {self._service} was called for {steps} physics steps. "
            f"Check whether the simulator hangs, and that {self._link.topics.clock} is bridged."
        )

    def _ask(self, request: Any, has_moved: Callable[[], bool], deadline: float) -> bool:
        """Call once, and return whether the clock moved.

        An answer means that the steps are queued, so this then waits for the clock until the deadline. Without an answer it
        waits for ``RESEND_AFTER_S``.
        """
        future, left = self._calls.call_async(request), deadline - time.monotonic()
        if self._link.graph.wait(lambda: self._is_accepted(future) or has_moved(), min(RESEND_AFTER_S, left)):
            return self._link.graph.wait(has_moved, deadline - time.monotonic())
        self._calls.remove_pending_request(future)
        return False

    def _is_accepted(self, future: Any) -> bool:
        """Return whether the service has answered; raise a BackendError if it refused."""
        if future.done() and not future.result().success:
            raise BackendError(f"{self._service} refused to step. Check the name of the world.")
        return bool(future.done())

    def _has_changed(self, seen: int, timeout: float) -> bool:
        return self._link.graph.wait(lambda: self._clock != seen, timeout)

    def _wait_for_state(self) -> None:
        """Wait for the state of the world's present time."""
        if not self._link.graph.wait(lambda: self._get_stamp() == self._now, STATE_TIMEOUT_S):
            raise BackendError(
                f"{self._link.topics.state} has the stamp {self._get_stamp()} ns, expected {self._now} ns, the world's time. "
                "Set update_rate of the controller_manager to one update per physics step, and end other clients."
            )

    def _get_state(self) -> JointReading:
        if self._state is None:
            raise BackendError(f"No state came on {self._link.topics.state}. Check that the joint_state_broadcaster is active.")
        return self._state

    def _get_stamp(self) -> int | None:
        return None if self._state is None else self._state.stamp

    def _read_positions(self) -> Array:
        return self._link.arrange(self._get_state())[0]

    def _on_state(self, reading: JointReading) -> None:
        # Other devices, such as a gripper, may publish on the same topic.
        if not set(self._link.robot.joint_names).isdisjoint(reading.names):
            self._state = reading

    def _on_contact(self, contact: WrenchStamped) -> None:
        self._force = max(self._force, contact.wrench.force.x)

    def _on_clock(self, message: Clock) -> None:
        self._clock = to_ns(message.clock)
