"""The topics of a gripper that does not share the arm's controller: commands of the fingers, and their states."""

from __future__ import annotations

import time

import numpy as np

from gym_gazebo2.backends.ros2.messages import CommandWriter, JointReading
from gym_gazebo2.backends.ros2.pacing import Array
from gym_gazebo2.ros.graph import Graph
from gym_gazebo2.ros.topics import Float64MultiArray, JointTrajectory

__all__ = ["GripperLink"]

COMMANDS = "commands"
"""Last word of a topic that takes plain numbers (Float64MultiArray), as ros2_control's forward_command_controller does."""
STALE_AFTER_S = 1.0
"""Age at which a state of the fingers is no longer added to the arm's [s]. Grippers publish theirs at 10 Hz or more."""


class GripperLink:
    """Sends the fingers' commands, and completes the arm's states with the fingers'."""

    def __init__(self, graph: Graph, topic: str, joint_names: list[str], finger_names: list[str]) -> None:
        """Make the publisher.

        Args:
            graph: The ROS node.
            topic: Name of the topic of commands.
            joint_names: Names of the fingers in commands: with the prefix.
            finger_names: Names of the fingers in the specification.
        """
        self.topic, self._graph, self._names = topic, graph, finger_names
        self._is_plain = topic.rsplit("/", maxsplit=1)[-1] == COMMANDS
        self._writer = CommandWriter(joint_names)
        self._commands = graph.publish(Float64MultiArray if self._is_plain else JointTrajectory, topic)
        self._newest: tuple[JointReading, float] | None = None  # the fingers' newest state, and its arrival [s]

    @property
    def num_subscribers(self) -> int:
        """How many nodes subscribe to the commands."""
        return int(self._commands.get_subscription_count())

    def send(self, goal: Array, period: int) -> None:
        """Command finger positions [rad or m], to be reached after a period [ns]; plain numbers carry no period."""
        message = Float64MultiArray(data=goal.tolist()) if self._is_plain else self._writer.write(goal, period)
        self._graph.send(self._commands, message)

    def flush(self, timeout: float) -> bool:
        """Return whether every subscriber acknowledged the last command within ``timeout`` [s]."""
        return self._graph.wait_acknowledged(self._commands, timeout)

    def take(self, reading: JointReading) -> None:
        """Keep the fingers' states of a message that has all of them."""
        if set(self._names) <= set(reading.names) and len(reading.position) == len(reading.names):
            self._newest = reading, time.monotonic()

    def complete(self, reading: JointReading) -> JointReading:
        """Return a state of the arm with the fingers' newest states. Without a recent one the fingers stay missing."""
        if self._newest is None or not set(self._names).isdisjoint(reading.names):
            return reading
        fingers, received = self._newest
        if time.monotonic() - received > STALE_AFTER_S:
            return reading
        order = [fingers.names.index(name) for name in self._names]
        has_velocity = len(fingers.velocity) == len(fingers.names)
        velocity = fingers.velocity[order] if has_velocity else np.zeros(len(order))
        return reading._replace(
            names=[*reading.names, *self._names],
            position=np.concatenate([reading.position, fingers.position[order]]),
            velocity=np.concatenate([reading.velocity, velocity]) if len(reading.velocity) else reading.velocity,
        )
