"""ROS domains and discovery: which domain a node joins, and how far it looks for other nodes. Does not need rclpy."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gym_gazebo2.errors import InvalidArgumentError, RosError

__all__ = [
    "DISCOVERY",
    "DOMAINS",
    "LOCALHOST",
    "Domain",
    "check_domain",
    "local_discovery",
    "make_default",
    "make_local",
    "read_domain",
]

DOMAINS = range(102)
"""Domain ids that are safe on Linux: from 102 on, DDS ports overlap with the ephemeral ports of the system."""
FIRST_PORT, PORTS_PER_DOMAIN = 7400, 250
"""A domain's discovery port is 7400 + 250 · id (DDS-RTPS 2.5, section 9.6.1.1)."""
DISCOVERY, LOCALHOST = "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"


def check_domain(domain: object) -> int:
    """Return a valid ROS domain id.

    Raises:
        InvalidArgumentError: It is not an integer from 0 to 101.
    """
    if isinstance(domain, bool) or not isinstance(domain, int) or domain not in DOMAINS:
        raise InvalidArgumentError("domain", domain, "a ROS domain id from 0 to 101")
    return domain


def read_domain() -> int:
    """Return ROS_DOMAIN_ID, or 0 if it is not set.

    Raises:
        InvalidArgumentError: It is not an integer from 0 to 101.
    """
    text = os.environ.get("ROS_DOMAIN_ID") or "0"
    return check_domain(int(text) if text.isdigit() else text)


class Domain:
    """A ROS domain that no other process of this machine uses, held until ``release``.

    Attributes:
        id: The domain id.
    """

    def __init__(self) -> None:
        """Take the first free domain, from 101 downwards: people choose small numbers.

        Processes of gym_gazebo2 lock one file per domain. Other ROS 2 programs are noticed because they bind the domain's
        discovery port.

        Raises:
            RosError: All domains are in use, or no lock file can be written.
        """
        folder = Path(tempfile.gettempdir()) / f"gym_gazebo2-{os.getuid()}"
        for domain in reversed(DOMAINS):
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
                lock = _try_lock(folder / f"domain-{domain}.lock")
            except OSError as error:
                raise RosError(
                    f"Cannot write the lock file of a ROS domain: {error}. Set TMPDIR to a folder that you can write to."
                ) from error
            if lock is not None and _is_silent(domain):
                self.id, self._release = domain, weakref.finalize(self, lock.close)
                return
            if lock is not None:
                lock.close()
        raise RosError("All ROS domains from 0 to 101 are in use on this machine. End some of the simulations that use them.")

    def release(self) -> None:
        """Let other processes take the domain; releasing twice is fine."""
        self._release()


def _try_lock(path: Path) -> IO[str] | None:
    """Return the locked file, or None if another process holds it. The system frees the lock of a process that dies."""
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _is_silent(domain: int) -> bool:
    """Return whether no DDS participant listens on the domain's discovery port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", FIRST_PORT + PORTS_PER_DOMAIN * domain))
        except OSError:
            return False
    return True


def make_local() -> dict[str, str]:
    """Return the environment variables that restrict discovery to this machine.

    Humble knows only ROS_LOCALHOST_ONLY. Later distributions warn about it, so only Humble gets it.
    """
    older = {"ROS_LOCALHOST_ONLY": "1"} if os.environ.get("ROS_DISTRO") == "humble" else {}
    return {DISCOVERY: LOCALHOST, **older}


def make_default() -> dict[str, str]:
    """Return ``make_local()`` with the user's own values where they are set; empty if the user chose a discovery range."""
    local = {} if DISCOVERY in os.environ else make_local()
    return {name: os.environ.get(name, value) for name, value in local.items()}


@contextlib.contextmanager
def local_discovery() -> Iterator[None]:
    """Restrict the nodes that are made inside the ``with`` block to this machine; restore the environment afterwards."""
    local = make_local()
    before = {name: os.environ.get(name) for name in local}
    os.environ.update(local)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
