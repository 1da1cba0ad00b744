"""The base class of commands."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from typing_extensions import Self

__all__ = ["Command"]


class Command(abc.ABC):
    """A dataclass whose fields are the options of a command, and which runs it."""

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the command for some arguments; invalid ones end the program with status 2 and a message.

        Args:
            args: Words after the command's name.
            program: Name of the program in help texts.
        """
        import tyro

        return tyro.cli(cls, args=args, prog=program)

    @abc.abstractmethod
    def run(self) -> int | None:
        """Run the command, print its results, and return the exit status; None is 0."""
