"""Install Gazebo 11 without root: use the system's own, or unpack Debian 11's packages into the user's cache."""

from __future__ import annotations

import contextlib
import fcntl
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from gym_gazebo2.gazebo.debian import LOCK, read_lock, unpack
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.fetch import Progress, fetch_packages, print_progress
from gym_gazebo2.gazebo.locate import Gazebo, ask, find_cache, find_cached_prefix, find_system_gazebo, read_prefix
from gym_gazebo2.gazebo.server import check_gazebo

__all__ = ["install_gazebo"]


def install_gazebo(mirror: str | None = None, progress: Progress = print_progress, lock: Path = LOCK) -> Gazebo:
    """Return a Gazebo 11 that starts; install one into the user's cache if there is none.

    Nothing is written outside the cache, and root is not needed. An interrupted call can be repeated: finished downloads are
    kept, and the installation gets its final name only after its gzserver has started and ended.

    Args:
        mirror: Address of a Debian mirror that has bullseye; None takes those of the system's apt configuration.
        progress: Called with the activity, the bytes done and the bytes in total.
        lock: The lock file: names, versions and checksums of the packages.

    Returns:
        The installation, checked.

    Raises:
        GazeboError: This machine is not supported, a package cannot be downloaded or has a wrong checksum, or gzserver
            does not start.
    """
    if system := find_system_gazebo():
        check_gazebo(system)
        return system
    prefix = find_cached_prefix()
    with _locked(find_cache()):
        if installed := read_prefix(prefix):
            check_gazebo(installed)
            return installed
        check_machine(mirror)
        _build_prefix(prefix, mirror, progress, lock)
    return _read(prefix)


def check_machine(mirror: str | None = None) -> None:
    """Check that Debian 11's packages are the best way to get Gazebo 11 on this machine.

    Args:
        mirror: The user's mirror; giving one means choosing Debian 11's packages.

    Raises:
        GazeboError: It is not Linux on x86-64; or apt offers Gazebo 11, and no mirror is given.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise GazeboError(
            f"This machine is {platform.system()} on {platform.machine()}, expected Linux on x86_64. Install Gazebo 11 "
            "yourself, or use the backend mujoco, which does not need it."
        )
    if mirror is None and (version := find_apt_version()):
        raise GazeboError(
            f"apt offers Gazebo {version} for this system, which is better: sudo apt install gazebo libgazebo-dev. "
            "Without root, give a Debian mirror that has bullseye: --mirror URL"
        )


def find_apt_version() -> str:
    """Return the version of Gazebo 11 that the system's apt offers, or an empty string.

    Raises:
        GazeboError: apt does not end in time.
    """
    if shutil.which("apt-cache") is None:
        return ""
    answer = ask("apt-cache", "--no-all-versions", "show", "gazebo")
    versions = [line.split()[1] for line in answer.splitlines() if line.startswith("Version: 11.")]
    return versions[0] if versions else ""


def _build_prefix(prefix: Path, mirror: str | None, progress: Progress, lock: Path) -> None:
    archives = prefix.parent / "packages"
    partial = prefix.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    _unpack_all(fetch_packages(read_lock(lock), archives, mirror, progress), partial, progress)
    check_gazebo(_read(partial))
    partial.rename(prefix)
    shutil.rmtree(archives)


def _unpack_all(archives: Sequence[Path], prefix: Path, progress: Progress) -> None:
    sizes = [archive.stat().st_size for archive in archives]
    for count, archive in enumerate(archives):
        unpack(archive, prefix)
        if count % 40 == 39 or count + 1 == len(archives):
            progress("Unpacking Gazebo 11", sum(sizes[: count + 1]), sum(sizes))


def _read(prefix: Path) -> Gazebo:
    installed = read_prefix(prefix)
    if installed is None:
        raise GazeboError(
            f"{prefix} has no usr/bin/gzserver-11.*, expected one from the locked packages. Restore the lock file."
        )
    return installed


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Let one process at a time install. The system frees the lock of a process that dies."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "install.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise GazeboError(f"Another process installs Gazebo into {cache}. Wait for its end, then try again.") from None
    except OSError as error:
        raise GazeboError(
            f"Cannot write to {cache}: {error}. Make the folder writable and free disk space, or set XDG_CACHE_HOME to another "
            "folder."
        ) from error
