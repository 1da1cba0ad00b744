"""Read a YAML or JSON file that holds a mapping; nothing in it is executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gym_gazebo2.errors import MissingDependencyError, RunError

__all__ = ["read_mapping"]


def read_mapping(path: Path, advice: str) -> dict[str, Any]:
    """Return the contents of a file: JSON where its name ends so, else YAML.

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
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
