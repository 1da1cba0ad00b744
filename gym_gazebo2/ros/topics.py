"""The topics of the ROS 2 contract: names, message types and quality of service."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2 import contract
from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, UnknownNameError
from gym_gazebo2.ros.middleware import check_middleware

check_middleware()
try:
    from builtin_interfaces.msg import Duration, Time
    from geometry_msgs.msg import Quaternion, Transform, Twist, Vector3, WrenchStamped
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import JointState, MultiDOFJointState
    from std_msgs.msg import Float64MultiArray, String
    from std_srvs.srv import Empty
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
except ImportError as error:
    raise MissingDependencyError("rclpy", "ros2") from error

__all__ = [
    "CONTROLLER",
    "CONTROL_WORLD",
    "Clock",
    "Duration",
    "Empty",
    "Float64MultiArray",
    "JointState",
    "JointTrajectory",
    "JointTrajectoryPoint",
    "MultiDOFJointState",
    "String",
    "Time",
    "TopicInfo",
    "Topics",
    "WrenchStamped",
    "from_ns",
    "import_control_world",
    "make_objects",
    "make_qos",
    "to_ns",
]

NAMESPACE = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", re.ASCII)
CONTROLLER = contract.COMMAND_TOPIC.split("/")[0]
"""Usual name of the controller that takes commands."""
ROOT = ("", "/")
"""The root namespace, as it is written."""
NAMES = (
    *(contract.COMMAND_TOPIC, contract.STATE_TOPIC, contract.CONTACTS_TOPIC, contract.PLACE_TOPIC, contract.PROVIDER_TOPIC),
    *(contract.OBJECTS_TOPIC, contract.PLACE_OBJECTS_TOPIC, contract.CLOCK_TOPIC, contract.RESET_WORLD_SERVICE),
)
WORDS = tuple(name.split("/")[-1] for name in NAMES)
"""The last words of the topics' names, by which they are remapped."""
CONTROL_WORLD = "ros_gz_interfaces/srv/ControlWorld"
"""Type of the service that steps a world of Gazebo Sim (package ros_gz_interfaces, optional)."""


