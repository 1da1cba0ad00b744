"""What Ray's processes need of a machine: settings, processors, ports, a folder with room."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping

from gym_gazebo2.errors import WorkerError

__all__ = [
    "FOLDER",
    "SETTINGS",
    "SOCKETS",
    "check_disk",
    "find_free_port",
    "merge_variables",
    "set_variables",
]

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # else Ray reports its use over the internet
    "RAY_raylet_start_wait_time_s": "120",  # the default is too short for a busy machine
    "RAY_worker_niceness": "0",  # with the default, 15, other programs take processor time from the workers
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # else its notes on dead workers, which the fleet reports, mix with our output
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the coming default, without the warning
    "SPT_NOENV": "1",  # else the titles of Ray's processes overwrite their environment, and with it the watchdog's mark
}
"""Environment variables of Ray; those that the user has set stay."""
SOCKETS = "/tmp"
"""Parent of the folders of Ray's processes: the paths of their sockets must stay below 108 characters."""
FOLDER = "GYM_GAZEBO2_NODE_FOLDER"
"""Environment variable of Ray's processes that ``cluster join`` starts: their folder."""
LEAST_DISK_BYTES = 100 * 2**20
"""Free space that a node needs for logs, and for objects that memory cannot hold [byte]."""


def find_free_port() -> int:
    """Return a port that no program on this machine uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def check_disk(folder: str) -> None:
    """Check that this machine has room for Ray's files.

    Args:
        folder: Where they are.

    Raises:
        WorkerError: There is too little free space.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise WorkerError(f"Cannot use {folder}: {error.strerror}. Choose another folder.") from error
    if free < LEAST_DISK_BYTES:
        mb = 2**20
        sentence = f"The disk of {socket.gethostname()} is full: {folder} has {free / mb:.0f} MB left"
        raise WorkerError(f"{sentence}, and a worker needs {LEAST_DISK_BYTES / mb:.0f} MB. Free disk space there.")


def merge_variables(values: Mapping[str, str | None]) -> dict[str, str]:
    """Return this process's environment variables, with others on top; None removes one."""
    return {name: value for name, value in {**os.environ, **values}.items() if value is not None}


@contextlib.contextmanager
def set_variables(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables for a while, for the processes that are started meanwhile; None removes one."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
