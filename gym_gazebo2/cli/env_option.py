"""The option ``--env.KEY VALUE`` of commands that must work without torch: the environment's keywords that change the robot.

The commands that train and evaluate have the same option in ``algos.settings.options``, whose grammar also knows networks.
"""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["RobotKeywords", "join_keywords", "parse_keywords", "write_value"]

OPTION, ALL = "--env.KEY", "--env"
"""The option as the help shows it, and that of a launch file, which cannot repeat an option: several KEY=VALUE in one text."""
NAMES = {"true": True, "false": False, "null": None}
"""JSON's names of constants."""


def parse_keywords(words: Iterable[str]) -> dict[str, Any]:
    """Return the values of KEY=VALUE words; points in a key separate the names of nested dictionaries.

    A value is a Python literal, or else text.

    Raises:
        InvalidArgumentError: A word has another form, or sets a key and a part of it.
    """
    nested: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        *path, last = key.replace("-", "_").split(".")
        if not (equals and text and last and all(path)):
            raise InvalidArgumentError("env", word, "KEY=VALUE, such as mount_height=0.4")
        inner = nested
        for name in path:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise InvalidArgumentError("env", word, sentence=f"Cannot set {word}: a part of the name has a value already.")
        if isinstance(inner.get(last), dict):
            raise InvalidArgumentError("env", word, sentence=f"Cannot set {word}: parts of it were set already.")
        inner[last] = _parse_value(text)
    return nested


def _parse_value(text: str) -> Any:
    if text in NAMES:
        return NAMES[text]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def write_value(value: Any) -> str:
    """Return a value as ``--env.KEY`` reads it."""
    return value if isinstance(value, str) else json.dumps(value)


def join_keywords(args: Sequence[str]) -> list[str]:
    """Return arguments with all ``--env.KEY VALUE``, ``--env.KEY=VALUE`` and ``--env "KEY=VALUE …"`` as one option at the end.

    An argument parser would treat each dotted option as an option of its own.
    """
    words, rest, found = list(args), list[str](), list[str]()
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name == ALL:
            found += shlex.split(value if equals else words.pop(0) if words else "")
        elif name.startswith(f"{ALL}."):
            value = value if equals else words.pop(0) if words else ""
            found.append(f"{name.removeprefix(f'{ALL}.')}={value}")
        else:
            rest.append(word)
    return rest + ([OPTION, *found] if found else [])


RobotKeywords = Annotated[
    dict[str, Any],
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="VALUE",
        instance_from_str=parse_keywords,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [f"{name}={write_value(item)}" for name, item in value.items()],
    ),
    tyro.conf.arg(name=OPTION[2:], help_behavior_hint="(repeatable)"),
]
"""Annotation of a field for the option."""
