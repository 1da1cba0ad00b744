"""Find Gazebo 11: the system's, or the one in the user's cache, and the environment that its programs need."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from gym_gazebo2.cache import find_cache
from gym_gazebo2.gazebo.debian import LOCK
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.installation import LIBRARY
from gym_gazebo2.gazebo.ports import find_port

__all__ = ["Gazebo", "ask", "find_cache", "find_cached_prefix", "find_gazebo", "find_system_gazebo"]

PROGRAM_TIMEOUT_S = 60.0
"""Longest time of a program of the system [s]: apt may wait for the lock of another apt."""
ARCH = "usr/lib/x86_64-linux-gnu"
# A real installation makes blas and lapack visible with update-alternatives, and loads the helper library of libpulse by
# absolute path. Here their folders are searched instead.
LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu", ARCH, f"{ARCH}/blas", f"{ARCH}/lapack", f"{ARCH}/pulseaudio", "usr/lib")
HOST_FOLDERS = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"))


@dataclasses.dataclass(frozen=True)
class Gazebo:
    """An installation of Gazebo 11.

    Attributes:
        gzserver: Path of its server program.
        version: Its version, such as "11.1.0".
        prefix: Folder that the packages were unpacked into; None for the system's own installation.
    """

    gzserver: Path
    version: str
    prefix: Path | None = None
    adapter: ClassVar[str] = "gazebo11.cmake"
    product: ClassVar[str] = LIBRARY
    server_name: ClassVar[str] = "gzserver"

    @property
    def program(self) -> Path:
        """Path of its server program, as of any simulator."""
        return self.gzserver

    @property
    def library_folders(self) -> tuple[Path, ...]:
        """Folders that the dynamic loader must search first; empty for the system's own installation."""
        return () if self.prefix is None else tuple(self.prefix / folder for folder in LIBRARY_FOLDERS)

    def make_environment(self) -> dict[str, str]:
        """Return the variables that a program of this installation needs besides the caller's own."""
        if self.prefix is None:
            return {}
        share = self.prefix / "usr/share/gazebo-11"
        return {
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, self.library_folders)),
            "GAZEBO_RESOURCE_PATH": str(share),
            "GAZEBO_MODEL_PATH": str(share / "models"),
            "GAZEBO_PLUGIN_PATH": str(self.prefix / ARCH / "gazebo-11/plugins"),
            "OGRE_RESOURCE_PATH": str(self.prefix / ARCH / "OGRE-1.9.0"),
        }

    @property
    def gzclient(self) -> Path:
        """Path of its window program."""
        return self.gzserver.with_name(self.gzserver.name.replace("gzserver", "gzclient"))

    def make_server_environment(self, name: str) -> dict[str, str]:
        """Return the variables that keep a server apart from others: its own port and partition."""
        return {
            "GAZEBO_MASTER_URI": f"http://127.0.0.1:{find_port()}",
            "GAZEBO_IP": "127.0.0.1",
            "GAZEBO_MODEL_DATABASE_URI": "",
            "IGN_IP": "127.0.0.1",
            "IGN_PARTITION": name,
        }

    def make_command(self, world: Path) -> list[str]:
        """Return the command that starts a server."""
        return [str(self.gzserver), "--verbose", str(world)]

    def make_client(self) -> tuple[list[str], dict[str, str]]:
        """Return the command of gzclient, and the variables that it needs besides those of its server.

        The window is drawn by the machine's OpenGL driver, which needs the machine's libdrm instead of Debian 11's older one.
        """
        if self.prefix is None:
            return [str(self.gzclient)], {}
        drm = [str(folder / "libdrm.so.2") for folder in HOST_FOLDERS if (folder / "libdrm.so.2").exists()]
        variables = {"QT_PLUGIN_PATH": str(self.prefix / ARCH / "qt5/plugins"), "LD_PRELOAD": "".join(drm[:1])}
        return [str(self.gzclient)], variables

    def make_build_options(self) -> dict[str, str]:
        """Return the CMake variable with the folder of its headers."""
        return {"GAZEBO_PREFIX": str(self.prefix or "")}


def find_cached_prefix() -> Path:
    """Return the folder that Gazebo is installed into, named after the lock file's hash; it may not exist yet."""
    return find_cache() / f"gazebo11-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"


def find_gazebo() -> Gazebo | None:
    """Return the system's Gazebo 11, else the one in the cache, else None."""
    return find_system_gazebo() or read_prefix(find_cached_prefix())


def read_prefix(prefix: Path) -> Gazebo | None:
    """Return the installation in a folder, or None if it has none."""
    programs = sorted((prefix / "usr/bin").glob("gzserver-11.*"))
    return Gazebo(programs[0], programs[0].name.partition("-")[2], prefix) if programs else None


def find_system_gazebo() -> Gazebo | None:
    """Return the Gazebo 11 on the PATH, or None."""
    program = shutil.which("gzserver")
    if program is None:
        return None
    version = re.search(r"version (11\.[0-9.]*[0-9])", ask(program, "--version"))
    return Gazebo(Path(program), version.group(1)) if version else None


def ask(*command: str) -> str:
    """Run a program of the system, and return its standard output.

    Raises:
        GazeboError: It cannot be started, or does not end in time.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GazeboError(f"{command[0]} does not answer: {error}. Run it by hand to see what it waits for.") from error
