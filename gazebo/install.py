"""Install Gazebo 11 without root: the system's own where there is one, else Debian 11's packages in the user's cache."""

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
    """Return a Gazebo 11 that starts, after installing one into the user's cache where there is none.

    Nothing is written outside the cache, no root is needed, and an interrupted call can be repeated: what was fetched
    and verified is kept, and the installation gets its name only once a gzserver of it has started and ended.

    Args:
        mirror: Address of a Debian mirror that carries bullseye; None takes those of the system's apt configuration.
        progress: Called with what is done, and how much of how much [bytes].
        lock: The names, versions and checksums of the packages.

    Returns:
        The installation, checked.

    Raises:
        GazeboError: This machine cannot have one, a package cannot be had or is not the locked one, or gzserver fails.
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
    """Raise unless Debian 11's packages are the right way to Gazebo 11 on this machine.

    Args:
        mirror: Mirror that the user named, who thereby chose Debian 11's packages.

    Raises:
        GazeboError: It is no x86-64 Linux, or its own package manager has Gazebo 11 and no mirror is named.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise GazeboError(
            f"This machine is {platform.system()} on {platform.machine()}, expected Linux on x86_64. Install Gazebo 11 "
            "yourself, or use the embedded physics, which needs none."
        )
    if mirror is None and (version := find_apt_version()):
        raise GazeboError(
            f"apt has Gazebo {version} for this system, and that is the better one: sudo apt install gazebo libgazebo-dev. "
            "Without root, name a Debian mirror that carries bullseye: --mirror URL."
        )


def find_apt_version() -> str:
    """Return the version of Gazebo 11 that the system's apt offers, or nothing.

    Raises:
        GazeboError: apt does not answer.
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
        raise GazeboError(f"{prefix} holds no usr/bin/gzserver-11.*, expected one from the lock's packages. Restore the lock.")
    return installed


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Let one process at a time install; the system frees the lock of one that dies."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "install.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise GazeboError(f"Another process installs Gazebo into {cache}. Wait until it is done, then call again.") from None
    except OSError as error:
        raise GazeboError(
            f"Cannot write to {cache}: {error}. Make it writable and make room, or set XDG_CACHE_HOME to another folder."
        ) from error
