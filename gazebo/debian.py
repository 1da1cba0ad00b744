"""Debian packages as files: the lock file that lists them, and unpacking without dpkg and without root, on any Linux."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from gym_gazebo2.gazebo.errors import GazeboError

__all__ = ["LOCK", "Package", "read_lock", "unpack"]

LOCK = Path(__file__).with_name("gazebo11.lock")
SKIPPED = ("usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/share/gazebo-11/media/audio/")


class Package(NamedTuple):
    """One line of the lock file.

    Attributes:
        name: Name of the package.
        version: Its version.
        size: Size of the file [bytes].
        sha256: Checksum of the file, in hexadecimal.
        path: Path of the file on a mirror.
    """

    name: str
    version: str
    size: int
    sha256: str
    path: str


def read_lock(path: Path = LOCK) -> list[Package]:
    """Return the packages of a lock file.

    Raises:
        GazeboError: A line is not ``name version size sha256 path``.
    """
    packages = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        field = line.split()
        if len(field) != 5 or not field[2].isdigit() or len(field[3]) != 64:
            raise GazeboError(
                f"Line {number} of {path} is {line!r}, expected 'name version size sha256 path'. Restore the file."
            )
        packages.append(Package(field[0], field[1], int(field[2]), field[3], field[4]))
    return packages


def unpack(archive: Path, prefix: Path) -> None:
    """Unpack the files of a package below a folder, without documentation.

    Absolute symbolic links are made relative, so that they point inside the folder.

    Args:
        archive: The .deb file, already verified.
        prefix: The folder that takes the place of the root folder.

    Raises:
        GazeboError: The file is not a Debian package, or a path in it leads out of the folder.
    """
    with archive.open("rb") as file, tarfile.open(fileobj=_open_data(file, archive), mode="r:*") as tar:
        for member in tar:
            path = os.path.normpath(member.name)
            if path.startswith(("..", "/")):
                raise GazeboError(
                    f"{archive.name} contains the path {member.name!r}, expected one below its root. Do not use this file."
                )
            if path == "." or path.startswith(SKIPPED):
                continue
            _extract(tar, member, prefix, path)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, prefix: Path, path: str) -> None:
    target = prefix / path
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # A symbolic link that was unpacked before may lead out of the folder, although the path itself does not.
    if not target.parent.resolve().is_relative_to(prefix.resolve()):
        raise GazeboError(f"The path {path!r} leads out of {prefix} through a link. Do not use this package.")
    target.unlink(missing_ok=True)
    if member.issym():
        link = PurePosixPath(member.linkname)
        target.symlink_to(os.path.relpath(prefix / link.relative_to("/"), target.parent) if link.is_absolute() else link)
    elif member.islnk():
        os.link(prefix / os.path.normpath(member.linkname), target)
    elif (content := tar.extractfile(member)) is not None:
        target.write_bytes(content.read())
        target.chmod(0o755 if member.mode & 0o100 else 0o644)


def _open_data(file: IO[bytes], archive: Path) -> IO[bytes]:
    """Return the tar archive with the files.

    A .deb is an ``ar`` archive: 8 bytes of magic, then members of a 60-byte header (the size in bytes 48 to 57, as text) and
    the content, padded to an even length.
    """
    if file.read(8) == b"!<arch>\n":
        while header := file.read(60):
            size = int(header[48:58])
            if header.startswith(b"data.tar"):
                return io.BytesIO(file.read(size))
            file.seek(size + size % 2, os.SEEK_CUR)
    raise GazeboError(f"{archive} is not a Debian package: it has no 'data.tar' member. Delete it and install again.")
