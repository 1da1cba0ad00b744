"""Read a YAML or JSON file that holds a mapping; nothing in it is executed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gym_gazebo2.errors import MissingDependencyError, RunError

__all__ = ["read_mapping"]

FLOAT = re.compile(r"^(?:[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
"""YAML 1.2's floats. PyYAML implements YAML 1.1, in which 1e-3 is a string, as it has no point."""


def read_mapping(path: Path, advice: str) -> dict[str, Any]:
    """Return the contents of a file: JSON where its name ends in .json, else YAML.

    Args:
        path: The file.
        advice: What to give instead, for the error's message.

    Raises:
        RunError: It cannot be read, or holds no mapping.
        MissingDependencyError: It is YAML, and PyYAML is not installed.
    """
    try:
        text = path.read_text()
        content = json.loads(text) if path.suffix == ".json" else _parse_yaml(text)
    except (OSError, ValueError) as error:
        raise RunError(f"Cannot read {path}: {error}. {advice}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} holds {type(content).__name__}, expected a mapping. {advice}")
    return content


def _parse_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError("yaml", "train") from error

    class Loader(yaml.SafeLoader):
        """Plain values only, with YAML 1.2's floats."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
    try:
        return yaml.load(text, Loader)  # a SafeLoader: it makes no objects
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
