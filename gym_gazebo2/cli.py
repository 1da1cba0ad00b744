"""The command line: a table of commands, each a tyro interface over a configuration's dataclass.

A command imports what it needs when it runs, so that ``gym-gazebo2 --help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gym_gazebo2.errors import GymGazebo2Error

if TYPE_CHECKING:
    from gym_gazebo2.algos import Evaluation, RunFolder

__all__ = ["COMMANDS", "main"]

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def _train(args: Sequence[str]) -> None:
    from gym_gazebo2.algos import TrainConfig, train
    from gym_gazebo2.algos.keywords import parse_assignments

    @dataclasses.dataclass(frozen=True)
    class Arguments(TrainConfig):
        """Train an algorithm on an environment id. None stands for the preset of the id and the algorithm.

        Attributes:
            hyper: A hyperparameter on top of the preset's, KEY=VALUE with VALUE in JSON or "lin_x"; may be repeated, and
                written --hyper.KEY VALUE.
        """

        hyper: tyro.conf.UseAppendAction[tuple[str, ...]] = ()

    given = tyro.cli(Arguments, args=_join_hyper(args), prog="gym-gazebo2 train")
    values = {field.name: getattr(given, field.name) for field in dataclasses.fields(TrainConfig)}
    _show_paths(train(TrainConfig(**{**values, "hyperparameters": parse_assignments(given.hyper)})))


def _join_hyper(args: Sequence[str]) -> list[str]:
    """Return the arguments with each ``--hyper.KEY VALUE`` as ``--hyper KEY=VALUE``."""
    joined: list[str] = []
    words = iter(args)
    for word in words:
        if word.startswith("--hyper."):
            assignment = word.removeprefix("--hyper.")
            joined += ["--hyper", assignment if "=" in assignment else f"{assignment}={next(words, '')}"]
        else:
            joined.append(word)
    return joined


def _resume(args: Sequence[str]) -> None:
    from gym_gazebo2.algos import resume

    def command(path: Annotated[str, tyro.conf.Positional]) -> str:
        """Continue an interrupted training from its newest checkpoint.

        Args:
            path: The run's folder.
        """
        return path

    _show_paths(resume(tyro.cli(command, args=args, prog="gym-gazebo2 resume")))


def _evaluate(args: Sequence[str]) -> None:
    from gym_gazebo2.algos import EvaluateConfig, evaluate
    from gym_gazebo2.algos.report import write_report

    @dataclasses.dataclass(frozen=True)
    class Arguments(EvaluateConfig):
        """Run the model of a run folder from perturbed starts, and report how near it comes to its goal.

        Attributes:
            path: The run's folder.
            json: Also write the result to this file.
        """

        path: tyro.conf.Positional[str] = dataclasses.field(kw_only=True)
        json: str | None = None

    given = tyro.cli(Arguments, args=args, prog="gym-gazebo2 evaluate")
    values = {field.name: getattr(given, field.name) for field in dataclasses.fields(EvaluateConfig)}
    result = evaluate(given.path, EvaluateConfig(**values), json=given.json)
    show_evaluation(result)
    _show_files(write_report(given.path))


def _report(args: Sequence[str]) -> None:
    from gym_gazebo2.algos.report import ReportConfig, write_report

    @dataclasses.dataclass(frozen=True)
    class Arguments(ReportConfig):
        """Write the report of a run: one page that holds everything it shows.

        Attributes:
            path: The run's folder.
        """

        path: tyro.conf.Positional[str] = dataclasses.field(kw_only=True)

    given = tyro.cli(Arguments, args=args, prog="gym-gazebo2 report")
    _show_files(write_report(given.path, ReportConfig(given.price_per_hour, given.video)))


def _compare(args: Sequence[str]) -> None:
    from gym_gazebo2.algos.report import CompareConfig, compare

    @dataclasses.dataclass(frozen=True)
    class Arguments(CompareConfig):
        """Put several runs on one page, with median and spread over the seeds.

        Attributes:
            paths: The runs' folders.
        """

        paths: tyro.conf.Positional[tuple[str, ...]] = dataclasses.field(kw_only=True)

    given = tyro.cli(Arguments, args=args, prog="gym-gazebo2 compare")
    _show_files([compare(given.paths, CompareConfig(given.out, given.price_per_hour))])


def _install_gazebo(args: Sequence[str]) -> None:
    from gym_gazebo2.gazebo import install_gazebo

    def command(mirror: str | None = None) -> str | None:
        """Find the system's Gazebo 11, or install it into the user's cache, without root (x86-64 Linux).

        Args:
            mirror: Debian mirror to fetch from; None takes those of the system's apt configuration.
        """
        return mirror

    gazebo = install_gazebo(tyro.cli(command, args=args, prog="gym-gazebo2 install-gazebo"))
    Console(soft_wrap=True).print(f"Gazebo {gazebo.version}: {gazebo.gzserver}", highlight=False)


COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], None]]] = {
    "train": ("train an algorithm on an environment id", _train),
    "resume": ("continue an interrupted training", _resume),
    "evaluate": ("measure how near a trained arm comes to its goal", _evaluate),
    "report": ("write the report of a run, one page", _report),
    "compare": ("put several runs on one page, with median and spread", _compare),
    "install-gazebo": ("install Gazebo 11 without root, where the system has none", _install_gazebo),
}


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Arguments; None takes those of the process.

    Returns:
        Exit status: 0 done, 1 failed, 2 misused, 130 interrupted.
    """
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help") or args[0] not in COMMANDS:
        return _show_help(args)
    try:
        COMMANDS[args[0]][1](args[1:])
    except GymGazebo2Error as error:
        print(f"gym-gazebo2 {args[0]}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(
            "\ngym-gazebo2: interrupted. A training goes on from its last checkpoint with: gym-gazebo2 resume DIR",
            file=sys.stderr,
        )
        return INTERRUPTED
    return 0


def show_evaluation(result: Evaluation) -> None:
    """Print an evaluation beside the 2019 paper's figures."""
    from gym_gazebo2.algos.report import ROWS, get_paper

    paper = get_paper(result.env)
    table = Table(title=f"{result.env}, {result.algo} ({result.model}), {result.runs} runs on {result.backend}")
    table.add_column("")
    table.add_column("here", justify="right")
    table.add_column("2019 paper, 1 / 8 workers", justify="right")
    for name, (label, form) in ROWS.items():
        value = getattr(result, name)
        table.add_row(escape(label), "never" if value is None else form.format(value), paper.get(name, ""))
    Console().print(table)


def _show_paths(run: RunFolder) -> None:
    console = Console(soft_wrap=True)
    console.print(f"Run folder: {run.path}", highlight=False)
    console.print(f"Evaluate it with: gym-gazebo2 evaluate {run.path}", highlight=False)


def _show_files(paths: Iterable[Path]) -> None:
    for path in paths:
        Console(soft_wrap=True).print(f"  {path}", highlight=False)


def _show_help(args: Sequence[str]) -> int:
    lines = ["usage: gym-gazebo2 COMMAND [--help] …", "", *(f"  {name:15} {text}" for name, (text, _) in COMMANDS.items())]
    asked = not args or args[0] in ("-h", "--help")
    if not asked:
        lines.insert(0, f"gym-gazebo2: there is no command {args[0]!r}.")
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else MISUSED


if __name__ == "__main__":
    sys.exit(main())
