"""The command line: a table of commands, each a dataclass that tyro reads and that runs itself.

A command is imported when it is called, so that ``gym-gazebo2 --help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import signal
import sys
from collections.abc import Sequence

from gym_gazebo2.cli.command import Command
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, UnknownNameError
from gym_gazebo2.output import BestEffortStream, flush_streams, open_missing_streams, replace_unknown_characters
from gym_gazebo2.signals import get_status, raise_on_signals

__all__ = ["COMMANDS", "Row", "load_command", "main", "split_command"]

DONE, FAILED, MISUSED = 0, 1, 2
PROGRAM = "gym-gazebo2"


@dataclasses.dataclass(frozen=True)
class Row:
    """A command of the table.

    Attributes:
        group: The heading that it stands under.
        path: "module:class" of its ``Command``.
        text: What it does, in a line.
        hint: Printed when a signal ends it; without one, the message of the KeyboardInterrupt.
        is_server: It serves until a signal ends it. Such an end is a success, with status 0: ``ros2 launch`` reports any other
            status as a process that has died.
    """

    group: str
    path: str
    text: str
    hint: str = ""
    is_server: bool = False


SAME_COMMAND = "Run the same command again to continue."

COMMANDS: dict[str, Row] = {  # a name may have two words, such as "cluster head"
    "train": Row("learn", "training:Train", "train an algorithm on an environment id"),
    "resume": Row("learn", "training:Resume", "continue an interrupted training"),
    "sweep": Row("learn", "training:Sweep", "train many: ids, algorithms, seeds, hyperparameters", SAME_COMMAND),
    "evaluate": Row("inspect", "inspecting:Evaluate", "measure how near a trained arm comes to its goal"),
    "report": Row("inspect", "inspecting:Report", "write the report of a run, one page"),
    "compare": Row("inspect", "inspecting:Compare", "put several runs on one page, with median and spread"),
    "play": Row("inspect", "inspecting:Play", "watch or record an arm"),
    "export": Row("inspect", "inspecting:Export", "write a policy as ONNX or TorchScript"),
    "robot": Row("inspect", "robot:Robot", "check the URDF or xacro file of an arm, and show what it holds"),
    "envs": Row("inspect", "inspecting:Envs", "list the environment ids, with their spaces, rewards and goals"),
    "sim": Row("ROS 2", "simulating:Sim", "serve a robot over ROS 2, in lock-step or in real time", is_server=True),
    "doctor": Row("ROS 2", "doctor:Doctor", "check the installation, and print the command that repairs each fault"),
    "install-gazebo": Row("ROS 2", "simulating:InstallGazebo", "install Gazebo 11 without root, unless the system has it"),
    "describe": Row("ROS 2", "describing:Describe", "print the URDF of a robot, as robot_state_publisher needs it"),
    "gz-sim": Row("ROS 2", "simulating:GzSim", "write description, controllers and world for Gazebo Sim (gz-sim)"),
    "cluster head": Row("cluster", "cluster.head:Head", "start a Ray cluster on this machine", is_server=True),
    "cluster join": Row("cluster", "cluster.join:Join", "let this machine join a cluster", is_server=True),
    "cluster invite": Row("cluster", "cluster.invite:Invite", "write the file with which another machine joins"),
    "cluster status": Row("cluster", "cluster.status:Status", "list the machines of a cluster"),
    "cluster manifest": Row("cluster", "cluster.manifest:Manifest", "write files for Kubernetes: a Ray cluster and a training"),
    "completion": Row("shell", "completion:Completion", "print a script that completes these commands in your shell"),
}
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}
"""First words of the commands whose names have two."""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Arguments; None takes those of the process.

    Returns:
        Exit status: 0 done, 1 failed, 2 misused; ended by a signal 128 plus its number: 130 for SIGINT (Ctrl-C), 143 for
        SIGTERM, 129 for SIGHUP. A server that a signal ends returns 0.
    """
    name, rest = split_command(list(sys.argv[1:] if args is None else args) or ["--help"])
    open_missing_streams()
    replace_unknown_characters()
    errors = BestEffortStream(sys.stderr)  # type: ignore[arg-type]
    try:
        with raise_on_signals():
            status = _run(name, rest)
    except GymGazebo2Error as error:
        print(f"{PROGRAM} {name}: {error}", file=errors)
        status = MISUSED if isinstance(error, InvalidArgumentError | UnknownNameError) else FAILED
    except BrokenPipeError:  # the reader of our output, such as head, has ended
        status = FAILED
    except KeyboardInterrupt as error:
        status = _report_interrupt(name, error, errors)
    return status if flush_streams() else status or FAILED


def split_command(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of a command, of one word or two, and the words after it.

    Args:
        words: At least one word.
    """
    length = 2 if " ".join(words[:2]) in COMMANDS else 1
    return " ".join(words[:length]), list(words[length:])


def _run(name: str, args: Sequence[str]) -> int:
    """Run a command of the table, or print the help."""
    if name in ("-h", "--help"):
        print(make_help())
        return DONE
    if name in GROUPS:
        print(f"usage: {PROGRAM} {name} COMMAND [--help] …\n\n" + "\n".join(_list_rows(f"{name} ")))
        return DONE if set(args) <= {"-h", "--help"} else MISUSED
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        print(f"{PROGRAM}: There is no command {name!r}.{hint}\n\n{make_help()}", file=sys.stderr)
        return MISUSED
    return load_command(name).parse(args, f"{PROGRAM} {name}").run() or DONE


def _report_interrupt(name: str, error: KeyboardInterrupt, errors: BestEffortStream) -> int:
    """Print that a signal ended a command, and return the exit status."""
    row, status = COMMANDS[name], get_status(error)
    by = signal.Signals(status - 128).name
    if row.is_server:
        print(f"\n{PROGRAM} {name}: stopped by {by}.", file=errors)
        return DONE
    print(f"\n{PROGRAM} {name}: interrupted by {by}. {row.hint or error}".rstrip(), file=errors)
    return status


def load_command(name: str) -> type[Command]:
    """Import a command of the table."""
    module, attribute = COMMANDS[name].path.split(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def _format_row(name: str, row: Row) -> str:
    return f"  {name:16} {row.text}"


def _list_rows(prefix: str) -> list[str]:
    return [_format_row(name, row) for name, row in COMMANDS.items() if name.startswith(prefix)]


def make_help() -> str:
    """Return the usage, with one line per command under the headings of the table."""
    lines, group = [f"usage: {PROGRAM} COMMAND [--help] …"], ""
    for name, row in COMMANDS.items():
        if row.group != group:
            group = row.group
            lines += ["", f"{group}:"]
        lines.append(_format_row(name, row))
    first = f"{PROGRAM} train --env SCARA-v0 --out runs/first && {PROGRAM} evaluate runs/first"
    return "\n".join([*lines, "", f"A first run: {first}"])
