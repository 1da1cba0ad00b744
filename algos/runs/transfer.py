"""The files of a run, sent from the machine that trains to the one that keeps them, as often as they change."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from gym_gazebo2.algos.runs.writing import convert_os_errors, is_leftover, write_atomically

__all__ = ["Changes", "FolderReader", "read_files", "write_changes"]

LAST = "model.zip"
"""A run with this file counts as finished, so it is read first and written last."""


@dataclasses.dataclass(frozen=True)
class Changes:
    """What has changed in a folder.

    Attributes:
        files: Relative path → content of each file that is new or has changed.
        removed: Relative paths of files that are gone.
    """

    files: Mapping[str, bytes]
    removed: tuple[str, ...] = ()


class FolderReader:
    """Reads what has changed in a folder since the last time."""

    def __init__(self, folder: Path) -> None:
        """Begin with an empty folder, or with files that the receiver has.

        Args:
            folder: The folder.
        """
        self._folder = folder
        self._known = {name: stamp for name, (_, stamp) in self._list().items()}

    def read(self) -> Changes:
        """Return the changes since the last call.

        A training goes on meanwhile. Model and checkpoints are read before the logs, so that logs are never older than they:
        a training that is resumed cuts them to the steps of its checkpoint.
        """
        found = self._list()
        files = {}
        for name, (path, stamp) in found.items():
            if self._known.get(name) != stamp:
                try:
                    files[name] = path.read_bytes()
                except FileNotFoundError:  # an old checkpoint, removed since it was listed
                    continue
                self._known[name] = stamp
        removed = tuple(name for name in self._known if name not in found)
        for name in removed:
            del self._known[name]
        return Changes(files, removed)

    def _list(self) -> dict[str, tuple[Path, tuple[int, int]]]:
        """Return relative path → path and (time of change [ns], size [byte]), in the order in which to read them."""
        found = {}
        for path in sorted(self._folder.rglob("*"), key=_rank):
            if is_leftover(path) or not path.is_file():
                continue
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            found[path.relative_to(self._folder).as_posix()] = path, (stat.st_mtime_ns, stat.st_size)
        return found


def read_files(folder: Path) -> dict[str, bytes]:
    """Return relative path → content of the files in a folder; empty where there is none."""
    paths = (path for path in sorted(folder.rglob("*"), key=_rank) if path.is_file() and not is_leftover(path))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_changes(folder: Path, changes: Changes) -> None:
    """Write what has changed into another folder.

    Raises:
        WriteError: A file cannot be written.
        ValueError: A path leads out of the folder.
    """
    for name in sorted(changes.files, key=lambda name: name == LAST):
        write_atomically(_join(folder, name), changes.files[name])
    for name in changes.removed:
        path = _join(folder, name)
        with convert_os_errors(path):
            path.unlink(missing_ok=True)


def _join(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder. The names come from another machine."""
    path = Path(os.path.normpath(folder / name))
    if Path(os.path.normpath(folder)) not in path.parents:
        raise ValueError(f"'{name}' is not the path of a file in a run folder.")
    return path


def _rank(path: Path) -> tuple[int, str]:
    order = 0 if path.name == LAST else 1 if path.parent.name == "checkpoints" else 2
    return order, str(path)
