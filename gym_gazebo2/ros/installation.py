"""Find the ROS 2 that C++ programs are built with and run on: a sourced one, else the wheels of this Python environment."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
import sysconfig
from pathlib import Path

from gym_gazebo2.errors import RosError

__all__ = ["RosInstallation", "find_ros"]

ADVICE = "Source a ROS 2 (. /opt/ros/<distribution>/setup.sh), or: pip install 'gym_gazebo2[ros2]'"


@dataclasses.dataclass(frozen=True)
class RosInstallation:
    """A ROS 2.

    Attributes:
        prefixes: Its folders, each with include/, lib/ and share/.
        libpython: Python's shared library, which the wheels' libraries need; None for a full installation.
        bundled: Folders of the libraries that the wheels bring along.
    """

    prefixes: tuple[Path, ...]
    libpython: Path | None = None
    bundled: tuple[Path, ...] = ()

    def make_environment(self) -> dict[str, str]:
        """Return the variables that a program linked with it needs besides the caller's own."""
        libraries = [*(prefix / "lib" for prefix in self.prefixes), *self.bundled]
        environment = {
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "AMENT_PREFIX_PATH": os.pathsep.join(map(str, self.prefixes)),
        }
        # The wheels contain only Fast DDS, so a program cannot load another middleware, even if the user has chosen one.
        return environment if self.libpython is None else environment | {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}


def find_ros() -> RosInstallation:
    """Return the sourced ROS 2, else that of the wheels.

    Raises:
        RosError: There is none, or Python's shared library is missing, which the wheels need.
    """
    sourced = tuple(Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p)
    wheels = Path(sys.prefix)
    # The wheels set AMENT_PREFIX_PATH to their own prefix, too; that is no sourced ROS 2.
    if any((prefix / "include/rcl").is_dir() for prefix in sourced) and wheels not in sourced:
        return RosInstallation(sourced)
    if importlib.util.find_spec("rclpy") is None or not (wheels / "include/rcl").is_dir():
        raise RosError(f"No ROS 2 was found: neither in AMENT_PREFIX_PATH nor in {wheels}/include/rcl. {ADVICE}.")
    bundled = sorted(Path(sysconfig.get_path("platlib")).glob("ros_*.libs"))
    return RosInstallation((wheels,), _find_libpython(), tuple(bundled))


def _find_libpython() -> Path:
    name = sysconfig.get_config_var("INSTSONAME") or ""
    if not name.endswith(".a"):
        for folder in (sysconfig.get_config_var("LIBDIR"), "/usr/lib/x86_64-linux-gnu", sys.base_prefix + "/lib"):
            if folder and (Path(folder) / name).is_file():
                return Path(folder) / name
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise RosError(
        f"Python's shared library {name or f'libpython{version}.so'} was not found, and the ROS 2 wheels' libraries need it. "
        f"Install it (on Debian and Ubuntu: libpython{version}), or use a Python built with --enable-shared."
    )
