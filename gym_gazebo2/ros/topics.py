"""The topics of the ROS 2 contract: names, message types and quality of service."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, NamedTuple

from gym_gazebo2 import contract
from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError

try:
    from builtin_interfaces.msg import Duration, Time
    from geometry_msgs.msg import WrenchStamped
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import JointState
    from std_msgs.msg import String
    from std_srvs.srv import Empty
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
except ImportError as error:
    raise MissingDependencyError("rclpy", "ros2") from error

__all__ = [
    "CONTROL_WORLD",
    "Clock",
    "Duration",
    "Empty",
    "JointState",
    "JointTrajectory",
    "JointTrajectoryPoint",
    "String",
    "Time",
    "TopicInfo",
    "Topics",
    "WrenchStamped",
    "from_ns",
    "import_control_world",
    "make_qos",
    "to_ns",
]

NAMESPACE = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", re.ASCII)
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
        namespace: The robot's ROS namespace, without slashes around it.
    """

    namespace: str

    def __post_init__(self) -> None:
        """Store the namespace without slashes around it.

        Raises:
            InvalidArgumentError: It is not a valid ROS namespace.
        """
        if not (isinstance(self.namespace, str) and NAMESPACE.fullmatch(self.namespace)):
            expected = "names of letters, digits and underscores that do not begin with a digit, separated by slashes"
            raise InvalidArgumentError("namespace", self.namespace, expected)
        object.__setattr__(self, "namespace", self.namespace.strip("/"))

    command = property(lambda self: f"/{self.namespace}/{contract.COMMAND_TOPIC}")
    state = property(lambda self: f"/{self.namespace}/{contract.STATE_TOPIC}")
    contacts = property(lambda self: f"/{self.namespace}/{contract.CONTACTS_TOPIC}")
    place = property(lambda self: f"/{self.namespace}/{contract.PLACE_TOPIC}")
    provider = property(lambda self: f"/{self.namespace}/{contract.PROVIDER_TOPIC}")
    clock, reset_world = contract.CLOCK_TOPIC, contract.RESET_WORLD_SERVICE

    def list_info(self, robot_only: bool = False) -> list[TopicInfo]:
        """Return every topic and service of the contract.

        Args:
            robot_only: Leave out those that only simulators have.
        """
        robot = [(self.command, JointTrajectory, "commands"), (self.state, JointState, "states")]
        simulator = [
            (self.contacts, WrenchStamped, "force.x: the largest contact force"),
            (self.place, JointState, "placements"),
            (self.provider, String, "description of this provider"),
            (self.reset_world, Empty, "service: everything back to its start"),
            (self.clock, Clock, "simulated time"),
        ]
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
