"""The command line: a table of commands, each a dataclass that tyro reads and that runs itself.

A command is imported when it is called, so that ``gym-gazebo2 --help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from gym_gazebo2.cli.command import Command
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, UnknownNameError

__all__ = ["COMMANDS", "Row", "load_command", "main"]

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
PROGRAM = "gym-gazebo2"


@dataclasses.dataclass(frozen=True)
class Row:
    """A command of the table.

    Attributes:
        group: The heading that it stands under.
        path: "module:class" of its ``Command``.
        text: What it does, in a line.
        hint: Said when Ctrl-C ends it; without one, what the interruption itself says.
    """

    group: str
    path: str
    text: str
    hint: str = ""


AGAIN = "Give the same command again to go on."

COMMANDS: dict[str, Row] = {
    "train": Row("learn", "training:Train", "train an algorithm on an environment id"),
    "resume": Row("learn", "training:Resume", "continue an interrupted training"),
    "sweep": Row("learn", "training:Sweep", "train many: ids, algorithms, seeds, hyperparameters", AGAIN),
    "evaluate": Row("look", "inspecting:Evaluate", "measure how near a trained arm comes to its goal"),
    "report": Row("look", "inspecting:Report", "write the report of a run, one page"),
    "compare": Row("look", "inspecting:Compare", "put several runs on one page, with median and spread"),
    "play": Row("look", "inspecting:Play", "watch or record an arm"),
    "export": Row("look", "inspecting:Export", "write a policy as ONNX or TorchScript"),
    "envs": Row("look", "inspecting:Envs", "list the environment ids, with their spaces, rewards and goals"),
    "sim": Row("ROS 2", "simulating:Sim", "serve a robot over ROS 2, in lock-step or in real time"),
    "doctor": Row("ROS 2", "doctor:Doctor", "say what is here, what is missing, and the command that mends it"),
    "install-gazebo": Row("ROS 2", "simulating:InstallGazebo", "install Gazebo 11 without root, where the system has none"),
    "gz-sim": Row("ROS 2", "simulating:GzSim", "write description, controllers and world for Gazebo Sim (gz-sim)"),
    "completion": Row("shell", "completion:Completion", "print a script that completes these commands in your shell"),
}


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Arguments; None takes those of the process.

    Returns:
        Exit status: 0 done, 1 failed, 2 misused, 130 interrupted.
    """
    name, *rest = list(sys.argv[1:] if args is None else args) or ["--help"]
    if name in ("-h", "--help"):
        print(make_help())
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        print(f"{PROGRAM}: there is no command {name!r}.{hint}\n\n{make_help()}", file=sys.stderr)
        return MISUSED
    try:
        return load_command(name).parse(rest, f"{PROGRAM} {name}").run() or 0
    except GymGazebo2Error as error:
        print(f"{PROGRAM} {name}: {error}", file=sys.stderr)
        return MISUSED if isinstance(error, InvalidArgumentError | UnknownNameError) else FAILED
    except BrokenPipeError:  # what read our output, such as head, has enough; Python would complain again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt as error:
        print(f"\n{PROGRAM} {name}: interrupted. {COMMANDS[name].hint or error}".rstrip(), file=sys.stderr)
        return INTERRUPTED


def load_command(name: str) -> type[Command]:
    """Import a command of the table."""
    module, attribute = COMMANDS[name].path.split(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def make_help() -> str:
    """Return the usage, with a line a command under the headings of the table."""
    lines, group = [f"usage: {PROGRAM} COMMAND [--help] …"], ""
    for name, row in COMMANDS.items():
        if row.group != group:
            group = row.group
            lines += ["", f"{group}:"]
        lines.append(f"  {name:16} {row.text}")
    first = f"{PROGRAM} train --env SCARA-v0 --out runs/first && {PROGRAM} evaluate runs/first"
    return "\n".join([*lines, "", f"A first run: {first}"])
