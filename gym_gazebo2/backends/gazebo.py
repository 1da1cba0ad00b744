"""Gazebo 11 as a backend: the client of the ROS 2 contract, with a gzserver of its own that it starts, watches and ends."""

from __future__ import annotations

import os
from pathlib import Path

from gym_gazebo2.backends.base import count_substeps, read_control_dt, read_num_envs
from gym_gazebo2.backends.ros2 import Ros2Backend
from gym_gazebo2.gazebo import Domain, GazeboError, GazeboServer, build_plugin, find_gazebo, find_ros, make_world
from gym_gazebo2.robots import RobotSpec

__all__ = ["GazeboBackend"]

LOCAL = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


class GazeboBackend(Ros2Backend):
    """One arm in a gzserver of its own, in exact lock-step, in a ROS domain that no other program on this machine has."""

    def __init__(
        self,
        robot: RobotSpec,
        num_envs: int = 1,
        control_dt: float = 0.05,
        physics_dt: float = 0.001,
        timeout: float = 20.0,
        log: str | None = None,
    ) -> None:
        """Start the server and connect to it. The plug-in is built on first use, which takes about half a minute.

        Args:
            robot: The arm.
            num_envs: 1; several arms are several processes.
            control_dt: Control period [s], a whole number of physics steps.
            physics_dt: Physics step [s].
            timeout: Deadline of every wait [s].
            log: File for the server's output; None keeps it until the server ends.

        Raises:
            InvalidArgumentError: A number cannot work.
            GazeboError: Gazebo or ROS 2 is missing, or the plug-in cannot be built.
            BackendError: The server does not start; the message quotes its log.
        """
        num_envs, control_dt = read_num_envs(num_envs, self.max_envs), read_control_dt(control_dt)
        count_substeps(control_dt, physics_dt)
        gazebo, ros = find_gazebo(), find_ros()
        if gazebo is None:
            raise GazeboError("Gazebo 11 is not installed. Install it, without root, with: gym-gazebo2 install-gazebo")
        world = make_world(robot, build_plugin(gazebo, ros), control_dt=control_dt, physics_dt=physics_dt)
        os.environ.update(LOCAL)  # rclpy reads it when the context starts
        self._domain = Domain()
        environment = {**ros.make_environment(), **LOCAL, "ROS_DOMAIN_ID": str(self._domain.id)}
        try:
            self._server = GazeboServer(gazebo, world, environment, Path(log) if log else None)
        except BaseException:
            self._domain.release()
            raise
        try:
            self._server.wait_ready()
            super().__init__(robot, num_envs, control_dt, domain_id=self._domain.id, timeout=timeout)
        except BaseException:
            self._end_server()
            raise

    def close(self) -> None:
        """Leave the ROS graph and end the server; closing twice is fine."""
        super().close()
        self._end_server()

    def _check_alive(self) -> None:
        """Raise a BackendError with the end of its log where the server has died."""
        self._server.check_alive()

    def _end_server(self) -> None:
        self._server.close()
        self._domain.release()