class TopicInfo(NamedTuple):
    """One topic or service, for people.

    Attributes:
        name: Full name.
        kind: Type, such as "sensor_msgs/JointState".
        meaning: What it carries.
    """

    name: str
    kind: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class Topics:
    """Names of the contract for one robot.

    Attributes:
        namespace: The robot's ROS namespace, without slashes around it; empty is the root namespace.
        controller: Name of the controller that takes commands.
        remap: Other names for topics, by the last word of their usual name, such as ``{joint_states: /arm/states}``. A
            name that does not begin with a slash is in the namespace.
        gripper_controller: Name of the controller that takes the commands of the fingers; None: that of the arm takes them.
        gripper_topic: Name of the topic that takes the commands of the fingers, in place of a controller's.
        gripper_states: Name of the topic of the fingers' states; None: they come with the arm's.
    """

    namespace: str
    controller: str = CONTROLLER
    remap: Mapping[str, str] = dataclasses.field(default_factory=dict)
    gripper_controller: str | None = None
    gripper_topic: str | None = None
    gripper_states: str | None = None

    def __post_init__(self) -> None:
        """Store the namespace without slashes around it.

        Raises:
            InvalidArgumentError: One of the names is not a valid ROS name.
            UnknownNameError: ``remap`` names a topic that the contract does not have.
        """
        expected = "names of letters, digits and underscores that do not begin with a digit, separated by slashes"
        if not (isinstance(self.namespace, str) and (self.namespace in ROOT or NAMESPACE.fullmatch(self.namespace))):
            raise InvalidArgumentError("namespace", self.namespace, expected)
        if not (isinstance(self.controller, str) and NAMESPACE.fullmatch(self.controller)):
            raise InvalidArgumentError("controller", self.controller, expected)
        for name in ("gripper_controller", "gripper_topic", "gripper_states"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and NAMESPACE.fullmatch(value)):
                raise InvalidArgumentError(name, value, expected)
        if self.gripper_controller is not None and self.gripper_topic is not None:
            sentence = "gripper_controller and gripper_topic are both given. Give the name of a controller, or that of a topic."
            raise InvalidArgumentError("gripper_topic", self.gripper_topic, sentence=sentence)
        if not isinstance(self.remap, Mapping):
            raise InvalidArgumentError("remap", self.remap, "a dictionary of topic names")
        for name, other in self.remap.items():
            if name not in WORDS:
                raise UnknownNameError("topic", name, WORDS)
            if not (isinstance(other, str) and NAMESPACE.fullmatch(other)):
                raise InvalidArgumentError(f"remap[{name!r}]", other, expected)
        object.__setattr__(self, "namespace", self.namespace.strip("/"))
        object.__setattr__(self, "controller", self.controller.strip("/"))

    def _resolve(self, name: str) -> str:
        """Return the full name of a topic or service of the contract."""
        word = name.rsplit("/", maxsplit=1)[-1]
        return self._complete(self.remap.get(word, f"{self.controller}/{word}" if name == contract.COMMAND_TOPIC else name))

    def _complete(self, name: str) -> str:
        """Return a name with the namespace before it, unless it begins with a slash."""
        return name if name.startswith("/") else "/" + "/".join(filter(None, (self.namespace, name)))

    @property
    def gripper_command(self) -> str | None:
        """Name of the topic that takes the commands of the fingers; None: they are part of the arm's commands."""
        word = contract.COMMAND_TOPIC.split("/")[-1]
        name = self.gripper_topic if self.gripper_controller is None else f"{self.gripper_controller.strip('/')}/{word}"
        return None if name is None else self._complete(name)

    @property
    def gripper_state(self) -> str | None:
        """Name of the topic of the fingers' states; None: they come with the arm's."""
        return None if self.gripper_states is None else self._complete(self.gripper_states)

    command = property(lambda self: self._resolve(contract.COMMAND_TOPIC))
    state = property(lambda self: self._resolve(contract.STATE_TOPIC))
    contacts = property(lambda self: self._resolve(contract.CONTACTS_TOPIC))
    place = property(lambda self: self._resolve(contract.PLACE_TOPIC))
    objects = property(lambda self: self._resolve(contract.OBJECTS_TOPIC))
    place_objects = property(lambda self: self._resolve(contract.PLACE_OBJECTS_TOPIC))
    provider = property(lambda self: self._resolve(contract.PROVIDER_TOPIC))
    clock = property(lambda self: self._resolve(contract.CLOCK_TOPIC))
    reset_world = property(lambda self: self._resolve(contract.RESET_WORLD_SERVICE))

    def list_info(self, robot_only: bool = False, has_objects: bool = False) -> list[TopicInfo]:
        """Return every topic and service of the contract.

        Args:
            robot_only: Leave out those that only simulators have.
            has_objects: Whether the scene has movable objects.
        """
        robot = [(self.command, JointTrajectory, "commands"), (self.state, JointState, "states")]
        simulator = [
            (self.contacts, WrenchStamped, "force.x: the largest contact force"),
            (self.place, JointState, "placements"),
            (self.provider, String, "description of this provider"),
            (self.reset_world, Empty, "service: everything back to its start"),
            (self.clock, Clock, "simulated time"),
        ]
        if has_objects:
            robot.append((self.objects, MultiDOFJointState, "poses and twists of the objects"))
            simulator.append((self.place_objects, MultiDOFJointState, "placements of objects"))
        rows = robot if robot_only else robot + simulator
        return [TopicInfo(name, f"{kind.__module__.split('.')[0]}/{kind.__name__}", text) for name, kind, text in rows]


def make_qos(keep: bool = False, reliable: bool = True) -> QoSProfile:
    """Return the quality of service of the contract: depth 1, because only the newest message counts.

    Args:
        keep: Deliver the last message to subscribers that come later, too (durability "transient local").
        reliable: Deliver again what was lost; False is "best effort".
    """
    durability = DurabilityPolicy.TRANSIENT_LOCAL if keep else DurabilityPolicy.VOLATILE
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=1, reliability=reliability, durability=durability)


def make_objects(pose: NDArray[np.float64], twist: NDArray[np.float64]) -> tuple[list[Any], list[Any]]:
    """Return the transforms and twists of a message about objects.

    Args:
        pose: (m, 7) positions [m] and quaternions wxyz.
        twist: (m, 6) linear [m/s] and angular velocities [rad/s]; (0, 6) for none.
    """
    transforms = [
        Transform(translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(w=qw, x=qx, y=qy, z=qz))
        for x, y, z, qw, qx, qy, qz in pose.tolist()
    ]
    twists = [
        Twist(linear=Vector3(x=vx, y=vy, z=vz), angular=Vector3(x=wx, y=wy, z=wz)) for vx, vy, vz, wx, wy, wz in twist.tolist()
    ]
    return transforms, twists


def to_ns(stamp: Any) -> int:
    """Return a Time or Duration message as integer nanoseconds."""
    return int(stamp.sec) * contract.NANOSECONDS + int(stamp.nanosec)


def from_ns(kind: type, nanoseconds: int) -> Any:
    """Return integer nanoseconds as a message of ``kind``: Time or Duration."""
    seconds, rest = divmod(nanoseconds, contract.NANOSECONDS)
    return kind(sec=seconds, nanosec=rest)


def import_control_world() -> Any:
    """Return the type of Gazebo Sim's control service, or None if ros_gz_interfaces is not installed."""
    try:
        from ros_gz_interfaces.srv import ControlWorld as service
    except ImportError:
        return None
    return service
