"""What a simulator's installation must offer to be built for, started and watched."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

__all__ = ["LIBRARY", "PLUGIN_SOURCE", "Installation"]

PLUGIN_SOURCE = Path(__file__).with_name("plugin")
"""Folder of the plug-in's source: one core, and an adapter for each simulator."""
LIBRARY = "libgym_gazebo2_plugin.so"


class Installation(Protocol):
    """A simulator that is installed: Gazebo 11 or gz-sim."""

    @property
    def adapter(self) -> str:
        """CMake file of its adapter, relative to the plug-in's source."""

    @property
    def product(self) -> str:
        """File that a build makes."""

    @property
    def program(self) -> Path:
        """Path of the program that starts its server."""

    @property
    def server_name(self) -> str:
        """Name of its server in messages, such as "gzserver"."""

    @property
    def version(self) -> str:
        """Its version, such as "11.1.0"."""

    def make_environment(self) -> dict[str, str]:
        """Return the variables that its programs need besides the caller's own."""

    def make_server_environment(self, name: str) -> dict[str, str]:
        """Return the variables that keep a server, and the clients that inherit them, apart from other servers.

        Args:
            name: A name that no other server on this machine has.
        """

    def make_command(self, world: Path) -> list[str]:
        """Return the command that starts a server without a window.

        Args:
            world: File of the world.
        """

    def make_client(self) -> tuple[list[str], dict[str, str]]:
        """Return the command that opens a window on a running server, and the variables that it needs besides the server's."""

    def make_build_options(self) -> dict[str, str]:
        """Return the CMake variables of its adapter."""
