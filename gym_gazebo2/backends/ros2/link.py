"""One arm's topics: commands out, states in, joints by name. Knows the messages, not how the arm's time advances."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from gym_gazebo2.backends.ros2.gripper_link import GripperLink
from gym_gazebo2.backends.ros2.messages import CommandWriter, JointReading, ObjectReading, read_objects, read_state
from gym_gazebo2.backends.ros2.pacing import Array
from gym_gazebo2.errors import BackendError, InvalidArgumentError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros.graph import Graph
from gym_gazebo2.ros.topics import JointState, JointTrajectory, MultiDOFJointState, String, Topics, WrenchStamped
from gym_gazebo2.scene import Scene

__all__ = ["Link", "Provider"]


@dataclasses.dataclass(frozen=True)
class Provider:
    """A provider's description of itself, from its provider topic.

    Attributes:
        lock_step: Whether a command is a step.
        joints: Names of its joints.
        physics_dt: Its physics step [s]; None if it does not report one.
        kind: Kind of provider, such as "gazebo".
        version: Version of the provider.
        fingers: Names of those joints that are fingers; a client need not command them.
        takes_effort: Whether it takes commands of efforts in place of set-points.
        scene: Description of its scene (``scene.describe_scene``); None if only the floor is around the arm.
    """

    lock_step: bool
    joints: tuple[str, ...]
    physics_dt: float | None = None
    kind: str = "unknown"
    version: str = "unknown"
    fingers: tuple[str, ...] = ()
    takes_effort: bool = False
    scene: dict[str, Any] | None = dataclasses.field(default=None, repr=False)


class Link:
    """The topics of one arm.

    Attributes:
        graph: The ROS node, with the function that waits for messages.
        topics: Names of the topics.
        robot: The arm.
        provider: Description by the newest provider; None if there is none, as with a robot.
        num_providers: How many descriptions have come. A provider publishes one when it starts, so a larger number means that
            the simulator was restarted.
        joint_names: Names of the robot's joints in messages: with the prefix.
        has_state: Whether a state of the robot's joints has come.
        foreign_joints: Names in the newest state that has none of the robot's joints; empty if none came.
        on_state: Called with the content of each JointState.
        on_contact: Called with each WrenchStamped of the contacts.
        on_objects: Called with the content of each message about objects, where the scene has objects.
        scene: What stands around the arm; None: only the floor.
        has_objects: Whether the scene has movable objects.
    """

    def __init__(
        self,
        robot: RobotSpec,
        topics: Topics,
        domain_id: int | None,
        watch: Callable[[], None],
        is_local: bool,
        joint_prefix: str = "",
        scene: Scene | None = None,
    ) -> None:
        """Make a node with the arm's topics.

        Args:
            robot: The arm.
            topics: Names of its topics.
            domain_id: ROS domain; None takes ROS_DOMAIN_ID, or 0.
            watch: Raises if the simulator is known to be dead.
            is_local: Discover nodes of this machine only.
            joint_prefix: Prefix of the joints' names in messages.
            scene: What stands around the arm; None: only the floor.
        """
        self.scene, self.has_objects = scene, scene is not None and scene.num_objects > 0
        self.robot, self.topics, self._is_local, self._prefix = robot, topics, is_local, joint_prefix
        self.joint_names = [joint_prefix + name for name in robot.joint_names]
        self.foreign_joints: list[str] = []
        self.provider: Provider | None = None
        self.num_providers, self.has_state = 0, False
        self._names, self._order = list[str](), list[int]()
        self.on_state: Callable[[JointReading], None] = lambda reading: None
        self.on_contact: Callable[[WrenchStamped], None] = lambda contact: None
        self.on_objects: Callable[[ObjectReading], None] = lambda reading: None
        self.graph = Graph(domain_id, watch, is_local)
        self._commands = self.graph.publish(JointTrajectory, topics.command)
        self._gripper = self._make_gripper()
        # Joints that the arm's own controller takes.
        self._num_joints = robot.dof if self._gripper is None else robot.chain_dof
        self._writer = CommandWriter(self.joint_names[: self._num_joints])
        for topic in {topics.state, topics.gripper_state or topics.state}:
            self.graph.subscribe(JointState, topic, self._on_state)
        self.graph.subscribe(WrenchStamped, topics.contacts, self._on_contact)
        if self.has_objects:
            self.graph.subscribe(MultiDOFJointState, topics.objects, self._on_objects)
        self.graph.subscribe(String, topics.provider, self._on_provider, keep=True)

    @property
    def num_command_subscribers(self) -> int:
        """How many nodes subscribe to the commands; zero if nobody takes those of the gripper."""
        self.graph.check_open()
        count = int(self._commands.get_subscription_count())
        return count if self._gripper is None else min(count, self._gripper.num_subscribers)

    def _make_gripper(self) -> GripperLink | None:
        """Return the gripper's topics, if it has some of its own."""
        topic, n = self.topics.gripper_command, self.robot.chain_dof
        if topic is None:
            return None
        if self.robot.gripper is None:
            sentence = (
                f"The fingers' commands go to {topic}, but the environment does not drive the gripper. Leave the option out."
            )
            raise InvalidArgumentError("gripper_topic", topic, sentence=sentence)
        return GripperLink(self.graph, topic, self.joint_names[n:], list(self.robot.joint_names[n:]))

    def send_goal(self, goal: Array, period: int, token: str = "") -> None:
        """Command a set-point (dof,) [rad], to be reached after a period [ns]."""
        if self._gripper is not None:
            self._gripper.send(goal[self._num_joints :], period)
        self.graph.send(self._commands, self._writer.write(goal[: self._num_joints], period, token))

    def send_effort(self, effort: Array, period: int, token: str) -> None:
        """Command efforts (dof,) [N·m or N] for a period [ns], with the drives off."""
        self.graph.send(self._commands, self._writer.write_effort(effort, period, token))

    def flush(self, timeout: float) -> bool:
        """Return whether every subscriber acknowledged the last command within ``timeout`` [s]."""
        is_done = self.graph.wait_acknowledged(self._commands, timeout)
        return is_done and (self._gripper is None or self._gripper.flush(timeout))

    def arrange(self, reading: JointReading) -> tuple[Array, Array]:
        """Return positions (dof,) [rad] and velocities (dof,) [rad/s] in the robot's order, found by joint name.

        Velocities are NaN if the publisher gives none.

        Raises:
            BackendError: A joint is missing, or has no position.
        """
        names, position, velocity = reading.names, reading.position, reading.velocity
        # The order is found once: a publisher sends the same names every time.
        if names != self._names or len(position) != len(names):
            self._order = self._find_joints(names, len(position))
            self._names = names
        q = position.take(self._order)
        return q, velocity.take(self._order) if len(velocity) == len(names) else np.full_like(q, np.nan)

    def _find_joints(self, names: list[str], count: int) -> list[int]:
        """Return the indices of the robot's joints in a state of ``count`` positions."""
        missing = [name for name in self.robot.joint_names if name not in names]
        if missing or count != len(names):
            raise BackendError(
                f"{self.topics.state} brought a state of {names} with {count} positions, expected one position for each of "
                f"{self.robot.joint_names}. Missing: {missing}. Check whether another node publishes there."
            )
        return [names.index(name) for name in self.robot.joint_names]

    def renew(self) -> Link:
        """Return a new link to the same arm, for use after a signal shut this one down."""
        return Link(self.robot, self.topics, self.graph.domain_id, lambda: None, self._is_local, self._prefix, self.scene)

    def close(self) -> None:
        """Leave the graph; closing twice is fine."""
        self.graph.close()

    def _on_state(self, message: JointState) -> None:
        reading = read_state(message)
        if self._prefix:
            reading = reading._replace(names=[self._strip(name) for name in reading.names])
        if self._gripper is not None:
            self._gripper.take(reading)
            if set(self.robot.joint_names[: self._num_joints]).isdisjoint(reading.names):
                return  # the fingers alone
            reading = self._gripper.complete(reading)
            if set(self.robot.joint_names) - set(reading.names) and not self.has_state:
                return  # the fingers' first state has not come yet
        is_own = not set(self.robot.joint_names).isdisjoint(reading.names)
        self.has_state = self.has_state or is_own
        if not is_own:
            self.foreign_joints = list(message.name)
        self.on_state(reading)

    def _strip(self, name: str) -> str:
        """Return a joint's name without the prefix. A joint without the prefix belongs to another device."""
        return name.removeprefix(self._prefix) if name.startswith(self._prefix) else f"other {name}"

    def find_other_clients(self) -> list[str]:
        """Return the names of the other nodes that publish commands."""
        self.graph.check_open()
        publishers = self.graph.node.get_publishers_info_by_topic(self.topics.command)
        names = [f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in publishers]
        own = f"/{self.graph.node.get_name()}"
        return sorted(name for name in names if name != own)

    def _on_contact(self, message: WrenchStamped) -> None:
        self.on_contact(message)  # looked up here, because a pacing sets it after the subscription was made

    def _on_objects(self, message: MultiDOFJointState) -> None:
        self.on_objects(read_objects(message))

    def _on_provider(self, message: String) -> None:
        self.provider = _read_provider(message.data, self.topics.provider)
        self.num_providers += 1


def _read_provider(text: str, topic: str) -> Provider:
    """Return a provider's description.

    Raises:
        BackendError: The text is not a description.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        lock_step, joints = fields["lock_step"], tuple(map(str, fields["joints"]))
        physics_dt = None if fields.get("physics_dt") is None else float(fields["physics_dt"])
        fingers = tuple(map(str, fields.get("fingers", ())))
        kind, version, takes_effort = str(fields.get("kind")), str(fields.get("version")), bool(fields.get("takes_effort"))
        scene = None if fields.get("scene") is None else dict(fields["scene"])
        return Provider(bool(lock_step), joints, physics_dt, kind, version, fingers, takes_effort, scene)
    except (ValueError, TypeError, KeyError) as error:
        raise BackendError(
            f'{topic} brought {text!r}, expected JSON with "lock_step" and "joints" ({error!r}). '
            "Check that the provider has this version of gym_gazebo2, and that no other node publishes there."
        ) from error
