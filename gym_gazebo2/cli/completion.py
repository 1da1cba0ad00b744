"""The command that prints shell completion for the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Union

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
        from gym_gazebo2.cli import COMMANDS, GROUPS, PROGRAM, load_command

        commands: dict[str, Callable[..., Any]] = {name: load_command(name) for name in COMMANDS if " " not in name}
        commands |= {group: make_group([name for name in COMMANDS if name.startswith(f"{group} ")]) for group in GROUPS}
        try:
            tyro.extras.subcommand_cli_from_dict(commands, prog=PROGRAM, args=["--tyro-print-completion", self.shell])
        except SystemExit as end:
            if end.code:
                raise


def make_group(names: Sequence[str]) -> type[Any]:
    """Return a dataclass with the commands of a group as subcommands.

    Args:
        names: Names of two words each, with the same first one.
    """
    from gym_gazebo2.cli import load_command

    commands: Any = [Annotated[load_command(name), tyro.conf.subcommand(name.split()[1])] for name in names]
    union: Any = Annotated[Union[tuple(commands)], tyro.conf.arg(name="")]  # noqa: UP007
    return dataclasses.make_dataclass("Group", [("command", union)])
