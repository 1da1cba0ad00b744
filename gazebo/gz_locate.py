"""Find gz-sim, today's Gazebo, and return the commands that start its server and that install it."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import ClassVar

from gym_gazebo2.gazebo.installation import LIBRARY
from gym_gazebo2.gazebo.locate import ask

__all__ = ["GENERATIONS", "GzSim", "INSTALL_GZ_SIM", "find_gz_sim"]

GENERATIONS = {8: "Harmonic", 9: "Ionic", 10: "Jetty"}
"""Major versions of gz-sim that the plug-in is written for, and their names. Only Jetty was run."""
COMMAND = "gz"
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
        program: Path of the program ``gz``.
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

    def make_environment(self) -> dict[str, str]:
        """Return no variables: ``gz`` finds its own files, or the caller's environment names them."""
        return {}

    def make_server_environment(self, name: str) -> dict[str, str]:
        """Return the variables that keep a server's own topics on this machine and apart from other servers."""
        return {"GZ_PARTITION": name, "GZ_IP": "127.0.0.1"}

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
        return [str(self.program), "sim", "--force-version", self.version]


def find_gz_sim() -> GzSim | None:
    """Return the newest supported gz-sim on the PATH, or None.

    Gazebo 11 has a program ``gz``, too. It does not know ``gz sim``.

    Raises:
        GazeboError: ``gz`` cannot be started, or does not end in time.
    """
    program = shutil.which(COMMAND)
    if program is None:
        return None
    numbers = re.findall(r"^(\d+)\.(\d+)\.(\d+)\S*$", ask(program, "sim", "--versions"), re.MULTILINE)
    versions = sorted((int(major), int(minor), int(patch)) for major, minor, patch in numbers if int(major) in GENERATIONS)
    return GzSim(Path(program), ".".join(map(str, versions[-1]))) if versions else None
