"""What a command is."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from typing_extensions import Self

__all__ = ["Command", "narrow"]

Config = TypeVar("Config")


class Command(abc.ABC):
    """A dataclass whose fields are a command's options, and which does what they say."""

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the command that arguments ask for; wrong ones end the program with status 2 and say why.

        Args:
            args: Words after the command's name.
            program: What help texts call it.
        """
        import tyro

        return tyro.cli(cls, args=args, prog=program)

    @abc.abstractmethod
    def run(self) -> int | None:
        """Do it, print what a person wants to know, and return the exit status; None is 0."""


def narrow(given: Any, kind: type[Config]) -> Config:
    """Return a dataclass's fields that another, which it extends, has too."""
    return kind(**{field.name: getattr(given, field.name) for field in dataclasses.fields(kind)})  # type: ignore[arg-type]
