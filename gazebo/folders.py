"""Temporary folders with an owner: the folder of a process that was killed is removed by the next process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

__all__ = ["OwnedFolder"]

LOCK = "owner.lock"


class OwnedFolder:
    """A new folder whose owner holds a lock on a file in it. The system frees the lock when the owner dies.

    Attributes:
        path: The folder.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        """Make the folder, and remove folders of the same prefix whose owners are dead.

        Args:
            parent: The folder to make it in.
            prefix: Beginning of its name; no other folder in ``parent`` may begin like this.

        Raises:
            OSError: The folder cannot be made.
        """
        _sweep(parent, prefix)
        new = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=parent))  # hidden from _sweep until it is locked
        try:
            self._lock = _lock(new)
            self.path = new.rename(parent / new.name[1:])
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def fileno(self) -> int:
        """Return the descriptor of the lock, for a child process that must hold the lock, too."""
        return self._lock.fileno()

    def remove(self) -> None:
        """Remove the folder with its content; removing twice is fine."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove the folders of dead owners: those whose lock can be taken."""
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # its owner lives, another process removes it, too, or it is a file
            if folder.lstat().st_uid == os.getuid():
                _lock(folder).close()
                shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> IO[str]:
    file = (folder / LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file
