"""Gazebo's window, opened on a running server."""

from __future__ import annotations

import signal
import subprocess
import weakref
from pathlib import Path

from gym_gazebo2.errors import RenderError
from gym_gazebo2.gazebo.server import GazeboServer, tie_to_thread
from gym_gazebo2.ownership import Owner

__all__ = ["GazeboClient"]

EXIT_TIMEOUT_S = 5.0
"""Time for a window to end after SIGTERM, before it is killed [s]."""


class GazeboClient:
    """A window of Gazebo. If the user closes it, the server goes on."""

    def __init__(self, server: GazeboServer) -> None:
        """Open the window of a server that is ready and serves Gazebo's own topics.

        Args:
            server: The server.

        Raises:
            RenderError: The window's program cannot be started.
        """
        command, variables = server.simulator.make_client()
        self.name = Path(command[0]).name
        try:
            self.process = subprocess.Popen(
                [*tie_to_thread("TERM"), *command], env=server.environment | variables, start_new_session=True
            )
        except OSError as error:
            raise RenderError(f"{command[0]} cannot be started: {error}. Run: gym-gazebo2 doctor") from error
        self._end = weakref.finalize(self, _end, self.process, Owner())

    @property
    def is_open(self) -> bool:
        """Whether the window is still open."""
        return self.process.poll() is None

    def check(self) -> None:
        """Raise a RenderError if it died. Exit status 0 means that the user closed it."""
        code = self.process.poll()
        if code:
            how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
            raise RenderError(f"{self.name} ended {how}, so there is no window. It needs OpenGL. Run: gym-gazebo2 doctor")

    def close(self) -> None:
        """Close the window and wait for its end; closing twice is fine."""
        self._end()


def _end(process: subprocess.Popen[bytes], owner: Owner) -> None:
    """Send SIGTERM, and kill the process if it does not end. In a fork of the process, the window belongs to the parent."""
    if not owner.is_here:
        return
    process.terminate()
    try:
        process.wait(EXIT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(EXIT_TIMEOUT_S)
