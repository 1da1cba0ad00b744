"""Download the packages of the lock file. A file gets its final name only after its checksum was verified."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from gym_gazebo2.gazebo.debian import Package
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.locate import ask

__all__ = ["Progress", "fetch_packages", "find_mirrors", "print_progress"]

Progress = Callable[[str, int, int], None]

APT_HELPER = Path("/usr/lib/apt/apt-helper")
BATCH_SIZE = 12
"""Packages per call of apt-helper; progress is reported between two calls."""
TIMEOUT_S = 600.0
"""Longest time of one call of apt-helper [s]."""


def print_progress(what: str, done: int, total: int) -> None:
    """Write one line of progress to standard error.

    Args:
        what: The activity.
        done: Bytes done.
        total: Bytes in total.
    """
    end = "\n" if done >= total else "\r" if sys.stderr.isatty() else "\n"
    sys.stderr.write(f"{what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB{end}")
    sys.stderr.flush()


def find_mirrors() -> list[str]:
    """Return the addresses of Debian's archive in the system's apt configuration, best first.

    Raises:
        GazeboError: apt does not end in time.
    """
    if shutil.which("apt-get") is None:
        return []
    columns = ("$(REPO_URI)", "$(LABEL)")
    answer = ask("apt-get", "indextargets", "--format", "\t".join(columns), "Created-By: Packages")
    rows = [line.split("\t") for line in answer.splitlines() if "\t" in line]
    debian = [row[0] for row in rows if row[1] == "Debian"]
    unknown = [row[0] for row in rows if not row[1] and "debian" in row[0]]
    return list(dict.fromkeys(debian + unknown))


def fetch_packages(packages: Sequence[Package], folder: Path, mirror: str | None, progress: Progress) -> list[Path]:
    """Download the packages that are missing in a folder, and return the paths of all.

    Args:
        packages: The packages.
        folder: Folder for the files. Files of an interrupted call are used if their checksums match.
        mirror: Address of a mirror (http, https or file); None takes those of the system's apt configuration.
        progress: Called with the activity, the bytes done and the bytes in total.

    Raises:
        GazeboError: There is no mirror, a file cannot be downloaded, or its checksum does not match.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mirrors = [mirror] if mirror else find_mirrors()
    if not mirrors:
        raise GazeboError(
            "No Debian mirror is known, because apt is not configured for Debian here. Give one that has Debian 11 "
            "(bullseye): gym-gazebo2 install-gazebo --mirror URL"
        )
    paths = {package: folder / f"{package.sha256}.deb" for package in packages}
    missing = [package for package in packages if not _is_whole(package, paths[package])]
    total, done = sum(p.size for p in packages), sum(p.size for p in packages if p not in missing)
    progress("Fetching Gazebo 11", done, total)
    for start in range(0, len(missing), BATCH_SIZE):
        batch = missing[start : start + BATCH_SIZE]
        _fetch_batch(batch, paths, mirrors, use_apt=mirror is None)
        done += sum(package.size for package in batch)
        progress("Fetching Gazebo 11", done, total)
    return list(paths.values())


def _fetch_batch(batch: Sequence[Package], paths: dict[Package, Path], mirrors: Sequence[str], *, use_apt: bool) -> None:
    reason = ""
    for mirror in mirrors:
        missing = [package for package in batch if not _is_whole(package, paths[package])]
        parts = {package: paths[package].with_suffix(f".{os.getpid()}.part") for package in missing}
        try:
            reason = (_fetch_with_apt if use_apt else _fetch_directly)(mirror, parts)
            if not reason:
                for package, part in parts.items():
                    _verify(package, part)
        finally:
            _keep_whole(parts, paths)
        if not reason:
            return
    raise GazeboError(
        f"Cannot fetch {len(batch)} packages, the first of them {batch[0].name}: {reason}. Check the network and run the "
        "command again (finished downloads are kept), or give another mirror that has Debian 11 with --mirror URL."
    )


def _keep_whole(parts: dict[Package, Path], paths: dict[Package, Path]) -> None:
    for package, part in parts.items():
        if _is_whole(package, part):
            part.replace(paths[package])
        part.unlink(missing_ok=True)


def _fetch_with_apt(mirror: str, parts: dict[Package, Path]) -> str:
    """Download with apt's own client, which knows the machine's proxies and logins; return the error, or an empty string."""
    files: list[str] = []
    for package, part in parts.items():
        files += [_join(mirror, package), str(part), f"SHA256:{package.sha256}"]
    command = [str(APT_HELPER), "-oAcquire::Retries=3", "download-file", *files]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"apt-helper did not end within {TIMEOUT_S:g} s"
    except OSError as error:
        return f"apt-helper cannot be started: {error}"
    return "" if answer.returncode == 0 else answer.stderr.strip()[-400:] or f"apt-helper ended with {answer.returncode}"


def _fetch_directly(mirror: str, parts: dict[Package, Path]) -> str:
    for package, part in parts.items():
        try:
            with urllib.request.urlopen(_join(mirror, package), timeout=30) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"{package.path}: {error}"
    return ""


def _join(mirror: str, package: Package) -> str:
    return f"{mirror.rstrip('/')}/{urllib.parse.quote(package.path)}"


def _is_whole(package: Package, file: Path) -> bool:
    return file.is_file() and _hash(file) == package.sha256


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _verify(package: Package, file: Path) -> None:
    actual = _hash(file)
    if actual != package.sha256:
        raise GazeboError(
            f"{package.name} {package.version} has SHA-256 {actual}, expected {package.sha256}. The file was not used. "
            "Try another mirror with --mirror URL; if it happens again, report it to the maintainers."
        )
