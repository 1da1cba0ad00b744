"""Find gz-sim, today's Gazebo, and return the commands that start its server and that install it."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import ClassVar

from gym_gazebo2.gazebo.installation import LIBRARY
from gym_gazebo2.gazebo.locate import ask

__all__ = ["GzSim", "INSTALL_GZ_SIM", "find_gz_sim"]

FORTRESS = 6
GENERATIONS = {FORTRESS: "Fortress", 8: "Harmonic", 9: "Ionic", 10: "Jetty"}
"""Major versions of gz-sim that the plug-in is written for, and their names. Fortress still calls itself ign-gazebo."""
OLDEST_FORTRESS = 16
"""Oldest minor version of Fortress that has gz-sim's headers and names."""
TESTED = {FORTRESS: "tested, with exceptions", 10: "tested"}
"""Major version → how far it was tested. docs/modern_gazebo.md names the exceptions."""
COMMANDS = {"gz": "sim", "ign": "gazebo"}
"""Programs that start gz-sim, and their command for it. Fortress has the second one."""
APT = "https://packages.osrfoundation.org/gazebo"
INSTALL_GZ_SIM = (
    f"sudo curl {APT}.gpg -o /usr/share/keyrings/gazebo.gpg && "
    f'echo "deb [signed-by=/usr/share/keyrings/gazebo.gpg] {APT}/ubuntu-stable $(lsb_release -cs) main" | '
    "sudo tee /etc/apt/sources.list.d/gazebo.list && sudo apt-get update && "
    "sudo apt-get install gz-jetty; or, without root: conda install -c conda-forge gz-sim10"
)
"""Commands that install gz-sim: on Ubuntu from Gazebo's own package repository, elsewhere from conda-forge."""


@dataclasses.dataclass(frozen=True)
class GzSim:
    """An installation of gz-sim.

    Attributes:
        program: Path of the program ``gz``, or ``ign`` of Fortress.
        version: Version of gz-sim, such as "10.4.0".
    """

    program: Path
    version: str
    adapter: ClassVar[str] = "gz_sim.cmake"
    product: ClassVar[str] = LIBRARY
    server_name: ClassVar[str] = "gz sim"

    @property
    def major(self) -> int:
        """Major version, a key of ``GENERATIONS``."""
        return int(self.version.partition(".")[0])

    @property
    def description(self) -> str:
        """Version, name of the generation, and how far it was tested."""
        return f"{self.version} ({GENERATIONS[self.major]}, {TESTED.get(self.major, 'not tested')})"

    def make_environment(self) -> dict[str, str]:
        """Return no variables: the program finds its own files, or the caller's environment names them."""
        return {}

    def make_server_environment(self, name: str) -> dict[str, str]:
        """Return the variables that keep a server's own topics on this machine and apart from other servers."""
        prefix = "IGN" if self.major == FORTRESS else "GZ"
        return {f"{prefix}_PARTITION": name, f"{prefix}_IP": "127.0.0.1"}

    def make_command(self, world: Path) -> list[str]:
        """Return the command that starts a server, running from the first physics step, with warnings in its log."""
        return [*self._run, "-s", "-r", "-v", "2", str(world)]

    def make_client(self) -> tuple[list[str], dict[str, str]]:
        """Return the command that opens gz-sim's window on a running server; it needs no further variables."""
        return [*self._run, "-g"], {}

    def make_build_options(self) -> dict[str, str]:
        """Return the CMake variables that choose this version where several are installed."""
        return {"GZ_SIM_MAJOR": str(self.major), "GZ_SIM_PREFIX": str(self.program.resolve().parent.parent)}

    @property
    def _run(self) -> list[str]:
        return [str(self.program), COMMANDS[self.program.name], "--force-version", self.version]


def find_gz_sim() -> GzSim | None:
    """Return the newest supported gz-sim on the PATH, or None.

    Gazebo 11 has a program ``gz``, too. It does not know ``gz sim``.

    Raises:
        GazeboError: A program cannot be started, or does not end in time.
    """
    found = [GzSim(Path(program), version) for program in map(shutil.which, COMMANDS) if program for version in _ask(program)]
    return max(found, key=lambda one: [int(number) for number in one.version.split(".")], default=None)


def _ask(program: str) -> list[str]:
    """Return the supported versions that a program can start."""
    printed = ask(program, COMMANDS[Path(program).name], "--versions")
    versions = re.findall(r"^(\d+\.\d+\.\d+)\S*$", printed, re.MULTILINE)
    return [version for version in versions if _is_supported(*map(int, version.split(".")[:2]))]


def _is_supported(major: int, minor: int) -> bool:
    return major in GENERATIONS and (major != FORTRESS or minor >= OLDEST_FORTRESS)
