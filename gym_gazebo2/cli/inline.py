"""Annotations of commands' fields: a configuration whose fields are options of the command, and the path of a run."""

from __future__ import annotations

from typing import Annotated, Any

import tyro

__all__ = ["INLINE", "RunPath"]

INLINE: Any = tyro.conf.arg(name="")
"""Annotation of the field: its options have no prefix, and stand in the same group of the help text."""
RunPath = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
"""A run's folder, given without an option."""
