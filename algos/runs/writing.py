"""Write files so that a crash or a full disk never leaves half of one, and so that a failure names its remedy.

Low-level functions raise a ``WriteError`` that names the file and its problem. Only the caller knows how the user can repeat
the work. It wraps the work in ``add_advice``, which appends that sentence: ``RunFolder.hold`` does so for every training, and
``evaluate``, ``write_report``, ``compare``, ``export``, ``play`` and ``sweep`` do so for themselves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from gym_gazebo2.errors import WriteError

__all__ = [
    "OTHER_FOLDER",
    "GrowingFile",
    "add_advice",
    "check_writable",
    "convert_os_errors",
    "is_leftover",
    "remove_leftovers",
    "write_atomically",
    "writing_at_end",
]

OTHER_FOLDER = "Then run the command again, or choose another folder with --out."
"""Advice for commands that start from the beginning at every call."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exhausted quota and a file that exceeds the limit of its size."""
NOT_PERMITTED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Error numbers of missing permission and of a read-only file system."""
NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""Error numbers of file systems without hard links, such as FAT."""
LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}")
"""Name of a temporary file of ``write_atomically``."""


@contextlib.contextmanager
def convert_os_errors(path: Path) -> Iterator[None]:
    """Convert an OSError, raised while a file is written, to an error that names the file and a remedy.

    Args:
        path: The file.

    Raises:
        WriteError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(path, error.strerror or str(error), _choose_remedy(path, error)) from error


def _choose_remedy(path: Path, error: OSError) -> str:
    if error.errno in DISK_FULL:
        return "Free disk space."
    if error.errno in NOT_PERMITTED:
        return f"Make sure that you may write to {path.parent}."
    return f"Check that {path.name} can be written."


@contextlib.contextmanager
def add_advice(sentence: str) -> Iterator[None]:
    """Append a sentence to a ``WriteError``, such as the command that continues the work. Also usable as a decorator.

    Raises:
        WriteError: The error that was raised inside, with the sentence at its end.
    """
    try:
        yield
    except WriteError as error:
        raise WriteError(error.path, error.reason, f"{error.advice} {sentence}") from error.__cause__


def write_atomically(path: Path, content: bytes, is_new: bool = False) -> None:
    """Write a file so that a reader sees the old or the new content, never a part.

    The content goes to a temporary file in the same folder, which then takes the name. Missing folders are made.

    Args:
        path: The file.
        content: Its new content.
        is_new: Refuse to replace an existing file, also one that another process writes at the same time.

    Raises:
        WriteError: The file cannot be written, or it exists and ``is_new`` is set. An existing file stays as it is.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with convert_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not tempfile.mkstemp: its mode 0600 would ignore the user's umask. Unbuffered: errors surface in the write itself.
            with temporary.open("xb", buffering=0) as stream:
                write_whole(stream.fileno(), content)
                os.fsync(stream.fileno())  # before the renaming, or a power cut could leave an empty file under the name
            if not (is_new and _link(temporary, path)):
                temporary.replace(path)
    finally:
        # The temporary file is gone after a replacement, and never existed if its folder could not be made.
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def writing_at_end(write: Callable[[], None]) -> Iterator[None]:
    """Write a record at the end of some work, also where the work fails.

    Args:
        write: Writes the record.

    Raises:
        WriteError: The record cannot be written, after work without an error. An error of the work itself passes unchanged: a
            full disk makes both fail, and the first one names the file that matters.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(WriteError):
            write()
        raise
    write()


def check_writable(path: Path) -> None:
    """Check that a file could be written, before the work whose result it shall hold. Nothing is left behind.

    A missing folder is no error: the write will make it. A disk that fills up later cannot be foreseen.

    Args:
        path: The file.

    Raises:
        WriteError: A file of this name cannot be made.
    """
    folder = path.parent
    with convert_os_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        # Only a real file shows it: os.access ignores quotas, and the answers of network shares differ from their permissions.
        probe = folder / f".{path.name}.{secrets.token_hex(4)}"
        probe.open("xb").close()
        probe.unlink()


def _link(temporary: Path, path: Path) -> bool:
    """Give a file a second name, which unlike a renaming never replaces a file. Return False without support for links.

    Raises:
        FileExistsError: A file has the name already.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        return False
    return True


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all bytes. ``os.write`` may write a part: a disk that fills up takes what fits, and fails at the next call.

    Raises:
        OSError: Not all bytes could be written.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def is_leftover(path: Path) -> bool:
    """Return whether a file is the temporary file of a process that was killed while it wrote."""
    return LEFTOVER.fullmatch(path.name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders of killed processes from a folder. No other process may be writing there."""
    for path in filter(is_leftover, folder.glob(".*")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class GrowingFile:
    """A file that grows by whole records. Each one reaches the operating system at once, so a killed process loses none.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        """Write the beginning of the file, in place of its old content.

        Args:
            path: The file.
            content: Its beginning.

        Raises:
            WriteError: The file cannot be written.
        """
        self.path = path
        write_atomically(path, content)

    def write(self, content: bytes) -> None:
        """Append a record.

        Raises:
            WriteError: The record cannot be written whole.
        """
        # Mode r+b, unlike ab, makes no new file: a run folder that was removed must end its training with an error.
        with convert_os_errors(self.path), self.path.open("r+b", buffering=0) as stream:
            stream.seek(0, os.SEEK_END)
            write_whole(stream.fileno(), content)
