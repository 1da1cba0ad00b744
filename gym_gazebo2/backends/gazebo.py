"""Gazebo as a backend: the client of the ROS 2 contract, with a server of its own that it starts, watches and ends."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import count_substeps, read_control_dt, read_num_envs
from gym_gazebo2.backends.ros2 import Ros2Backend
from gym_gazebo2.display import check_display
from gym_gazebo2.errors import BackendError, UnsupportedError
from gym_gazebo2.gazebo import Domain, find_ros, start_robot
from gym_gazebo2.gazebo.build import compute_key
from gym_gazebo2.gazebo.client import GazeboClient
from gym_gazebo2.real_time import RealTime
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros.discovery import local_discovery
from gym_gazebo2.scene import Scene

__all__ = ["GazeboBackend", "GzSimBackend"]


class GazeboBackend(Ros2Backend):
    """One arm in a server of Gazebo 11, in exact lock-step, in a ROS domain that no other program on this machine uses.

    Attributes:
        simulator: Row of ``gym_gazebo2.gazebo.serve.SIMULATORS``.
        server: The server.
        client: Gazebo's window; None without one.
    """

    simulator: ClassVar[str] = "gazebo"
    is_local = True
    is_shared = False  # every instance starts a server of its own
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
        scene: Scene | None = None,
    ) -> None:
        """Start the server and connect to it. The plug-in is built on first use, which takes about half a minute.

        Args:
            robot: The arm.
            num_envs: 1; several arms need several processes.
            control_dt: Control period [s], a whole number of physics steps.
            physics_dt: Physics step [s].
            timeout: Deadline of every wait [s].
            log: File for the server's output; None keeps the output in a temporary folder until the server ends.
            gui: Open Gazebo's window; render mode "human" then keeps to real time. A physics step takes longer with it.
            scene: What stands around the arm; None: only the floor.

        Raises:
            InvalidArgumentError: A number is out of range.
            GazeboError: Gazebo is missing, or the plug-in cannot be built.
            RosError: ROS 2 is missing, or this machine has no free domain.
            BackendError: The server does not start; the message quotes its log.
            RenderError: A window is asked for, but there is no display.
        """
        if gui:
            check_display("without the window: backend_options={'gui': False}, gym-gazebo2 play --record FILE")
        num_envs, control_dt = read_num_envs(num_envs, self.max_envs), read_control_dt(control_dt)
        count_substeps(control_dt, physics_dt)
        world: dict[str, Any] = {
            "simulator": self.simulator,
            "control_dt": control_dt,
            "physics_dt": physics_dt,
            "gazebo_topics": gui,
            "scene": scene,
        }
        self.client: GazeboClient | None = None
        # What is started here is ended in the opposite order: at once if a later part fails, else by close().
        with contextlib.ExitStack() as resources:
            domain = Domain()
            resources.callback(domain.release)
            with local_discovery():
                self.server = start_robot(robot, domain.id, Path(log) if log else None, **world)
            resources.callback(self.server.close)
            self.server.wait_ready()
            super().__init__(robot, num_envs, control_dt, domain_id=domain.id, timeout=timeout, lock_step=True, scene=scene)
            # The finaliser, and not the method close: a stack with a bound method would keep a dropped backend alive.
            resources.callback(self._leave)
            self._check_version()
            if gui:
                self.client, self._real_time = GazeboClient(self.server), RealTime(control_dt)
                resources.callback(self.client.close)
            self._resources = resources.pop_all()

    def close(self) -> None:
        """Leave the ROS graph and end the server; closing twice is fine."""
        with self._resources:
            super().close()

    def _check_alive(self) -> None:
        """Raise a BackendError that quotes the end of the log if the server has died."""
        self.server.check_alive()

    def _check_version(self) -> None:
        """Raise a BackendError if another plug-in than the one built here serves the world."""
        found, expected = self.link.provider, compute_key(self.server.simulator, find_ros())
        if found is None or found.version != expected:
            raise BackendError(
                f"The plug-in in {self.server.simulator.server_name} is {found}, expected version {expected!r}. "
                "Remove other gym_gazebo2 plug-ins from GAZEBO_PLUGIN_PATH and GZ_SIM_SYSTEM_PLUGIN_PATH."
            )

    def render(self, mode: str, width: int, height: int) -> NDArray[np.uint8] | None:
        """Keep to real time while Gazebo's window is open; the window draws by itself. A window that was closed stays closed.

        Raises:
            UnsupportedError: A picture is asked for, or there is no window.
            RenderError: The window died.
        """
        if mode != "human":
            self._refuse("draw pictures")
        if self.client is None:
            raise UnsupportedError(f"This {type(self).__name__} has no window. Make it with: backend_options={{'gui': True}}")
        self.client.check()
        if self.client.is_open:
            self._real_time.wait()
        return None


class GzSimBackend(GazeboBackend):
    """One arm in a server of gz-sim, today's Gazebo. docs/modern_gazebo.md lists the differences from Gazebo 11."""

    simulator = "gz_sim"
