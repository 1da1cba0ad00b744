"""Lock-step with a provider of the contract: a command is a step, and the answer is the state at its end."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable

import numpy as np

from gym_gazebo2.backends.ros2.link import Link
from gym_gazebo2.backends.ros2.messages import JointReading, ObjectCommand, ObjectReading, write_objects
from gym_gazebo2.backends.ros2.pacing import Array, Sample, Settings
from gym_gazebo2.contract import OBJECTS_MARK
from gym_gazebo2.errors import BackendError
from gym_gazebo2.ros.topics import JointState, MultiDOFJointState, WrenchStamped

__all__ = ["LockStep"]

PLACE_TOLERANCE = 1e-3
"""Largest distance between a joint and the position where it was placed [rad]; Gazebo and MuJoCo stay below 1e-9."""
RESEND_AFTER_S = 0.5
"""Time without an answer after which a command is sent again, with the same token [s].

A step takes 1 to 2 ms, so an answer this late was almost certainly lost. A shorter time would gain nothing."""


class LockStep:
    """Paced by commands.

    Every command and placement carries a token that is unique to this client, and the provider echoes it in its answer. If no
    answer comes, the same command is sent again with the same token. A provider that has already carried it out publishes its
    answer again without stepping. So a lost, late or duplicated message cannot cause a second step, and a state is never paired
    with the wrong action.

    A placement of objects is a second message with the same token. The provider carries both out in one step, whichever of them
    comes first.
    """

    lock_step = True

    def __init__(self, link: Link, settings: Settings) -> None:
        """Wait until the provider subscribes to commands and placements.

        Args:
            link: The arm's topics.
            settings: The control period and the deadline.

        Raises:
            BackendError: It does not subscribe in time, or sends its states as best effort.
        """
        self.timeout, self._link, self._settings = settings.timeout, link, settings
        self._client = f"{uuid.uuid4().hex}:"
        self._tokens = (f"{self._client}{k}" for k in itertools.count())
        # Answers by token. An answer consists of a state and a contact message with the same token, and one about the objects
        # where the scene has any.
        self._states: dict[str, JointReading] = {}
        self._contacts: dict[str, WrenchStamped] = {}
        self._objects: dict[str, ObjectReading] = {}
        self.intruder: str | None = None  # description of a second client or provider, once one was noticed
        # Simulated time of the last answer [ns], and which provider gave it.
        self._stamp, self._provider_number = 0, 0
        link.on_state, link.on_contact, link.on_objects = self._on_state, self._on_contact, self._on_objects
        self._places = link.graph.publish(JointState, link.topics.place)
        kind, topic = MultiDOFJointState, link.topics.place_objects
        self._object_places = link.graph.publish(kind, topic) if link.has_objects else None

        def is_connected() -> bool:
            others = [] if self._object_places is None else [self._object_places]
            return link.num_command_subscribers > 0 and all(p.get_subscription_count() for p in (self._places, *others))

        if not link.graph.wait(is_connected, settings.timeout):
            raise BackendError(
                f"{link.topics.provider} describes a provider, but nobody subscribed to {link.topics.command} and "
                f"{link.topics.place} within {settings.timeout:g} s. Restart the provider."
            )
        self._check_reliable()

    def place(self, q: Array, objects: ObjectCommand | None = None) -> Sample:
        """Put the arm at ``q`` (dof,) [rad] and objects where they are to be, at rest; simulated time runs on."""
        token = self._make_token(objects)
        message = JointState(name=self._link.joint_names, position=q.tolist())
        message.header.frame_id = token
        answer = self._ask(token, self._add_objects(token, objects, lambda: self._link.graph.send(self._places, message)))
        # A placement begins an episode: from here on only this provider may answer, and earlier intruders are forgotten.
        self._stamp, self._provider_number, self.intruder = answer.stamp, self._link.num_providers, None
        sample = self._make_sample(answer, q)
        # NaN fails the comparison, too.
        if not (np.abs(sample.q - q) <= PLACE_TOLERANCE * self._link.robot.scale).all():
            raise BackendError(
                f"The provider was asked to place the arm at {q} rad, but the arm is at {sample.q} rad. See the provider's log."
            )
        return sample._replace(setpoint=sample.q)

    def advance(self, goal: Array, objects: ObjectCommand | None = None) -> Sample:
        """Step one period, with the set-point ``goal`` (dof,) [rad] at its end."""
        return self._make_sample(self._step(self._link.send_goal, goal, objects), goal)

    def apply(self, effort: Array, objects: ObjectCommand | None = None) -> Sample:
        """Step one period with efforts (dof,) [N·m or N] and the drives off."""
        robot, answer = self._link.robot, self._step(self._link.send_effort, effort, objects)
        return self._make_sample(answer, np.clip(self._link.arrange(answer)[0], robot.lower, robot.upper))

    def _make_token(self, objects: ObjectCommand | None) -> str:
        return next(self._tokens) + ("" if objects is None else OBJECTS_MARK)

    def _add_objects(self, token: str, objects: ObjectCommand | None, send: Callable[[], None]) -> Callable[[], None]:
        """Return a function that sends a placement of objects with this token, too."""
        if objects is None:
            return send
        link, message = self._link, write_objects(objects, token)

        def send_both() -> None:
            link.graph.send(self._object_places, message)
            send()

        return send_both

    def _step(self, send: Callable[[Array, int, str], None], values: Array, objects: ObjectCommand | None) -> JointReading:
        """Send a command of one period, and return the state at its end."""
        period = self._settings.control_dt_ns
        token = self._make_token(objects)
        send_all = self._add_objects(token, objects, lambda: send(values, period, token))
        answer = self._ask(token, send_all, self._provider_number)
        before, self._stamp = self._stamp, answer.stamp
        if self._stamp != before + period:
            raise BackendError(
                f"A step advanced time by {self._stamp - before} ns, expected {period} ns. "
                "Check whether another client steps the same provider."
            )
        return answer

    def hold(self) -> None:
        """Do nothing: time stands still."""

    def _ask(self, token: str, send: Callable[[], None], provider_number: int | None = None) -> JointReading:
        """Send a message until its answer has come.

        Args:
            token: The token of the message.
            send: Sends it.
            provider_number: The provider that must answer; None accepts any provider, as at a reset.

        Returns:
            The state that answers it.

        Raises:
            BackendError: No answer in time; or a second client or provider, or a restarted one, was noticed.
        """
        link, is_step = self._link, provider_number is not None
        self._contacts.clear()
        self._objects.clear()
        deadline = time.monotonic() + self.timeout
        while (left := deadline - time.monotonic()) > 0:
            send()
            link.graph.wait(
                lambda: self._is_answered(token) or (is_step and self.intruder is not None), min(RESEND_AFTER_S, left)
            )
            if is_step and self.intruder is not None:
                raise BackendError(
                    f"{self.intruder} Lock-step needs exactly one client and one provider: give each pair its own domain."
                )
            if is_step and provider_number != link.num_providers:
                raise BackendError(
                    f"The provider of /{link.topics.namespace} was restarted, so its arm is not where this episode left it. "
                    "Call reset()."
                )
            self._check_reliable()
            if self._is_answered(token):
                self._states = {token: self._states[token]}  # kept to notice a second, different answer
                return self._states[token]
        answers = {link.topics.state: self._states, link.topics.contacts: self._contacts, link.topics.objects: self._objects}
        silent = next(topic for topic, came in answers.items() if token not in came)
        raise BackendError(
            f"The provider of /{link.topics.namespace} sent no answer on {silent} within {self.timeout:g} s. "
            "Check that it runs; if it ignored a message, its log gives the reason."
        )

    def _is_answered(self, token: str) -> bool:
        is_complete = token in self._states and token in self._contacts
        return is_complete and (not self._link.has_objects or token in self._objects)

    def _check_reliable(self) -> None:
        """Raise a BackendError if an answer may get lost: best-effort topics are not sent again by DDS."""
        topics = self._link.topics
        unreliable = self._link.graph.best_effort & {topics.state, topics.contacts, topics.objects}
        if unreliable:
            raise BackendError(
                f"{', '.join(sorted(unreliable))} are sent as best effort, and lock-step needs reliable delivery. "
                "Let the provider publish reliably, or make the backend with lock_step=False and a provider that runs freely."
            )

    def _make_sample(self, answer: JointReading, setpoint: Array) -> Sample:
        q, dq = self._link.arrange(answer)
        in_collision = self._contacts[answer.token].wrench.force.x > 0.0
        return Sample(answer.stamp, q, dq, setpoint.copy(), in_collision, self._objects.get(answer.token))

    def _on_state(self, reading: JointReading) -> None:
        self.intruder = self.intruder or self._find_intruder(reading)
        self._states[reading.token] = reading

    def _find_intruder(self, reading: JointReading) -> str | None:
        """Return a sentence about a second client or provider if this state proves that there is one."""
        topic, known = self._link.topics.state, self._states.get(reading.token)
        if reading.token and not reading.token.startswith(self._client):
            return f"{topic} answers another client, which moves this arm, too."
        # A resent command is answered with the same state; only another provider can give a different one.
        if known is None or (known.stamp == reading.stamp and np.array_equal(known.position, reading.position, equal_nan=True)):
            return None
        return f"{topic} brought two different answers to one message, so two providers serve it."

    def _on_contact(self, contact: WrenchStamped) -> None:
        self._contacts[contact.header.frame_id] = contact

    def _on_objects(self, reading: ObjectReading) -> None:
        self._objects[reading.token] = reading
