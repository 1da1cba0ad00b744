"""What a client sees of Gazebo Sim through ros_gz and gz_ros2_control, as their documentation has it, over real DDS.

ControlWorld only queues steps and returns; they run afterwards, one by one. The clock comes late. Every so many physics steps
the controllers update: the trajectory controller takes the newest command, the broadcaster publishes the state. A reset request
is lost. The physics are the embedded ones.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np

from gym_gazebo2.provider import ServedArm
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros import Clock, Graph, JointState, JointTrajectory, Time, Topics, from_ns, to_ns

PHYSICS_DT = 0.005


class Lost(Exception):
    """A call is not answered."""


class GzSim:
    """A world with an arm and its controllers.

    Attributes:
        world: Its name.
        clock_delay: Time by which /clock and the states are late [s].
        update_every: Physics steps between two updates of the controllers.
        lose_calls: How many of the next calls never come: nothing is run, nothing is answered.
        lose_answers: How many of the next calls are run and not answered.
        tells_velocities: Whether states have them.
        refuse: Answer calls with success = False.
        extra_steps: Steps that somebody else adds to the next queue.
        resets: Reset requests that came.
        calls: Steps asked for, call by call.
    """

    def __init__(self, robot: RobotSpec, domain: int, kind: Any = None, is_paused: bool = True, world: str = "lab") -> None:
        self.graph, self.arm = Graph(domain), ServedArm(robot, physics_dt=PHYSICS_DT)
        self.world, self.clock_delay, self.update_every = world, 0.02, 1
        self.lose_calls = self.lose_answers = self.extra_steps = self.resets = 0
        self.refuse, self.tells_velocities, self.calls = False, True, list[int]()
        self._is_paused, self._queue, self._command = is_paused, 0, None
        self._due: list[tuple[float, int, Any, Any]] = []
        self._numbers, self._stop, self._steps = itertools.count(), threading.Event(), 0
        topics = Topics(robot.name)
        self._states = self.graph.publish(JointState, topics.state)
        self._clocks = self.graph.publish(Clock, topics.clock)
        self.graph.subscribe(JointTrajectory, topics.command, self._on_command)
        if kind is not None:
            self.graph.node.create_service(kind, f"/world/{world}/control", self._on_call)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def run(self, steps: int) -> None:
        """Run steps that nobody here asked for."""
        self._queue += steps

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.graph.close()
        self.arm.close()

    def _on_command(self, message: JointTrajectory) -> None:
        self._command = message

    def _on_call(self, request: Any, response: Any) -> Any:
        control = request.world_control
        response.success = not self.refuse
        self.calls.append(control.multi_step)
        self.resets += control.reset.all or control.reset.model_only or control.reset.time_only
        if self.refuse:
            return response
        if self.lose_calls:
            self.lose_calls -= 1
            raise Lost
        self._is_paused = control.pause
        if control.pause and control.multi_step:  # without pause, gz-sim ignores multi_step
            self._queue += control.multi_step + self.extra_steps
            self.extra_steps = 0
        if self.lose_answers:
            self.lose_answers -= 1
            raise Lost
        return response

    def _run(self) -> None:
        next_tick = time.monotonic()
        while not self._stop.is_set():
            is_idle = self._is_paused and not self._queue
            due = self._due[0][0] if self._due else float("inf")
            wake = min(due, time.monotonic() + 0.05 if is_idle else next_tick)
            with contextlib.suppress(Lost):
                self.graph.wait(self._has_work, max(0.0005, min(wake - time.monotonic(), 0.05)))
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                _, _, publisher, message = heapq.heappop(self._due)
                publisher.publish(message)
            if self._queue:
                self._queue -= 1
                self._step()
            elif not self._is_paused and now >= next_tick:
                next_tick = max(next_tick + PHYSICS_DT, now - 0.1)
                self._step()

    def _has_work(self) -> bool:
        return self._stop.is_set() or self._queue > 0

    def _step(self) -> None:
        """Advance one physics step; the controllers update where it is their turn."""
        arm = self.arm
        self._steps += 1
        is_update = self._steps % self.update_every == 0
        if is_update and self._command is not None:
            names, point = self._command.joint_names, self._command.points[0]
            goal = np.array([dict(zip(names, point.positions, strict=True))[name] for name in arm.robot.joint_names])
            self._command = None
            arm.command(goal, max(1, to_ns(point.time_from_start) // arm.physics_dt_ns))
        arm.advance(1)
        if is_update:
            state = JointState(name=list(reversed(arm.robot.joint_names)))
            state.header.stamp = from_ns(Time, arm.time)
            state.position, state.velocity = (array("d", values[::-1]) for values in (arm.q, arm.dq))
            if not self.tells_velocities:
                state.velocity = []
            self._send_late(self._states, state)
        self._send_late(self._clocks, Clock(clock=from_ns(Time, arm.time)))

    def _send_late(self, publisher: Any, message: Any) -> None:
        heapq.heappush(self._due, (time.monotonic() + self.clock_delay, next(self._numbers), publisher, message))


@contextlib.contextmanager
def run_gz_sim(robot: RobotSpec, domain: int, **options: Any) -> Iterator[GzSim]:
    sim = GzSim(robot, domain, **options)
    try:
        yield sim
    finally:
        sim.close()
