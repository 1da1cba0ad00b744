"""Build the Gazebo plug-in on first use, and keep it for as long as its source, Gazebo and ROS 2 stay the same."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import struct
import subprocess
from pathlib import Path

from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.folders import OwnedFolder
from gym_gazebo2.gazebo.locate import Gazebo, find_cache
from gym_gazebo2.gazebo.ros import Ros

__all__ = ["build_plugin", "compute_key", "find_plugin", "is_built", "try_build"]

SOURCE = Path(__file__).with_name("plugin")
LIBRARY = "libgym_gazebo2_plugin.so"
TIMEOUT = 600.0
TOGETHER = 'exec 3<&0; { read _ <&3; kill -KILL 0; } >/dev/null 2>&1 & exec "$@" </dev/null 3<&-'
"""Runs a command in this process, beside one that ends the whole group when the other end of the input closes."""


def build_plugin(gazebo: Gazebo, ros: Ros) -> Path:
    """Return the path of the plug-in's library, after building it where the cache has none that fits.

    Args:
        gazebo: The Gazebo that is to load it.
        ros: The ROS 2 that it talks over.

    Raises:
        GazeboError: A compiler, CMake or a header is missing, the compiler fails, or the cache cannot be written.
    """
    library = find_plugin(gazebo, ros)
    if not is_built(library):
        _build(library, gazebo, ros)
    return library


def try_build(gazebo: Gazebo, ros: Ros) -> None:
    """Raise unless all that building needs is here; nothing is compiled, so that it takes a moment.

    Raises:
        GazeboError: A compiler, CMake or a header is missing, or the cache cannot be written.
    """
    _build(find_plugin(gazebo, ros), gazebo, ros, dry=True)


def find_plugin(gazebo: Gazebo, ros: Ros) -> Path:
    """Return where the plug-in's library for this Gazebo and ROS 2 is kept; it may not exist yet."""
    return find_cache() / "plugins" / compute_key(gazebo, ros) / LIBRARY


def is_built(library: Path) -> bool:
    """Tell whether a library is there, and as long as its ELF header says: its last part is the table of sections."""
    head = library.read_bytes()[:64] if library.is_file() else b""
    if len(head) < 64:
        return False
    (table,), (size, count) = struct.unpack_from("<Q", head, 40), struct.unpack_from("<HH", head, 58)
    return head.startswith(b"\x7fELF") and library.stat().st_size >= table + size * count


def _build(library: Path, gazebo: Gazebo, ros: Ros, *, dry: bool = False) -> None:
    _check_programs()
    cache = library.parent.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = OwnedFolder(cache, "building-")
        try:
            _configure(folder.path, gazebo, ros, library.parent.name)
            if not dry:
                _run(["cmake", "--build", str(folder.path)])
                _keep(folder.path / LIBRARY, library)
        finally:
            folder.remove()
    except OSError as error:
        raise GazeboError(
            f"The plug-in cannot be built in {cache}: {error}. Make it writable and make room, or set XDG_CACHE_HOME to "
            "another folder."
        ) from error


def _keep(built: Path, library: Path) -> None:
    """Move a library to where it is looked for, whole even if the power fails."""
    with built.open("rb") as file:
        os.fsync(file.fileno())
    library.parent.mkdir(exist_ok=True)
    built.replace(library)


def _check_programs() -> None:
    for program in ("cmake", (shlex.split(os.environ.get("CXX", "")) or ["c++"])[0]):
        if shutil.which(program) is None:
            raise GazeboError(
                f"The plug-in is to be built, and {program} is not on the PATH. "
                "Install what building needs (on Debian and Ubuntu: sudo apt-get install cmake g++ make)."
            )


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


def _configure(folder: Path, gazebo: Gazebo, ros: Ros, key: str) -> None:
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "GAZEBO_PREFIX": str(gazebo.prefix or ""),
        "ROS_PREFIXES": ";".join(map(str, ros.prefixes)),
        "LIBPYTHON": str(ros.libpython or ""),
        "PLUGIN_VERSION": key,
    }
    _run(["cmake", "-S", str(SOURCE), "-B", str(folder), *(f"-D{name}={value}" for name, value in options.items())])


def _run(command: list[str]) -> None:
    """Run a program with all that it starts, which ends with this process even where that is killed."""
    alive, mine = os.pipe()
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", TOGETHER, "sh", *command],
            stdin=alive,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise GazeboError(f"The plug-in was not built after {TIMEOUT:g} s. Look what holds {error.cmd[4:]} up.") from error
    finally:
        os.close(alive)
        os.close(mine)
    if done.returncode:
        raise GazeboError(f"The plug-in cannot be built. {' '.join(command[:2])} said:\n{_find_reason(done.stdout)}")


def _find_reason(output: str) -> str:
    """Return the lines of a build's output from the first error on, at most twenty."""
    lines = output.splitlines()
    first = next((i for i, line in enumerate(lines) if "error" in line.lower()), max(0, len(lines) - 20))
    return "\n".join(lines[first : first + 20])
