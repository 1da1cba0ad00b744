"""An actor that calls a function in a process of its own on its machine, and sends back the files that the function writes."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing import connection
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.distributed.machine import check_disk
from gym_gazebo2.algos.distributed.session import import_ray
from gym_gazebo2.algos.processes import Child, ChildKilledError
from gym_gazebo2.algos.runs.transfer import Changes, FolderReader, write_changes
from gym_gazebo2.algos.settings.provenance import collect_versions
from gym_gazebo2.errors import UsageError

__all__ = ["Host", "Look"]

PREFIX = "gym-gazebo2-run-"
"""Beginning of the names of the folders in which runs are made, in the folder for temporary files."""
YOUNG_S = 60.0
"""A folder without a lock that is younger than this may get its lock soon [s]."""
LOOK_S = 1.0
"""Longest time for which ``Host.look`` waits for the result [s]. A request to end waits as long."""
FILES_S = 10.0
"""Shortest time between two transfers of files [s]. If a machine is lost, the work of this time is lost, too, and the work
since the last checkpoint before it."""
FILES_SHARE = 0.02
"""Largest share of the time that reading files may take. Large replay buffers are sent less often."""


@dataclasses.dataclass(frozen=True)
class Look:
    """What an actor reports of its process.

    Attributes:
        is_done: Whether there is an outcome.
        outcome: The function's result, or the exception that it raised.
        changes: Files that have changed since the last report with files; None if it was too early to read them.
    """

    is_done: bool
    outcome: Any
    changes: Changes | None


class Scratch:
    """A folder for the files of a run. What actors that were killed have left on this machine is removed first.

    Attributes:
        folder: The folder; it does not exist yet.
    """

    def __init__(self) -> None:
        """Make and lock its parent."""
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _remove_leftover(path)
        self._parent = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.folder = self._parent / "run"
        self._lock = (self._parent / "lock").open("w")  # the kernel releases it with this process
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the folder; closing twice is fine."""
        _remove(self._parent)
        self._lock.close()


def _remove_leftover(path: Path) -> None:
    """Remove a folder that no actor holds."""
    lock = path / "lock"
    with contextlib.suppress(OSError):  # it is held, is another user's, or was removed meanwhile
        if not lock.exists() and time.time() - path.stat().st_mtime < YOUNG_S:
            return
        with lock.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)


def _remove(parent: Path) -> None:
    """Remove the folder of an actor, and the lock last: an actor may be killed meanwhile."""
    shutil.rmtree(parent / "run", ignore_errors=True)
    with contextlib.suppress(OSError):  # removed before
        (parent / "lock").unlink()
        parent.rmdir()


class Host:
    """Runs one function in a process of its own, because the function may connect to Ray itself and gets its own signals.

    The constructor does nothing that can fail: Ray reports an exception there only as the death of the actor.
    """

    def __init__(self) -> None:
        """Begin without a process."""
        self._scratch: Scratch | None = None
        self._child: Child | None = None
        self._reader: FolderReader | None = None
        self._next_files = 0.0

    def start(self, function: Callable[[Path, str], Any], files: Mapping[str, bytes]) -> dict[str, Any]:
        """Start the function in a folder of its own.

        Args:
            function: Called with its folder, and with the address of this cluster.
            files: Relative path → content of the files that the folder begins with.

        Returns:
            Name of the machine, Ray's id of it, and versions.

        Raises:
            WorkerError: The disk of this machine is full.
        """
        check_disk(tempfile.gettempdir())
        context = import_ray().get_runtime_context()
        self._scratch = Scratch()
        folder = self._scratch.folder
        write_changes(folder, Changes(files))
        self._reader = FolderReader(folder)
        self._next_files = time.monotonic() + FILES_S
        self._child = Child(function, folder, context.gcs_address)
        return {"host": socket.gethostname(), "node": context.get_node_id(), "versions": collect_versions()}

    def look(self) -> Look:
        """Wait a moment for the result, and report what there is.

        Raises:
            UsageError: ``start`` was not called.
        """
        if self._child is None or self._reader is None:
            raise UsageError("look() was called before start(). Call start() first.")
        is_done = bool(connection.wait([self._child.reader], LOOK_S))
        outcome = self._receive() if is_done else None
        changes = self._read(self._reader) if is_done or time.monotonic() >= self._next_files else None
        return Look(is_done, outcome, changes)

    def terminate(self) -> None:
        """Ask the process to end: a training finishes its iteration and saves."""
        if self._child is not None:
            self._child.terminate()

    def close(self) -> None:
        """End the process at once, and remove its folder."""
        if self._child is not None:
            self._child.kill()
        if self._scratch is not None:
            self._scratch.close()

    def _receive(self) -> Any:
        try:
            return self._child.receive()  # type: ignore[union-attr]
        except ChildKilledError as error:
            return error

    def _read(self, reader: FolderReader) -> Changes:
        started = time.monotonic()
        changes = reader.read()
        ended = time.monotonic()
        self._next_files = ended + max(FILES_S, (ended - started) / FILES_SHARE)
        return changes
