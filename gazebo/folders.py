"""Folders that end with the process that made them; what one that was killed left is removed by the next."""

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
    """A new folder whose owner holds a lock in it, which the system frees when the owner dies.

    Attributes:
        path: The folder.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        """Make it, after removing those of the same prefix whose owners are dead.

        Args:
            parent: The folder that it is made in.
            prefix: How its name begins; no other folder in ``parent`` may begin so.

        Raises:
            OSError: It cannot be made.
        """
        _sweep(parent, prefix)
        new = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=parent))  # no one's prey until it is locked
        try:
            self._lock = _lock(new)
            self.path = new.rename(parent / new.name[1:])
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def fileno(self) -> int:
        """Return the descriptor of the lock, for a child that is to hold it too."""
        return self._lock.fileno()

    def remove(self) -> None:
        """Remove it and all that it holds; removing twice is fine."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _sweep(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # its owner lives, another process sweeps too, or it is no folder
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
