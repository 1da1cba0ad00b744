"""Gazebo 11 as a backend: the client of the ROS 2 contract, with a gzserver of its own that it starts, watches and ends."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import count_substeps, read_control_dt, read_num_envs
from gym_gazebo2.backends.ros2 import Ros2Backend
from gym_gazebo2.display import check_display
from gym_gazebo2.errors import BackendError, UnsupportedError
from gym_gazebo2.gazebo import Domain, find_ros, start_robot
from gym_gazebo2.gazebo.build import compute_key
from gym_gazebo2.gazebo.client import GazeboClient
from gym_gazebo2.gazebo.serve import local_discovery
from gym_gazebo2.real_time import RealTime
from gym_gazebo2.robots import RobotSpec

__all__ = ["GazeboBackend"]


class GazeboBackend(Ros2Backend):
    """One arm in a gzserver of its own, in exact lock-step, in a ROS domain that no other program on this machine has."""

    is_local = True
    is_shared = False
    is_restartable = True
    window = MappingProxyType({"render_mode": "human", "backend_options": {"gui": True}})

    def __init__(
        self,
        robot: RobotSpec,
        num_envs: int = 1,
        control_dt: float = 0.05,
        physics_dt: float = 0.001,
        timeout: float = 20.0,
        log: str | None = None,
        gui: bool = False,
    ) -> None:
        """Start the server and connect to it. The plug-in is built on first use, which takes about half a minute.

        Args:
            robot: The arm.
            num_envs: 1; several arms are several processes.
            control_dt: Control period [s], a whole number of physics steps.
            physics_dt: Physics step [s].
            timeout: Deadline of every wait [s].
            log: File for the server's output; None keeps it until the server ends.
            gui: Open Gazebo's window, which render mode "human" then keeps to real time; a physics step takes longer with it.

        Raises:
            InvalidArgumentError: A number cannot work.
            GazeboError: Gazebo or ROS 2 is missing, or the plug-in cannot be built.
            BackendError: The server does not start; the message quotes its log.
            RenderError: A window is asked for, and there is no display.
        """
        if gui:
            check_display("without the window: backend_options={'gui': False}, gym-gazebo2 play --record FILE")
        num_envs, control_dt = read_num_envs(num_envs, self.max_envs), read_control_dt(control_dt)
        count_substeps(control_dt, physics_dt)
        self._domain = Domain()
        world = {"control_dt": control_dt, "physics_dt": physics_dt, "gazebo_topics": gui}
        self._client: GazeboClient | None = None
        try:
            with local_discovery():
                self._server = start_robot(robot, self._domain.id, Path(log) if log else None, **world)
        except BaseException:
            self._domain.release()
            raise
        try:
            self._server.wait_ready()
            super().__init__(robot, num_envs, control_dt, domain_id=self._domain.id, timeout=timeout, lock_step=True)
        except BaseException:
            self._end_server()
            raise
        try:
            self._check_version()
            if gui:
                self._client, self._real_time = GazeboClient(self._server), RealTime(control_dt)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the ROS graph and end the server; closing twice is fine."""
        super().close()
        self._end_server()

    def _check_alive(self) -> None:
        """Raise a BackendError with the end of its log where the server has died."""
        self._server.check_alive()

    def _check_version(self) -> None:
        """Raise a BackendError where another plug-in than the one built here serves the world."""
        came, expected = self._link.provider, compute_key(self._server.gazebo, find_ros())
        if came is None or came.version != expected:
            raise BackendError(
                f"The plug-in in gzserver is {came}, expected version {expected!r}. Is another one on GAZEBO_PLUGIN_PATH?"
            )

    def render(self, mode: str, width: int, height: int) -> NDArray[np.uint8] | None:
        """Keep Gazebo's window, which draws by itself, to real time; one that the user closed stays closed.

        Raises:
            UnsupportedError: A picture is asked for, or there is no window.
            RenderError: The window died.
        """
        if mode != "human":
            self._refuse("draw pictures")
        if self._client is None:
            raise UnsupportedError("This GazeboBackend has no window. Make it with: backend_options={'gui': True}")
        self._client.check()
        if self._client.is_open:
            self._real_time.wait()
        return None

    def _end_server(self) -> None:
        if self._client is not None:
            self._client.close()
        self._server.close()
        self._domain.release()
