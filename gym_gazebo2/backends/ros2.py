"""A client of the ROS 2 contract: steps one arm of a lock-step provider."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import Backend
from gym_gazebo2.errors import BackendError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros import (
    Duration,
    Graph,
    JointState,
    JointTrajectory,
    JointTrajectoryPoint,
    String,
    Topics,
    WrenchStamped,
    from_ns,
    to_ns,
)
from gym_gazebo2.state import ArmState

__all__ = ["Ros2Backend"]

Array = NDArray[np.float64]

RESEND = 0.5
"""Time after which a command that got no answer is sent again, with the same token [s]."""


class Ros2Backend(Backend):
    """One arm of a lock-step provider on the ROS 2 contract: a command is a step, its answer the state at its end.

    Every command carries a token that the provider echoes. A command without an answer is sent again with its token, and
    answered without a second step; so nothing that is lost, late or doubled pairs a state with the wrong action.
    """

    max_envs = 1

    def __init__(
        self,
        robot: RobotSpec,
        num_envs: int = 1,
        control_dt: float = 0.05,
        namespace: str | None = None,
        domain_id: int | None = None,
        timeout: float = 20.0,
    ) -> None:
        """Connect to the provider.

        Args:
            robot: The arm.
            num_envs: 1; several arms are several processes.
            control_dt: Control period [s].
            namespace: ROS namespace; None is the robot's name.
            domain_id: ROS domain; None takes ROS_DOMAIN_ID, or 0.
            timeout: Deadline of every wait [s].

        Raises:
            InvalidArgumentError: ``num_envs`` is not 1.
            BackendError: There is no provider, it is not in lock-step, or its joints are not the robot's.
        """
        super().__init__(robot, num_envs, control_dt)
        self.timeout, self._topics = timeout, Topics(namespace or robot.name)
        self._setpoint, self._start = np.tile(robot.home, (1, 1)), 0
        self._states: dict[str, JointState] = {}
        self._contacts: dict[str, float] = {}
        self._provider: dict[str, Any] = {}
        self._tokens: Iterator[str] = (f"{uuid.uuid4().hex}:{k}" for k in itertools.count())
        self._connect(domain_id)

    def reset(self, mask: NDArray[np.bool_], q: Array) -> ArmState:
        """Place the arm at ``q``, at rest; simulated time runs on, the episode's start is subtracted."""
        mask, q = self._check_reset(mask, q)
        if mask[0]:
            message = JointState(name=self.robot.joint_names, position=q[0].tolist())
            answer = self._ask(self._places, message)
            self._start = to_ns(answer.header.stamp)
            state = self._read(answer)
            self._setpoint = state.q
            self._state = dataclasses.replace(state, q_setpoint=state.q.copy())
        return self._state

    def step(self, q_setpoint: Array) -> ArmState:
        """Command one period, and return the state at its end."""
        goal = self._check_step(q_setpoint, self._setpoint)
        point = JointTrajectoryPoint(positions=goal[0].tolist(), time_from_start=from_ns(Duration, self.control_dt_ns))
        answer = self._ask(self._commands, JointTrajectory(joint_names=self.robot.joint_names, points=[point]))
        self._setpoint = goal.copy()
        before, self._state = self._state.time, self._read(answer)
        if self._state.time[0] != before[0] + self.control_dt_ns:
            passed = self._state.time[0] - before[0]
            raise BackendError(
                f"A step advanced time by {passed} ns, expected {self.control_dt_ns} ns. Is another client stepping it?"
            )
        self._check_sane(self._state.q, self._state.dq)
        return self._state

    def close(self) -> None:
        """Leave the ROS graph; closing twice is fine."""
        if not self.is_closed:
            self._graph.close()
        super().close()

    def _connect(self, domain_id: int | None) -> None:
        """Join the graph, and wait for the provider."""
        topics, graph = self._topics, Graph(domain_id, self._check_alive)
        self._graph = graph
        self._commands = graph.publish(JointTrajectory, topics.command)
        self._places = graph.publish(JointState, topics.place)
        graph.subscribe(JointState, topics.state, self._on_state)
        graph.subscribe(WrenchStamped, topics.contacts, self._on_contact)
        graph.subscribe(String, topics.provider, self._on_provider, keep=True)
        try:
            self._check_provider()
        except BaseException:
            self.close()
            raise

    def _check_provider(self) -> None:
        publishers = (self._commands, self._places)
        if not self._graph.wait(
            lambda: bool(self._provider) and all(p.get_subscription_count() for p in publishers), self.timeout
        ):
            expected = f"a provider on {self._topics.provider} in domain {self._graph.domain_id}"
            raise BackendError(
                f"No lock-step provider within {self.timeout:g} s, expected {expected}. Start one, or check ROS_DOMAIN_ID."
            )
        if not self._provider.get("lock_step"):
            raise BackendError(
                f"The provider {self._provider} is not in lock-step, and this backend steps only those that are."
            )
        if sorted(self._provider.get("joints", ())) != sorted(self.robot.joint_names):
            raise BackendError(
                f"The provider has the joints {self._provider.get('joints')}, expected {self.robot.joint_names}."
            )

    def _ask(self, publisher: Any, message: Any) -> JointState:
        """Publish with a new token until the state that carries it has come."""
        token = message.header.frame_id = next(self._tokens)
        self._states.clear()
        self._contacts.clear()
        deadline = time.monotonic() + self.timeout
        while (left := deadline - time.monotonic()) > 0:
            publisher.publish(message)
            if self._graph.wait(lambda: token in self._states and token in self._contacts, min(RESEND, left)):
                return self._states[token]
        raise BackendError(
            f"The provider of /{self._topics.namespace} gave no answer within {self.timeout:g} s. Is it stopped?"
        )

    def _check_alive(self) -> None:
        """Raise a BackendError where the provider is known to be dead. A provider of others is not known."""

    def _read(self, answer: JointState) -> ArmState:
        """Return the state of a message, its joints found by name."""
        try:
            order = [answer.name.index(name) for name in self.robot.joint_names]
            q, dq = np.array([answer.position])[:, order], np.array([answer.velocity])[:, order]
        except (ValueError, IndexError) as error:
            raise BackendError(
                f"A state has the joints {list(answer.name)}, expected {self.robot.joint_names}, each with velocity."
            ) from error
        time_ns = np.array([to_ns(answer.header.stamp) - self._start], dtype=np.int64)
        in_collision = np.array([self._contacts[answer.header.frame_id] > 0.0])
        return ArmState(time_ns, q, dq, self._setpoint.copy(), in_collision)

    def _on_state(self, message: JointState) -> None:
        self._states[message.header.frame_id] = message

    def _on_contact(self, message: WrenchStamped) -> None:
        self._contacts[message.header.frame_id] = message.wrench.force.x

    def _on_provider(self, message: String) -> None:
        with contextlib.suppress(json.JSONDecodeError):  # a foreign topic of that name is no provider
            self._provider = json.loads(message.data)
