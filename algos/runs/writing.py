"""Writing that is whole or not at all, and that says what to do where it cannot be done."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from gym_gazebo2.errors import RunError

__all__ = ["AGAIN", "OTHERWISE", "GrowingFile", "explaining", "is_leftover", "remove_leftovers", "write_atomically"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
OTHERWISE = "or choose another place with --out"
"""What helps a file whose place an option chose."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""Said by file systems that have no hard links."""
AGAIN = "then give the same command again"
"""What helps a file that is made anew at every call."""
LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}")


@contextlib.contextmanager
def explaining(path: Path, then: str = OTHERWISE) -> Iterator[None]:
    """Turn what the operating system says against writing a file into what a person can do about it.

    Args:
        path: The file.
        then: The second half of the advice, after "Make room".

    Raises:
        RunError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"Cannot write {path}: {error.strerror or error}. {_advise(path, error)}, {then}.") from error


def _advise(path: Path, error: OSError) -> str:
    if error.errno in FULL:
        return "Make room"
    if error.errno in FORBIDDEN:
        return f"Make {path.parent} a folder that you may write to"
    return f"See what stands in the way of {path.name}"


def write_atomically(path: Path, content: bytes, then: str = OTHERWISE, is_new: bool = False) -> None:
    """Write a file through a temporary neighbour, so that a reader sees the old or the new one, never a part.

    Args:
        path: The file.
        content: What it shall hold.
        then: What to do where that fails, besides making room.
        is_new: Refuse to replace a file, also one that another process writes at this moment.

    Raises:
        RunError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with explaining(path, then):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb", buffering=0) as stream:  # the user's umask decides who reads it, as of any other file
                write_whole(stream.fileno(), content)
                os.fsync(stream.fileno())
            if not (is_new and _link(temporary, path)):
                temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # after a replacement, or where the folder could not be made, there is none
            temporary.unlink()


def _link(temporary: Path, path: Path) -> bool:
    """Give a file its name, unless another has it; tell whether the file system has links.

    Raises:
        FileExistsError: Another has it.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return False
    return True


def write_whole(descriptor: int, content: bytes) -> None:
    """Write to the end: a disk that fills up takes a part first, and only then refuses.

    Raises:
        OSError: Not all of it could be written.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def is_leftover(path: Path) -> bool:
    """Tell whether a file is what a writer that was killed left behind."""
    return LEFTOVER.fullmatch(path.name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; nobody else may be writing there."""
    for path in filter(is_leftover, folder.glob(".*")):
        path.unlink(missing_ok=True)


class GrowingFile:
    """A file that grows by whole pieces, each in the operating system's hands at once: what a killed process leaves.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path, content: bytes, then: str = OTHERWISE) -> None:
        """Write its beginning, in place of what was there.

        Args:
            path: The file.
            content: Its beginning.
            then: What to do where writing fails, besides making room.

        Raises:
            RunError: It cannot be written.
        """
        self.path, self._then = path, then
        write_atomically(path, content, then)

    def write(self, content: bytes) -> None:
        """Add a piece.

        Raises:
            RunError: It cannot be written whole.
        """
        with explaining(self.path, self._then), self.path.open("r+b", buffering=0) as stream:  # never a new file
            stream.seek(0, os.SEEK_END)
            write_whole(stream.fileno(), content)
