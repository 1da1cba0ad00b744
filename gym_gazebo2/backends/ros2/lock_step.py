"""Lock-step with a provider of the contract: a command is a step, its answer the state at its end."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable

import numpy as np

from gym_gazebo2.backends.ros2.link import Array, Link, Sample, Settings
from gym_gazebo2.backends.ros2.wire import JointReading, read_force
from gym_gazebo2.errors import BackendError
from gym_gazebo2.ros import JointState

__all__ = ["LockStep"]

PLACED = 1e-3
"""Farthest that a joint may be from where it was placed [rad]."""
RESEND = 0.5
"""Time after which a command that got no answer is sent again, with the same token [s]."""


class LockStep:
    """Paced by commands.

    Every command carries a token that the provider echoes. A command without an answer is sent again with its token, and
    answered without a second step; so nothing that is lost, late or doubled pairs a state with the wrong action.
    """

    lock_step = True

    def __init__(self, link: Link, settings: Settings) -> None:
        """Wait until the provider takes commands and placements.

        Raises:
            BackendError: It does not in time, or sends its states unreliably.
        """
        self._link, self._settings = link, settings
        self._client = f"{uuid.uuid4().hex}:"
        self._tokens = (f"{self._client}{k}" for k in itertools.count())
        self._states: dict[str, JointReading] = {}
        self._other: str | None = None
        self._contacts: list[bytes] = []
        self._stamp, self._start = 0, 0
        link.on_state, link.on_contact = self._on_state, self._on_contact
        self._places = link.graph.publish(JointState, link.topics.place)
        if not link.graph.wait(lambda: link.is_heard and bool(self._places.get_subscription_count()), settings.timeout):
            topics = f"{link.topics.command} and {link.topics.place}"
            raise BackendError(f"Nobody took {topics} within {settings.timeout:g} s, though {link.topics.provider} says so.")
        self._check_reliable()

    def place(self, q: Array) -> Sample:
        """Put the arm at ``q``, at rest; simulated time runs on."""
        token = next(self._tokens)
        message = JointState(name=self._link.robot.joint_names, position=q.tolist())
        message.header.frame_id = token
        answer = self._ask(token, lambda: self._link.graph.send(self._places, message))
        self._stamp, self._start, self._other = answer.stamp, self._link.starts, None
        sample = self._read(answer, q)
        if not (np.abs(sample.q - q) <= PLACED).all():
            raise BackendError(f"The arm was to be placed at {q} rad, and is at {sample.q} rad. Is the provider sound?")
        return sample._replace(setpoint=sample.q)

    def advance(self, goal: Array) -> Sample:
        """Step one period."""
        period = self._settings.control_dt_ns
        token = next(self._tokens)
        answer = self._ask(token, lambda: self._link.send_goal(goal, period, token), self._start)
        before, self._stamp = self._stamp, answer.stamp
        if self._stamp != before + period:
            passed = self._stamp - before
            raise BackendError(f"A step advanced time by {passed} ns, expected {period} ns. Is another client stepping it?")
        return self._read(answer, goal)

    def hold(self) -> None:
        """Do nothing: time stands still."""

    def _ask(self, token: str, send: Callable[[], None], start: int | None = None) -> JointReading:
        """Send until the state with the token has come; ``start`` is the provider that may answer, None any."""
        link = self._link
        self._contacts.clear()
        deadline = time.monotonic() + self._settings.timeout
        while (left := deadline - time.monotonic()) > 0:
            send()
            link.graph.wait(
                lambda: self._is_answered(token) or (start is not None and self._other is not None), min(RESEND, left)
            )
            if start is not None and self._other is not None:
                raise BackendError(
                    f"{self._other} Lock-step is between one client and one provider: give each pair its domain."
                )
            if start not in (None, link.starts):
                raise BackendError(
                    f"The provider of /{link.topics.namespace} was started anew: its arm is not where this episode left it. "
                    "Call reset()."
                )
            self._check_reliable()
            if self._is_answered(token):
                self._states = {token: self._states[token]}
                return self._states[token]
        silent = link.topics.contacts if token in self._states else link.topics.state
        raise BackendError(
            f"The provider of /{link.topics.namespace} gave no answer on {silent} within {self._settings.timeout:g} s. "
            "Is it stopped, or did it ignore a message? Its log says so."
        )

    def _is_answered(self, token: str) -> bool:
        return token in self._states and self._find_contact(token) is not None

    def _find_contact(self, token: str) -> bytes | None:
        """Return the contact that belongs to a state, serialised."""
        sought = token.encode() + b"\0"  # as strings end in a message: not every token that begins so
        return next((contact for contact in self._contacts if sought in contact), None)

    def _check_reliable(self) -> None:
        unreliable = self._link.graph.best_effort & {self._link.topics.state, self._link.topics.contacts}
        if unreliable:
            raise BackendError(
                f"{', '.join(sorted(unreliable))} are sent as best effort, and lock-step needs reliable delivery. "
                "Let the provider publish reliably, or make the backend with lock_step=False and a provider that runs freely."
            )

    def _read(self, answer: JointReading, setpoint: Array) -> Sample:
        q, dq = self._link.arrange(answer)
        contact = self._find_contact(answer.token)
        in_collision = contact is not None and read_force(contact) > 0.0
        return Sample(answer.stamp, q, dq, setpoint.copy(), in_collision)

    def _on_state(self, reading: JointReading) -> None:
        self._other = self._other or self._find_other(reading)
        self._states[reading.token] = reading

    def _find_other(self, reading: JointReading) -> str | None:
        """Return what a state says of somebody who should not be there."""
        topic, known = self._link.topics.state, self._states.get(reading.token)
        if reading.token and not reading.token.startswith(self._client):
            return f"{topic} answers another client: it moves this arm too."
        if known is None or (known.stamp == reading.stamp and np.array_equal(known.position, reading.position, equal_nan=True)):
            return None
        return f"{topic} gave two answers to one message: two providers serve it."

    def _on_contact(self, contact: bytes) -> None:
        self._contacts.append(contact)
