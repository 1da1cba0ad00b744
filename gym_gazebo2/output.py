"""Standard output and error of programs that must not end because nobody reads them: closed pipes, closed terminals."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import sys
from collections.abc import Iterable
from typing import Any, TextIO

__all__ = ["BestEffortStream", "flush_streams", "open_missing_streams", "replace_unknown_characters"]

WRITE_TIMEOUT_S = 0.2
"""Longest wait for a reader that does not keep up, such as a pager or a terminal stopped by Ctrl-S [s]."""


class BestEffortStream:
    """A text stream that drops what cannot be written now, for messages that matter less than the work that they report.

    Other attributes are those of the stream below.
    """

    def __init__(self, stream: TextIO) -> None:
        """Wrap a stream.

        Args:
            stream: Where text goes, such as standard error.
        """
        self._stream = stream

    def write(self, text: str) -> int:
        """Write and flush, or drop the text where the stream is closed or takes nothing for 0.2 s. Never raises OSError."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream itself was closed
            if self._can_write():
                self._stream.write(text)
                self._stream.flush()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: every write is flushed."""

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream below, such as ``isatty`` or ``encoding``."""
        return getattr(self._stream, name)

    def _can_write(self) -> bool:
        try:
            descriptor = self._stream.fileno()
        except (OSError, AttributeError):  # no file, such as io.StringIO: it never blocks
            return True
        # A pipe counts as writable once it takes 4096 bytes, more than a line or a frame of the progress display.
        return bool(select.select([], [descriptor], [], WRITE_TIMEOUT_S)[1])


def open_missing_streams() -> None:
    """Open the null device in place of standard streams that were closed (``>&-``).

    Else the next file that the program opens gets their number, and what libraries print ends up in it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # Python sets a stream to None if it was closed at the start
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


SPELLINGS = {
    "°": " deg",
    "µ": "u",
    "×": "x",
    "·": ".",
    "–": "-",
    "−": "-",
    "→": "->",
    "…": "...",
    "≥": ">=",
    "≤": "<=",
    "²": "2",
}
"""What is written instead of a character that a stream's encoding does not have; for every other one, a question mark."""


def replace_unknown_characters() -> None:
    """Let the standard streams spell what their encoding does not have, as ASCII in the locale C, instead of raising."""
    codecs.register_error("gym_gazebo2.spell", _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not if a test or a notebook has replaced it
            stream.reconfigure(errors="gym_gazebo2.spell")


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(SPELLINGS.get(character, "?") for character in text), error.end


def flush_streams() -> bool:
    """Write what is buffered, and return whether that was possible; else drop it, or Python would report it at exit."""
    flushed = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            flushed = False
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return flushed
