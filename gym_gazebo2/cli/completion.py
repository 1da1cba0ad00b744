"""The command that prints shell completion for the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import tyro

from gym_gazebo2.cli.command import Command

__all__ = ["Completion"]


@dataclasses.dataclass(frozen=True)
class Completion(Command):
    """Print a shell script that completes gym-gazebo2's commands and options.

    For bash: gym-gazebo2 completion bash > ~/.local/share/bash-completion/completions/gym-gazebo2

    Attributes:
        shell: The shell.
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh", "tcsh"]] = "bash"

    def run(self) -> None:
        """Print it."""
        from gym_gazebo2.cli import COMMANDS, PROGRAM, load_command

        commands: dict[str, Callable[..., Any]] = {name: load_command(name) for name in COMMANDS}
        try:
            tyro.extras.subcommand_cli_from_dict(commands, prog=PROGRAM, args=["--tyro-print-completion", self.shell])
        except SystemExit as end:
            if end.code:
                raise
