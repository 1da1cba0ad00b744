"""Robots of the PyPI package ``robot_descriptions``, which fetches the makers' repositories with git when first used."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path

from gym_gazebo2.errors import MissingDependencyError, RobotError, UnknownNameError

__all__ = ["find_description"]

PACKAGE = "robot_descriptions"


def find_description(name: str) -> tuple[str, tuple[str, ...], Mapping[str, str]]:
    """Return the file, the package folders and the xacro arguments of a description.

    Args:
        name: Name of a module of ``robot_descriptions``, such as "ur5e_description".

    Raises:
        MissingDependencyError: ``robot_descriptions`` is not installed.
        UnknownNameError: It has no such module.
        RobotError: The files cannot be fetched, or are no URDF.
    """
    package = importlib.util.find_spec(PACKAGE)
    if package is None:
        raise MissingDependencyError(PACKAGE, "robots")
    names = [module.name for module in pkgutil.iter_modules(package.submodule_search_locations)]
    descriptions = [other for other in names if other.endswith("_description") and not other.startswith("_")]
    if name not in descriptions:
        raise UnknownNameError("robot", name, descriptions)
    try:
        # It prints that it clones; standard output belongs to the command, which may print JSON.
        with contextlib.redirect_stdout(sys.stderr):
            module = importlib.import_module(f"{PACKAGE}.{name}")
    # The module clones a repository when it is imported: git and the network raise errors of many kinds.
    except Exception as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise RobotError(f"The files of {name!r} cannot be fetched: {message}. Check the network and git.") from error
    path = getattr(module, "URDF_PATH", None) or getattr(module, "XACRO_PATH", None)
    if path is None:
        raise RobotError(f"{name!r} has no URDF. Choose a description with one.")
    folders = dict.fromkeys(getattr(module, key) for key in ("PACKAGE_PATH", "REPOSITORY_PATH") if hasattr(module, key))
    return str(Path(path)), tuple(folders), getattr(module, "XACRO_ARGS", {})
