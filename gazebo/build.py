"""Build the Gazebo plug-in on first use, and keep it for as long as its source, Gazebo and ROS 2 stay the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.locate import Gazebo, find_cache
from gym_gazebo2.gazebo.ros import Ros

__all__ = ["build_plugin", "compute_key", "find_missing_program", "find_plugin"]

SOURCE = Path(__file__).with_name("plugin")
LIBRARY = "libgym_gazebo2_plugin.so"
TIMEOUT = 600.0
PROGRAMS = {"cmake": "cmake", "c++": "g++"}
"""What building needs, and the package that has it."""


def build_plugin(gazebo: Gazebo, ros: Ros) -> Path:
    """Return the path of the plug-in's library, after building it where the cache has none that fits.

    Args:
        gazebo: The Gazebo that is to load it.
        ros: The ROS 2 that it talks over.

    Raises:
        GazeboError: A compiler, CMake or a header is missing, or the compiler fails.
    """
    library = find_plugin(gazebo, ros)
    if library.exists():
        return library
    if program := find_missing_program():
        raise GazeboError(
            f"The plug-in is to be built, and {program} is not on the PATH. "
            f"Install it (on Debian and Ubuntu: {PROGRAMS[program]})."
        )
    library.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent.parent, prefix="build-") as folder:
        _compile(Path(folder), gazebo, ros, library.parent.name)
        library.parent.mkdir(exist_ok=True)
        (Path(folder) / LIBRARY).replace(library)
    return library


def find_plugin(gazebo: Gazebo, ros: Ros) -> Path:
    """Return where the plug-in's library for this Gazebo and ROS 2 is kept; it may not exist yet."""
    return find_cache() / "plugins" / compute_key(gazebo, ros) / LIBRARY


def find_missing_program() -> str:
    """Return the name of a program that building needs and that is not on the PATH, or nothing."""
    for program in PROGRAMS:
        if shutil.which(os.environ.get("CXX", program) if program == "c++" else program) is None:
            return program
    return ""


def compute_key(gazebo: Gazebo, ros: Ros) -> str:
    """Return the name that a build for this source, Gazebo and ROS 2 has in the cache, also the plug-in's version."""
    digest = hashlib.sha256()
    for file in sorted(SOURCE.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    marks = [f"{path}:{path.stat().st_mtime_ns}" for path in (gazebo.gzserver, *_find_rcl(ros))]
    digest.update(repr((gazebo.version, ros, marks)).encode())
    return digest.hexdigest()[:16]


def _find_rcl(ros: Ros) -> list[Path]:
    return [file for prefix in ros.prefixes if (file := prefix / "lib/librcl.so").exists()]


def _compile(folder: Path, gazebo: Gazebo, ros: Ros, key: str) -> None:
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "GAZEBO_PREFIX": str(gazebo.prefix or ""),
        "ROS_PREFIXES": ";".join(map(str, ros.prefixes)),
        "LIBPYTHON": str(ros.libpython or ""),
        "PLUGIN_VERSION": key,
    }
    definitions = [f"-D{name}={value}" for name, value in options.items()]
    for command in (["cmake", "-S", str(SOURCE), "-B", str(folder), *definitions], ["cmake", "--build", str(folder)]):
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False
        )
        if done.returncode:
            raise GazeboError(f"The plug-in cannot be built. {' '.join(command[:2])} said:\n{_find_reason(done.stdout)}")


def _find_reason(output: str) -> str:
    """Return the lines of a build's output from the first error on, at most twenty."""
    lines = output.splitlines()
    first = next((i for i, line in enumerate(lines) if "error" in line.lower()), max(0, len(lines) - 20))
    return "\n".join(lines[first : first + 20])
