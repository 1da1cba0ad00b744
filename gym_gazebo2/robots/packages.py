"""Find the files that a URDF names: package://, file://, relative and absolute paths, and ``$(find …)`` of xacro.

Packages are looked for where ROS looks, in the folders above the URDF, and in folders that the row names. A URDF comes from
somebody else, so a file outside of these folders is never read.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from gym_gazebo2.errors import RobotError

__all__ = ["Packages"]

DESCRIPTION_FOLDERS = ("urdf", "robots", "robot", "xacro")
"""Usual names of the folder that holds the URDF inside its package."""
PACKAGE_SCHEMES = ("package://", "model://")


@dataclasses.dataclass(frozen=True)
class Packages:
    """The folders in which the files of one URDF may lie.

    Attributes:
        urdf: Absolute path of the URDF.
        folders: Further folders: each is a package, or contains packages.
    """

    urdf: Path
    folders: tuple[Path, ...] = ()

    def find_package(self, name: str) -> Path:
        """Return the folder of a package.

        Raises:
            RobotError: There is no such package.
        """
        for folder in self._list_candidates(name):
            if folder.is_dir():
                return folder
        raise RobotError(
            f"The package {name!r} that {str(self.urdf)!r} names was not found in AMENT_PREFIX_PATH, ROS_PACKAGE_PATH, or the "
            "folders above the file. Give the folder that contains it with package_dirs."
        )

    def resolve(self, uri: str, subject: str) -> Path:
        """Return the path of a file that the URDF names.

        Args:
            uri: package://NAME/PATH, file://PATH, or a path, relative to the URDF.
            subject: The element with the name, for errors.

        Raises:
            RobotError: The file does not exist, or lies outside of the folders in which it may lie.
        """
        for scheme in PACKAGE_SCHEMES:
            if uri.startswith(scheme):
                return self._resolve_in_package(uri, *uri.removeprefix(scheme).partition("/")[::2], subject)
        if "://" in uri and not uri.startswith("file://"):
            raise RobotError(f"{subject} names {uri!r}. Use package://NAME/PATH, file://PATH or a path relative to the URDF.")
        path = Path(os.path.normpath(self.urdf.parent / uri.removeprefix("file://")))
        if not any(path.is_relative_to(folder) for folder in self._list_roots()):
            raise RobotError(
                f"{subject} names {uri!r}, which is outside of the URDF's package {str(self._own_package)!r} and of the "
                "package folders. Name its folder with package_dirs."
            )
        if not path.is_file():
            raise RobotError(f"{subject} names {uri!r}, but {str(path)!r} is not a file. Correct the path.")
        return path

    def _resolve_in_package(self, uri: str, name: str, rest: str, subject: str) -> Path:
        looked = []
        for folder in self._list_candidates(name):
            path = Path(os.path.normpath(folder / rest))
            looked.append(str(folder))
            # normpath removes "..", so that a name cannot lead out of its package. Links are not followed here: a package
            # that colcon installed with --symlink-install consists of links.
            if path.is_relative_to(folder) and path.is_file():
                return path
        raise RobotError(
            f"{subject} names {uri!r}, which was not found. Looked in {', '.join(looked[:6])}. Give the folder that contains "
            f"{name!r} with package_dirs."
        )

    def _list_candidates(self, name: str) -> Iterator[Path]:
        """Yield the folders that may be the package, in the order in which they are tried."""
        if not name or name in (".", ".."):
            return
        for folder in self.folders:
            yield from ([folder] if folder.name == name else [])
            yield from (folder / name, folder / "share" / name)
        for folder in _list_environment("AMENT_PREFIX_PATH"):
            yield folder / "share" / name
        for folder in _list_environment("ROS_PACKAGE_PATH"):
            yield from ([folder] if folder.name == name else [])
            yield folder / name
        for folder in self.urdf.parents:
            yield from ([folder] if folder.name == name else [])
            yield folder / name
        # The last resort: the package of the URDF itself, whatever the name of the folder into which the user has put it.
        if self.urdf.parent.name in DESCRIPTION_FOLDERS or (self._own_package / "package.xml").is_file():
            yield self._own_package

    def _list_roots(self) -> list[Path]:
        """Return the folders in which a file given by its path may lie."""
        environment = [*_list_environment("AMENT_PREFIX_PATH"), *_list_environment("ROS_PACKAGE_PATH")]
        return [self._own_package, *self.folders, *environment]

    @property
    def _own_package(self) -> Path:
        """The folder of the package that holds the URDF."""
        for folder in list(self.urdf.parents)[:4]:
            if (folder / "package.xml").is_file():
                return folder
        folder = self.urdf.parent
        return folder.parent if folder.name in DESCRIPTION_FOLDERS else folder


def _list_environment(variable: str) -> list[Path]:
    return [Path(os.path.abspath(entry)) for entry in os.environ.get(variable, "").split(os.pathsep) if entry]  # noqa: PTH100
