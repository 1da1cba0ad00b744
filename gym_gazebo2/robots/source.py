"""Read the text of a URDF or xacro file into XML elements. Entities are refused: they could read files or fill the memory."""

from __future__ import annotations

import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.parsers import expat

from gym_gazebo2.errors import InvalidArgumentError, RobotError, UnknownNameError
from gym_gazebo2.robots.packages import Packages

__all__ = ["parse_text", "read_source", "read_xml", "refuse_entities"]

LARGEST_TEXT = 50_000_000
"""Largest URDF that is read [bytes]. The largest in ``example-robot-data`` has 0.4 MB."""
DEEPEST = 100
"""Deepest nesting of elements. Readers call themselves once per level, and a text that is far deeper exhausts the stack."""
_XACRO_LOCK = threading.Lock()


def read_source(path: Path, packages: Packages, xacro_args: Mapping[str, str]) -> ET.Element:
    """Return the root element of a URDF. A file whose name ends with .xacro is expanded.

    Args:
        path: The file.
        packages: Where ``$(find …)`` looks.
        xacro_args: Values of the file's ``<xacro:arg>`` elements.

    Raises:
        RobotError: The file is malformed, has an entity, or xacro cannot expand it.
        UnknownNameError: The file uses no argument of a name in ``xacro_args``.
        InvalidArgumentError: There are arguments, but the file is no xacro file.
    """
    root = read_xml(path)
    if path.suffix != ".xacro":
        if xacro_args:
            sentence = f"{path.name!r} is not a .xacro file, so it has no arguments. Leave xacro_args out."
            raise InvalidArgumentError("xacro_args", dict(xacro_args), sentence=sentence)
        return root
    return _parse(_expand(path, packages, xacro_args), path)


def read_xml(path: Path) -> ET.Element:
    """Return the root element of an XML file.

    Raises:
        RobotError: The file cannot be read, is malformed, or has an entity.
    """
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise RobotError(f"{str(path)!r} has {path.stat().st_size} bytes, expected at most {LARGEST_TEXT}. Is it a URDF?")
        data = path.read_bytes()
    except OSError as error:
        raise RobotError(f"{str(path)!r} cannot be read: {error.strerror}. Check its path and permissions.") from error
    refuse_entities(data, path)
    return _parse(data, path)


def parse_text(text: str, name: str) -> ET.Element:
    """Return the root element of an XML text.

    Args:
        text: The text.
        name: Where it came from, for errors.

    Raises:
        RobotError: The text is too long, is malformed, or has an entity.
    """
    # What an XML declaration says about the encoding was true for the file that the text was read from.
    data = re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1).strip().encode("utf-8", "replace")
    if len(data) > LARGEST_TEXT:
        raise RobotError(f"{name!r} has {len(data)} bytes, expected at most {LARGEST_TEXT}. Is it a URDF?")
    refuse_entities(data, Path(name))
    return _parse(data, Path(name))


def refuse_entities(data: bytes, path: Path) -> None:
    """Raise a RobotError if an XML text is malformed, declares an entity, or is nested too deeply."""

    def refuse(name: str, *_: Any) -> None:
        raise RobotError(f"{str(path)!r} declares the XML entity {name!r}. Remove it: entities can read other files.")

    depth = 0

    def enter(*_: Any) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise RobotError(f"{str(path)!r} has elements nested more than {DEEPEST} deep, a URDF needs 6. Correct it.")

    def leave(*_: Any) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.EntityDeclHandler, parser.StartElementHandler, parser.EndElementHandler = refuse, enter, leave
    try:
        parser.Parse(data, True)
    # expat raises a ValueError or LookupError for an encoding that Python does not know.
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, RobotError):
            raise
        raise _make_malformed(path, error) from error


def _parse(data: bytes | str, path: Path) -> ET.Element:
    try:
        return ET.fromstring(data)
    except (ET.ParseError, ValueError, LookupError, RecursionError) as error:
        raise _make_malformed(path, error) from error


def _make_malformed(path: Path, error: Exception) -> RobotError:
    return RobotError(f"{str(path)!r} is malformed: {error}. Check it with check_urdf or an XML editor.")


class _Arguments(dict[str, str]):
    """Arguments of a xacro file. They remember the names that the file uses; xacro itself ignores a misspelt name."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        # xacro writes true and false in lower case, as JSON does.
        super().__init__({name: str(v).lower() if isinstance(v, bool) else str(v) for name, v in values.items()})
        self.used: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.used.add(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> str:
        self.used.add(name)
        return super().__getitem__(name)


def _expand(path: Path, packages: Packages, xacro_args: Mapping[str, str]) -> str:
    """Return the text of an expanded xacro file. Expressions in the file are executed as Python."""
    import xacro

    # xacro keeps the stack of its files in the module, so two threads must not expand at the same time.
    arguments = _Arguments(xacro_args)
    with _XACRO_LOCK, _find_packages(packages):
        try:
            document = xacro.process_file(str(path), mappings=arguments)
        except RobotError:
            raise
        # The file's expressions are Python, so anything can be raised. SystemExit is what xacro raises for some mistakes.
        except (Exception, SystemExit) as error:
            message = " ".join(str(error).split()) or type(error).__name__
            unused = ", ".join(name for name in xacro_args if name not in arguments.used)
            hint = f" Until then the file did not use: {unused}." if unused else ""
            raise RobotError(
                f"xacro cannot expand {str(path)!r}: {message}.{hint} Give its arguments with xacro_args."
            ) from error
    for name in xacro_args:
        if name not in arguments.used:
            raise UnknownNameError("xacro argument", name, arguments.used or {"none"})
    return document.toxml()


@contextmanager
def _find_packages(packages: Packages) -> Iterator[None]:
    """Make ``$(find …)`` of xacro look where package:// is looked for. By itself it needs an installed ROS."""
    from xacro import substitution_args

    original = substitution_args._eval_find
    substitution_args._eval_find = lambda name: str(packages.find_package(name))
    try:
        yield
    finally:
        substitution_args._eval_find = original
