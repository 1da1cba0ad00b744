"""Output of the commands of a cluster."""

from __future__ import annotations

import sys
from typing import TextIO

__all__ = ["show"]


def show(line: str, stream: TextIO | None = None) -> None:
    """Print a line at once, also into a pipe: scripts wait for it."""
    print(line, file=stream or sys.stdout, flush=True)
