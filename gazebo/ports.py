"""Find a TCP port and a ROS domain that nothing uses: tried, not guessed."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import IO

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.gazebo.errors import GazeboError

__all__ = ["DOMAINS", "Domain", "check_domain", "find_port"]

DOMAINS = range(102)
"""Above these, DDS collides with ephemeral ports."""
FIRST_PORT, PORTS_PER_DOMAIN = 7400, 250


def find_port() -> int:
    """Return a TCP port of this machine's loopback that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_domain(domain: object) -> int:
    """Return a ROS domain id that DDS can work with.

    Raises:
        InvalidArgumentError: It is not from 0 to 101.
    """
    if isinstance(domain, bool) or not isinstance(domain, int) or domain not in DOMAINS:
        raise InvalidArgumentError("domain", domain, "a ROS domain id from 0 to 101")
    return domain


class Domain:
    """A ROS domain that no other process of this machine uses, held until ``release``.

    Attributes:
        id: The domain id.
    """

    def __init__(self) -> None:
        """Take the first free domain, from the far end, where people have none of their own.

        Raises:
            GazeboError: All are taken, or none can be locked.
        """
        folder = Path(tempfile.gettempdir()) / f"gym_gazebo2-{os.getuid()}"
        for domain in reversed(DOMAINS):
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
                lock = _try_lock(folder / f"domain-{domain}.lock")
            except OSError as error:
                raise GazeboError(
                    f"No ROS domain can be locked: {error}. Set TMPDIR to a folder that you can write to."
                ) from error
            if lock is not None and _is_silent(domain):
                self.id, self._lock = domain, lock
                return
            if lock is not None:
                lock.close()
        raise GazeboError(
            "All ROS domains from 0 to 101 are in use on this machine. End some of the simulations that hold them."
        )

    def release(self) -> None:
        """Let others have it; releasing twice is fine."""
        self._lock.close()


def _try_lock(path: Path) -> IO[str] | None:
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _is_silent(domain: int) -> bool:
    """Tell whether no DDS participant listens on the domain's discovery port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", FIRST_PORT + PORTS_PER_DOMAIN * domain))
        except OSError:
            return False
    return True
