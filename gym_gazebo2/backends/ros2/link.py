"""One arm's topics: commands out, states in, joints by name. Knows messages, not how the arm is paced."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.ros2.wire import CommandWriter, JointReading, StateReader
from gym_gazebo2.errors import BackendError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros import Graph, JointState, JointTrajectory, String, Topics, WrenchStamped

__all__ = ["Array", "Link", "Pacing", "Provider", "Sample", "Settings"]

Array = NDArray[np.float64]


class Sample(NamedTuple):
    """An arm at the end of a period.

    Attributes:
        stamp: Time of the provider's clock [ns].
        q: (dof,) measured positions [rad].
        dq: (dof,) measured velocities [rad/s].
        setpoint: (dof,) set-point that the drives are at [rad].
        in_collision: Contact at any time of the period.
    """

    stamp: int
    q: Array
    dq: Array
    setpoint: Array
    in_collision: bool


class Pacing(Protocol):
    """How an arm's time advances."""

    lock_step: bool

    def place(self, q: Array) -> Sample:
        """Bring the arm to ``q`` (dof,), at rest."""
        ...

    def advance(self, goal: Array) -> Sample:
        """Command a set-point (dof,), and return the arm at the period's end."""
        ...

    def hold(self) -> None:
        """Leave the arm standing where it is, as far as that can be said to anybody; never raises."""
        ...


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the ways of pacing need to know.

    Attributes:
        control_dt_ns: Control period [ns].
        timeout: Deadline of every wait [s].
        reset_speed: Speed at which an arm that cannot be placed goes to a start pose, as a share of its velocity limits.
        stale_after: Age at which the newest state of an arm whose time runs by itself counts as lost [s].
    """

    control_dt_ns: int
    timeout: float
    reset_speed: float
    stale_after: float


@dataclasses.dataclass(frozen=True)
class Provider:
    """What a provider says of itself.

    Attributes:
        lock_step: Whether a command is a step.
        joints: Names of its joints.
        physics_dt: Its physics step [s]; None where it does not say.
        kind: What it is, such as "gazebo".
        version: Version of what serves the contract.
    """

    lock_step: bool
    joints: tuple[str, ...]
    physics_dt: float | None = None
    kind: str = "unknown"
    version: str = "unknown"


class Link:
    """The topics of one arm.

    Attributes:
        graph: The ROS graph, which owns the one wait.
        topics: Their names.
        robot: The arm.
        provider: What the newest provider says of itself; None where there is none, as with a robot.
        starts: How many providers have come so far: each that starts says once what it is.
        is_speaking: Whether a state of the robot's joints has come.
        on_state: Called with what each JointState says.
        on_contact: Called with each WrenchStamped of the contacts, serialised.
    """

    def __init__(
        self, robot: RobotSpec, topics: Topics, domain_id: int | None, watch: Callable[[], None], is_local: bool
    ) -> None:
        """Join the graph.

        Args:
            robot: The arm.
            topics: Names of its topics.
            domain_id: ROS domain; None takes ROS_DOMAIN_ID, or 0.
            watch: Raises where the other side is known to be dead.
            is_local: Discover on this machine only.
        """
        self.robot, self.topics, self._is_local = robot, topics, is_local
        self.provider: Provider | None = None
        self.starts, self.is_speaking = 0, False
        self._reader, self._names, self._order = StateReader(), list[str](), list[int]()
        self.on_state: Callable[[JointReading], None] = lambda reading: None
        self.on_contact: Callable[[bytes], None] = lambda contact: None
        self.graph = Graph(domain_id, watch, is_local)
        self._commands = self.graph.publish(JointTrajectory, topics.command)
        self._writer = CommandWriter(robot.joint_names)
        self.graph.subscribe(JointState, topics.state, self._on_state, raw=True)
        self.graph.subscribe(WrenchStamped, topics.contacts, self._on_contact, raw=True)
        self.graph.subscribe(String, topics.provider, self._on_provider, keep=True)

    @property
    def is_heard(self) -> bool:
        """Whether somebody takes the commands."""
        self.graph.check_open()
        return bool(self._commands.get_subscription_count())

    def send_goal(self, goal: Array, period: int, token: str = "") -> None:
        """Ask for a set-point (dof,) after a period [ns]."""
        self.graph.send(self._commands, self._writer.write(goal, period, token))

    def flush(self, timeout: float) -> bool:
        """Wait until every reader has the last command, and tell whether that was so in time."""
        return self.graph.wait_acknowledged(self._commands, timeout)

    def arrange(self, reading: JointReading) -> tuple[Array, Array]:
        """Return positions and velocities (dof,), found by name; a publisher without velocities gives NaN for them.

        Raises:
            BackendError: A joint is missing, or has no position.
        """
        names, position, velocity = reading.names, reading.position, reading.velocity
        if names is not self._names or len(position) != len(names):
            self._order = self._find_joints(names, len(position))
            self._names = names
        q = position.take(self._order)
        return q, velocity.take(self._order) if len(velocity) == len(names) else np.full_like(q, np.nan)

    def _find_joints(self, names: list[str], count: int) -> list[int]:
        """Return where the robot's joints are in a state of so many positions."""
        missing = [name for name in self.robot.joint_names if name not in names]
        if missing or count != len(names):
            came = f"a state of {names} with {count} positions"
            raise BackendError(
                f"{self.topics.state} brought {came}, expected each of {self.robot.joint_names}. "
                f"Missing: {missing}. Does another node publish there?"
            )
        return [names.index(name) for name in self.robot.joint_names]

    def renew(self) -> Link:
        """Return a new link to the same arm, for where a signal has shut this one down."""
        return Link(self.robot, self.topics, self.graph.domain_id, lambda: None, self._is_local)

    def close(self) -> None:
        """Leave the graph; closing twice is fine."""
        self.graph.close()

    def _on_state(self, message: bytes) -> None:
        reading = self._reader.read(message)
        self.is_speaking = self.is_speaking or not set(self.robot.joint_names).isdisjoint(reading.names)
        self.on_state(reading)

    def _on_contact(self, contact: bytes) -> None:
        self.on_contact(contact)

    def _on_provider(self, message: String) -> None:
        self.provider = _read_provider(message.data, self.topics.provider)
        self.starts += 1


def _read_provider(text: str, topic: str) -> Provider:
    """Return what a provider says of itself.

    Raises:
        BackendError: It says something else.
    """
    try:
        said: dict[str, Any] = json.loads(text)
        lock_step, joints = said["lock_step"], tuple(map(str, said["joints"]))
        physics_dt = None if said.get("physics_dt") is None else float(said["physics_dt"])
        return Provider(bool(lock_step), joints, physics_dt, str(said.get("kind")), str(said.get("version")))
    except (ValueError, TypeError, KeyError) as error:
        raise BackendError(
            f'{topic} says {text!r}, expected JSON with "lock_step" and "joints" ({error!r}). '
            "Is the provider of another version of gym_gazebo2, or does another node publish there?"
        ) from error
