"""Build a simulator's plug-in on first use. The build is cached under a key of its source, the simulator and ROS 2."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import struct
import subprocess
from pathlib import Path

from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.folders import OwnedFolder
from gym_gazebo2.gazebo.installation import PLUGIN_SOURCE, Installation
from gym_gazebo2.gazebo.locate import find_cache
from gym_gazebo2.ros.installation import RosInstallation

__all__ = ["build_plugin", "compute_key", "find_plugin", "is_built", "try_build"]

SOURCE = PLUGIN_SOURCE
BUILD_TIMEOUT_S = 600.0
"""Longest time of one CMake call [s]. A build takes half a minute on two cores."""
RUN_WITH_PARENT = 'exec 3<&0; { read _ <&3; kill -KILL 0; } >/dev/null 2>&1 & exec "$@" </dev/null 3<&-'
"""Shell script that runs a command which cannot outlive its caller, even if the caller is killed.

The caller holds the other end of standard input. A background process blocks in ``read`` until that end closes, that is until
the caller closes it or dies. It then kills the process group: the command with its compilers."""


def build_plugin(simulator: Installation, ros: RosInstallation) -> Path:
    """Return the path of the plug-in's library; build it if the cache does not hold it.

    Args:
        simulator: The simulator that will load it.
        ros: The ROS 2 that it uses.

    Raises:
        GazeboError: A compiler, CMake or a header is missing, the compiler fails, or the cache cannot be written.
    """
    library = find_plugin(simulator, ros)
    if not is_built(library):
        _build(library, simulator, ros)
    return library


def try_build(simulator: Installation, ros: RosInstallation) -> None:
    """Check that everything for a build is installed: configure only, which takes a few seconds.

    Raises:
        GazeboError: A compiler, CMake or a header is missing, or the cache cannot be written.
    """
    _build(find_plugin(simulator, ros), simulator, ros, dry=True)


def find_plugin(simulator: Installation, ros: RosInstallation) -> Path:
    """Return the path of the plug-in's library for this simulator and ROS 2; it may not exist yet."""
    return find_cache() / "plugins" / compute_key(simulator, ros) / simulator.product


def is_built(library: Path) -> bool:
    """Return whether a library exists and is complete.

    A full disk, for example, can cut a library off. Its file is then shorter than its ELF header says. The last part of the
    file is the section table. The header gives its offset (byte 40), and the size and number of its entries (bytes 58 to 61).
    """
    head = library.read_bytes()[:64] if library.is_file() else b""
    if len(head) < 64:
        return False
    (table,), (size, count) = struct.unpack_from("<Q", head, 40), struct.unpack_from("<HH", head, 58)
    return head.startswith(b"\x7fELF") and library.stat().st_size >= table + size * count


def _build(library: Path, simulator: Installation, ros: RosInstallation, *, dry: bool = False) -> None:
    _check_programs()
    cache = library.parent.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = OwnedFolder(cache, "building-")
        try:
            _configure(folder.path, simulator, ros, library.parent.name)
            if not dry:
                _run(["cmake", "--build", str(folder.path)])
                _keep(folder.path / simulator.product, library)
        finally:
            folder.remove()
    except OSError as error:
        raise GazeboError(
            f"The plug-in cannot be built in {cache}: {error}. Make the folder writable and free disk space, or set "
            "XDG_CACHE_HOME to another folder."
        ) from error


def _keep(built: Path, library: Path) -> None:
    """Move a library into the cache atomically, so that it is complete even after a power failure."""
    with built.open("rb") as file:
        os.fsync(file.fileno())
    library.parent.mkdir(exist_ok=True)
    built.replace(library)


def _check_programs() -> None:
    for program in ("cmake", (shlex.split(os.environ.get("CXX", "")) or ["c++"])[0]):
        if shutil.which(program) is None:
            raise GazeboError(
                f"The plug-in must be built, but {program} is not on the PATH. "
                "Install the build tools (on Debian and Ubuntu: sudo apt-get install cmake g++ make)."
            )


def compute_key(simulator: Installation, ros: RosInstallation) -> str:
    """Return the cache key of a build for this source, simulator and ROS 2; also the version that the plug-in reports.

    File times detect an update of the simulator or of ROS 2 that keeps its version number and path. They are cut to whole
    seconds, because the layers of a container image keep no fractions. So a plug-in that is built into an image is found.
    """
    digest = hashlib.sha256()
    for file in sorted({*SOURCE.iterdir(), *find_adapter(simulator).parent.iterdir()}):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    times = [f"{path}:{int(path.stat().st_mtime)}" for path in (simulator.program, *_find_rcl(ros))]
    digest.update(repr((simulator.adapter, simulator.version, ros, times)).encode())
    return digest.hexdigest()[:16]


def find_adapter(simulator: Installation) -> Path:
    """Return the path of the CMake file of a simulator's adapter."""
    return SOURCE / simulator.adapter


def _find_rcl(ros: RosInstallation) -> list[Path]:
    return [file for prefix in ros.prefixes if (file := prefix / "lib/librcl.so").exists()]


def _configure(folder: Path, simulator: Installation, ros: RosInstallation, key: str) -> None:
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "ADAPTER": str(find_adapter(simulator)),
        "ROS_PREFIXES": ";".join(map(str, ros.prefixes)),
        "LIBPYTHON": str(ros.libpython or ""),
        "PLUGIN_VERSION": key,
        **simulator.make_build_options(),
    }
    _run(["cmake", "-S", str(SOURCE), "-B", str(folder), *(f"-D{name}={value}" for name, value in options.items())])


def _run(command: list[str]) -> None:
    """Run a program; it and everything that it starts end with this process, even if this process is killed."""
    child_end, own_end = os.pipe()
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", RUN_WITH_PARENT, "sh", *command],
            stdin=child_end,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise GazeboError(
            f"The plug-in was not built within {BUILD_TIMEOUT_S:g} s. Run it by hand to see where it hangs: "
            f"{shlex.join(error.cmd[4:])}"
        ) from error
    finally:
        os.close(child_end)
        os.close(own_end)
    if done.returncode:
        raise GazeboError(f"The plug-in cannot be built. {' '.join(command[:2])} printed:\n{_find_reason(done.stdout)}")


def _find_reason(output: str) -> str:
    """Return twenty lines of a build's output from the first error on, or the last twenty."""
    lines = output.splitlines()
    # The linker's own lines come before the one that says "error".
    first = next((i for i, line in enumerate(lines) if re.search(r"(?i)error|\bld: ", line)), max(0, len(lines) - 20))
    return "\n".join(lines[first : first + 20])
