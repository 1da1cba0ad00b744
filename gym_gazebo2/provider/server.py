"""Serve MuJoCo on the ROS 2 contract: the same topics, tokens and refusals as the Gazebo plug-in."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gym_gazebo2.backends.base import count_substeps
from gym_gazebo2.backends.mujoco import PHYSICS_DT
from gym_gazebo2.checks import read_factor
from gym_gazebo2.contract import MAX_OLD_TOKENS, MAX_REFUSALS, OBJECTS_MARK
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.provider.arm import ServedArm
from gym_gazebo2.provider.messages import RefusedError, count_steps, read_command, read_effort, read_joints, read_objects
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros.graph import Graph
from gym_gazebo2.ros.topics import (
    CONTROLLER,
    Clock,
    Empty,
    JointState,
    JointTrajectory,
    MultiDOFJointState,
    String,
    Time,
    Topics,
    WrenchStamped,
    from_ns,
    make_objects,
    to_ns,
)
from gym_gazebo2.scene import Scene, describe_scene

__all__ = ["serve"]

LOG = logging.getLogger("gym_gazebo2.provider")
MAX_LAG_S = 0.1
"""If a real-time provider falls behind the clock by more than this [s], it skips the lost time; it does not catch up."""
MIN_MESSAGE_TIME_S = 1e-4
"""Time for messages in every physics step, however late it is, so that a busy provider can still be commanded [s]."""
PICTURE_DT = 0.05
"""Time between two pictures in real time [s]."""
FOREVER = float("inf")


def serve(
    robot: RobotSpec,
    *,
    namespace: str | None = None,
    controller: str = CONTROLLER,
    joint_prefix: str = "",
    remap: Mapping[str, str] | None = None,
    domain_id: int | None = None,
    control_dt: float = 0.05,
    physics_dt: float = PHYSICS_DT,
    factor: float | None = None,
    robot_only: bool = False,
    gui: bool = False,
    scene: Scene | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_ready: Callable[[Graph], None] = lambda graph: None,
) -> None:
    """Serve one arm until ``stop`` returns True or an exception such as KeyboardInterrupt comes. Both close everything.

    Args:
        robot: The arm.
        namespace: ROS namespace; None is the robot's name, "" is the root namespace.
        controller: Name of the controller whose commands are taken.
        joint_prefix: Prefix of the joints' names in messages.
        remap: Other names of topics. The key is the last part of the usual name.
        domain_id: ROS domain; None takes ROS_DOMAIN_ID, or 0.
        control_dt: Control period; in real time also the period of states [s].
        physics_dt: Physics step [s].
        factor: None for lock-step; else the speed of simulated time: 1 is real time, 0 is as fast as possible.
        robot_only: Stand in for the robot: real time, with commands and joint states only.
        gui: Show the arm in a window, no faster than real time.
        scene: What stands around the arm; None: only the floor.
        stop: Called at least 20 times a second; True ends it.
        on_ready: Called with the graph once everything is served.

    Raises:
        InvalidArgumentError: A number is out of range, or ``robot_only`` is combined with lock-step.
        RenderError: A window is asked for, but there is no display.
    """
    factor = None if factor is None else read_factor("factor", factor)
    if robot_only and factor is None:
        sentence = "robot_only is True in lock-step, but a robot's time does not wait. Add --real-time."
        raise InvalidArgumentError("robot_only", robot_only, sentence=sentence)
    start = time.time_ns() if robot_only else 0  # a robot's stamps are those of its system clock
    arm = ServedArm(robot, control_dt, physics_dt, start, scene)
    with contextlib.closing(arm), contextlib.closing(Graph(domain_id)) as graph:
        topics = Topics(robot.name if namespace is None else namespace, controller, remap or {})
        provider = _Provider(arm, graph, topics, joint_prefix, factor is None, robot_only, gui)
        on_ready(graph)
        if factor is None:
            graph.wait(stop, FOREVER)
        else:
            _run(provider, count_substeps(control_dt, physics_dt), factor, stop)


def _run(provider: _Provider, report_every: int, factor: float, stop: Callable[[], bool]) -> None:
    """Advance by one physics step per tick of the steady clock, and publish every ``report_every`` ticks."""
    tick = 1e-9 * provider.arm.physics_dt_ns / factor if factor else 0.0
    due = time.monotonic()
    for count in itertools.count(1):
        now = time.monotonic()
        due = due + tick if now - due < MAX_LAG_S else now
        if provider.graph.wait(stop, max(due - now, MIN_MESSAGE_TIME_S)):
            return
        provider.arm.advance(1)
        if count % report_every == 0:
            provider.publish()


class _Provider:
    """Answers messages in callbacks of the graph, so its owner must call ``graph.wait``."""

    def __init__(
        self, arm: ServedArm, graph: Graph, topics: Topics, prefix: str, lock_step: bool, robot_only: bool, gui: bool
    ) -> None:
        self.arm, self.graph, self._prefix, self._lock_step, self._gui = arm, graph, prefix, lock_step, gui
        self._names = [prefix + name for name in arm.robot.joint_names]
        # Token of the newest accepted message, and the older ones; a dict keeps the order of insertion.
        self._token, self._old_tokens = "", dict[str, None]()
        self._refused: set[str] = set()
        self._state, self._contact, self._clock = JointState(name=self._names), WrenchStamped(), Clock()
        self._has_objects = arm.objects is not None
        self._objects = MultiDOFJointState()
        # The newest placement of objects, and messages whose placement of objects has not come yet.
        self._staged: tuple[str, MultiDOFJointState] | None = None
        self._waiting: dict[Callable[[Any], None], Any] = {}
        self._next_picture = time.monotonic()
        self._states = graph.publish(JointState, topics.state)
        graph.subscribe(JointTrajectory, topics.command, self._on_command)
        self._others: list[tuple[Any, Any]] = []
        if not robot_only:
            self._others = [
                (graph.publish(WrenchStamped, topics.contacts), self._contact),
                (graph.publish(Clock, topics.clock), self._clock),
            ]
            graph.subscribe(JointState, topics.place, self._on_place)
            if self._has_objects:
                self._others.append((graph.publish(MultiDOFJointState, topics.objects), self._objects))
                graph.subscribe(MultiDOFJointState, topics.place_objects, self._on_place_objects)
            graph.node.create_service(Empty, topics.reset_world, self._on_reset_world)
            self._provider = graph.publish(String, topics.provider, keep=True)
            self._provider.publish(String(data=self._describe()))
        self._show()

    def publish(self) -> None:
        """Publish the state at this instant, with its contacts and the clock."""
        arm, state = self.arm, self._state
        state.position, state.velocity, state.effort = (array("d", values) for values in (arm.q, arm.dq, arm.effort))
        state.header.stamp = self._clock.clock = self._contact.header.stamp = from_ns(Time, arm.time)
        # A placement has the stamp of the step before it, so only the token tells which contact belongs to which state.
        state.header.frame_id = self._contact.header.frame_id = self._token
        self._contact.wrench.force.x = arm.take_contact_force()
        self._fill_objects()
        self._send()
        self._show()

    def _send(self) -> None:
        # A client waits for the state, so what belongs to it goes first.
        for publisher, message in self._others:
            publisher.publish(message)
        self._states.publish(self._state)

    def _fill_objects(self) -> None:
        """Fill the message of objects with those that are not parked."""
        arm, objects = self.arm, self.arm.objects
        if objects is None or arm.scene is None:
            return
        there = np.flatnonzero(~objects.is_parked[0])
        self._objects.joint_names = [arm.scene.pool.names[member] for member in objects.index[0, there]]
        self._objects.transforms, self._objects.twist = make_objects(objects.pose[0, there], objects.twist[0, there])
        self._objects.header = self._state.header

    def _on_place_objects(self, message: MultiDOFJointState) -> None:
        """Keep a placement of objects for the message with the same token. In real time there are no tokens: carry it out."""
        with self._refusing():
            wanted = read_objects(message, self.arm.find_present())
            if not self._lock_step:
                self.arm.arrange(wanted)
                return
            self._staged = message.header.frame_id, message
        for take, waiting in list(self._waiting.items()):
            take(waiting)

    def _is_staged(self, token: str, take: Callable[[Any], None], message: Any) -> bool:
        """Return whether a message can be carried out: the placement of objects that belongs to it is here, or there is none.

        Otherwise the message waits for it. The two come on two topics, so either may be first.
        """
        self._waiting.pop(take, None)
        is_here = token == self._token or (self._staged is not None and self._staged[0] == token)
        if self._lock_step and token.endswith(OBJECTS_MARK) and not is_here:
            self._waiting[take] = message
            return False
        return True

    def _arrange_objects(self, token: str) -> None:
        """Carry out the placement of objects with this token, if there is one."""
        if self._staged is not None and self._staged[0] == token and token:
            message, self._staged = self._staged[1], None
            self.arm.arrange(read_objects(message, self.arm.find_present()))

    def _on_command(self, message: JointTrajectory) -> None:
        with self._refusing():
            token = message.header.frame_id
            if not self._is_staged(token, self._on_command, message) or self._is_repeated(token):
                return
            message.joint_names = self._strip(message.joint_names)
            effort = read_effort(message, self.arm.robot)
            goal = read_command(message, self.arm.robot, self.arm.setpoint) if effort is None else effort
            duration = to_ns(message.points[0].time_from_start)
            accept = self.arm.command if effort is None else self.arm.apply
            accept(goal, count_steps(duration, self.arm.physics_dt_ns, self._lock_step))
            self._arrange_objects(token)
            self._token = token
            if self._lock_step:
                self.arm.advance(self.arm.steps_left)
                self.publish()

    def _on_place(self, message: JointState) -> None:
        with self._refusing():
            token = message.header.frame_id
            if not self._is_staged(token, self._on_place, message) or self._is_repeated(token):
                return
            robot, measured = self.arm.robot, np.clip(self.arm.q, self.arm.robot.lower, self.arm.robot.upper)
            q = read_joints("placement", self._strip(message.name), message.position, robot, measured)
            self._arrange_objects(token)
            self.arm.place(q)
            self._token = token
            self.publish()

    def _on_reset_world(self, _: Any, response: Any) -> Any:
        self.arm.arrange({})
        self.arm.place(self.arm.robot.home)
        return response

    def _strip(self, names: Sequence[str]) -> list[str]:
        """Return the joints' names without the prefix. A name without it is marked, so that it is refused as unknown."""
        prefix = self._prefix
        return [name.removeprefix(prefix) if name.startswith(prefix) else f"{name} (without {prefix!r})" for name in names]

    def _is_repeated(self, token: str) -> bool:
        """Return whether a message came before.

        A copy of the newest one is answered again without a step, because its answer was lost. A copy of an older one
        came late, and is ignored.
        """
        if not token or not self._lock_step:
            return False  # in real time frame_id may be the name of a coordinate frame, the same in every message
        if token == self._token:
            self._send()
            return True
        if token in self._old_tokens:
            return True
        self._old_tokens[token] = None
        if len(self._old_tokens) > MAX_OLD_TOKENS:
            del self._old_tokens[next(iter(self._old_tokens))]
        return False

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """Log why a message was refused, each reason once."""
        try:
            yield
        except RefusedError as error:
            if str(error) not in self._refused and len(self._refused) < MAX_REFUSALS:
                self._refused.add(str(error))
                LOG.warning("Ignored %s (logged once).", error)

    def _show(self) -> None:
        """Draw the arm. In real time, draw only when a picture is due: drawing earlier would block, and delay the physics."""
        now = time.monotonic()
        if self._gui and (self._lock_step or now >= self._next_picture):
            self._next_picture = now + PICTURE_DT
            self.arm.show()

    def _describe(self) -> str:
        from gym_gazebo2 import __version__

        physics_dt = self.arm.physics_dt_ns / 1e9
        description = {"kind": "mujoco", "version": __version__, "lock_step": self._lock_step, "physics_dt": physics_dt}
        robot = self.arm.robot
        # The fingers come last in the robot's joints.
        if self.arm.scene is not None:
            description["scene"] = json.loads(describe_scene(self.arm.scene, self.arm.scene.num_objects))
        fingers = self._names[robot.chain_dof :]
        return json.dumps(description | {"joints": self._names, "fingers": fingers, "takes_effort": True})
