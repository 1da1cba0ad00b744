"""The grammar of values that are written as text: options, sweep grids, and strings in YAML, JSON and zoo files.

A value is a number, a Boolean (``True`` or ``true``), ``None`` or ``null``, a list, a dictionary, or text such as ``relu``
or ``lin_3e-4``. A dictionary may be written as ``dict(net_arch=[64, 64])``, the form of rl-baselines3-zoo. The text is
parsed, never evaluated: it cannot call or import anything.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from gym_gazebo2.algos.networks import ACTIVATIONS, OPTIMIZERS
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["merge", "nest", "parse_assignments", "parse_text", "parse_value", "split_assignment", "split_list"]

NAMES: dict[str, Any] = {"true": True, "false": False, "null": None}
NAMES |= {f"{prefix}.{cls.__name__}": name for name, cls in ACTIVATIONS.items() for prefix in ("nn", "th.nn", "torch.nn")}
NAMES |= {f"{prefix}.{name}": name for name in OPTIMIZERS for prefix in ("th.optim", "torch.optim")}
"""JSON's names of constants, and Python's names of classes in zoo files → value. Any other word without a point is text."""
OPENINGS = ("[", "(", "{", "dict(")
"""Text that begins like this must be a list or a dictionary. Any other text that is no literal is text."""


def parse_value(text: str, name: str = "value") -> Any:
    """Return the plain value that a text stands for; tuples become lists, as in JSON.

    Args:
        text: The text.
        name: Name of the setting, for the error.

    Raises:
        InvalidArgumentError: The text begins like a list or a dictionary, and is not one of plain values.
    """
    text = text.strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of odd literals such as 1if; they are text here
            return _convert(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        if not text.startswith(OPENINGS):
            return text
        allowed = "Allowed are literals, lists, dictionaries, dict(…) and names such as nn.ReLU."
        raise InvalidArgumentError(name, text, sentence=f"Cannot read {name}={text}: {error}. {allowed}") from error


def parse_text(value: Any, name: str = "value") -> Any:
    """Return a value of a file with every string in it parsed; other values stay as they are."""
    match value:
        case str():
            return parse_value(value, name)
        case list():
            return [parse_text(item, name) for item in value]
        case dict():
            return {key: parse_text(item, str(key)) for key, item in value.items()}
    return value


def _convert(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None):
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List() | ast.Tuple():
            return [_convert(item) for item in node.elts]
        case ast.Dict() if None not in node.keys:  # a key of None stands for **
            return {_convert(key): _convert(value) for key, value in zip(node.keys, node.values, strict=True) if key}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(keyword.arg for keyword in keywords):
            return {keyword.arg: _convert(keyword.value) for keyword in keywords}
        case ast.Name(id=name) | ast.Attribute(attr=name) if isinstance(node, ast.Name) or ast.unparse(node) in NAMES:
            return NAMES.get(ast.unparse(node), name)
    raise ValueError(f"{ast.unparse(node)} is not a plain value")


def split_list(text: str) -> list[str]:
    """Return the parts of a text between commas; commas inside brackets and quotes separate nothing."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            depth += (char in "([{") - (char in ")]}")
        if char == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def split_assignment(word: str, option: str = "hyper", form: str = "KEY=VALUE, such as learning_rate=3e-4") -> tuple[str, str]:
    """Return key and text of "key=text"; a dash in the key becomes an underscore.

    Args:
        word: The word.
        option: Name of the option that has it, for the error.
        form: The form that the option expects, for the error.

    Raises:
        InvalidArgumentError: There is no key or no text.
    """
    key, _, text = (part.strip() for part in word.partition("="))
    if not (text and all(key.split("."))):
        raise InvalidArgumentError(option, word, form)
    return key.replace("-", "_"), text


def parse_assignments(words: Iterable[str]) -> dict[str, Any]:
    """Return the values of "key=value" words; points in a key separate the names of nested dictionaries.

    Raises:
        InvalidArgumentError: A word has another form, or sets a key and a part of it.
    """
    return nest({key: parse_value(text, key) for key, text in map(split_assignment, words)})


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted key as nested dictionaries: {"a.b": 1} becomes {"a": {"b": 1}}.

    Raises:
        InvalidArgumentError: Both a key and a part of it have a value, such as "a" and "a.b". The order does not matter.
    """
    nested: dict[str, Any] = {}
    seen: list[str] = []
    for key, value in values.items():
        for other in seen:
            if f"{key}.".startswith(f"{other}.") or other.startswith(f"{key}."):
                sentence = f"Cannot set {key}={value}: {other} was already set to {values[other]}."
                raise InvalidArgumentError(key, value, sentence=sentence)
        seen.append(key)
        *path, last = key.split(".")
        inner = nested
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return nested


def merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with changes in place; dictionaries inside are merged, not replaced."""
    both = {key: merge(values[key], changes[key]) for key in values if _hold_dicts(key, values, changes)}
    return {**values, **changes, **both}


def _hold_dicts(key: str, *tables: Mapping[str, Any]) -> bool:
    return all(isinstance(table.get(key), Mapping) for table in tables)
