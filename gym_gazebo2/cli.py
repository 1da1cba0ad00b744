"""The command line: a table of commands, each a tyro interface over a configuration's dataclass.

A command imports what it needs when it runs, so that ``gym-gazebo2 --help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gym_gazebo2.errors import GymGazebo2Error

if TYPE_CHECKING:
    from gym_gazebo2.algos import Evaluation, RunFolder
    from gym_gazebo2.doctor import Finding

__all__ = ["COMMANDS", "main"]

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
COLOURS = {"ok": "green", "optional": "dim", "missing": "yellow", "broken": "red"}
RESUMABLE = " A training goes on from its last checkpoint with: gym-gazebo2 resume DIR"

PAPER = {
    "mara": {"accuracy_rms_mm": "0.05 / 0.075", "repeatability_rms_mm": "0.02 / 0.016", "train_wall_s": "3000 / 2000"},
    "scara": {"accuracy_rms_mm": "2.80 / 1.37", "repeatability_rms_mm": "4.52 / 3.57", "train_wall_s": "600 / 300"},
}
"""The 2019 paper's figures with one worker / with 8 (MARA's time: 4 or 8), by robot."""


def _train(args: Sequence[str]) -> None:
    from gym_gazebo2.algos import TrainConfig, train

    config = tyro.cli(TrainConfig, args=args, prog="gym-gazebo2 train")
    _show_paths(train(config))


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
    for path in write_report(given.path):
        Console(soft_wrap=True).print(f"  {path}", highlight=False)


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


def _sim(args: Sequence[str]) -> None:
    from gym_gazebo2.sim import parse, simulate

    simulate(parse(args))


def _doctor(args: Sequence[str]) -> int:
    from gym_gazebo2.doctor import examine, has_failed

    def command(json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False) -> bool:
        """Say what is here, what is missing, and the command that mends it; status 1 where something needed does not work.

        Args:
            json: Print the findings as JSON instead of a table.
        """
        return json

    as_json = tyro.cli(command, args=args, prog="gym-gazebo2 doctor")
    findings = examine()
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        _show_findings(findings)
    return FAILED if has_failed(findings) else 0


def _gz_sim(args: Sequence[str]) -> None:
    from gym_gazebo2.gazebo.gz_sim import write_gz_sim
    from gym_gazebo2.robots import make_robot

    def command(
        robot: Annotated[str, tyro.conf.Positional] = "mara",
        folder: Path = Path("gz_sim"),
        namespace: str | None = None,
        control_dt: float = 0.05,
        physics_dt: float = 0.001,
    ) -> str:
        """Write what Gazebo Sim needs to serve a robot, and print the robot's description; launch/gz_sim.launch.py uses it.

        Args:
            robot: Robot of the table.
            folder: Where robot.urdf, controllers.yaml and world.sdf go.
            namespace: ROS namespace; None is the robot's name.
            control_dt: Control period of the client [s].
            physics_dt: Physics step [s].
        """
        return write_gz_sim(make_robot(robot), folder, namespace, control_dt, physics_dt)

    print(tyro.cli(command, args=args, prog="gym-gazebo2 gz-sim"))


COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], int | None]]] = {
    "train": ("train an algorithm on an environment id", _train),
    "resume": ("continue an interrupted training", _resume),
    "evaluate": ("measure how near a trained arm comes to its goal", _evaluate),
    "sim": ("serve a robot over ROS 2, in lock-step or in real time", _sim),
    "gz-sim": ("write description, controllers and world for Gazebo Sim (gz-sim)", _gz_sim),
    "doctor": ("say what is here, what is missing, and the command that mends it", _doctor),
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
        return COMMANDS[args[0]][1](args[1:]) or 0
    except GymGazebo2Error as error:
        print(f"gym-gazebo2 {args[0]}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        hint = RESUMABLE if args[0] in ("train", "resume") else ""
        print(f"\ngym-gazebo2 {args[0]}: interrupted.{hint}", file=sys.stderr)
        return INTERRUPTED


def show_evaluation(result: Evaluation) -> None:
    """Print an evaluation beside the 2019 paper's figures."""
    from gym_gazebo2.algos.report import ROWS
    from gym_gazebo2.registration import ENVIRONMENTS

    row = ENVIRONMENTS.get(result.env)
    paper = PAPER.get(row.robot, {}) if row else {}
    table = Table(title=f"{result.env}, {result.algo}, {result.runs} runs on {result.backend}")
    table.add_column("")
    table.add_column("here", justify="right")
    table.add_column("2019 paper, 1 / 8 workers", justify="right")
    for name, (label, form) in ROWS.items():
        value = getattr(result, name)
        table.add_row(escape(label), "never" if value is None else form.format(value), paper.get(name, ""))
    Console().print(table)


def _show_findings(findings: Sequence[Finding]) -> None:
    table = Table()
    for header in ("", "", "what is there", "what mends it"):
        table.add_column(header, overflow="fold")
    for finding in findings:
        state = f"[{COLOURS[finding.state]}]{finding.state}[/]"
        table.add_row(finding.name, state, escape(finding.found), escape(finding.mend))
    Console().print(table)


def _show_paths(run: RunFolder) -> None:
    console = Console(soft_wrap=True)
    console.print(f"Run folder: {run.path}", highlight=False)
    console.print(f"Evaluate it with: gym-gazebo2 evaluate {run.path}", highlight=False)


def _show_help(args: Sequence[str]) -> int:
    lines = ["usage: gym-gazebo2 COMMAND [--help] …", "", *(f"  {name:15} {text}" for name, (text, _) in COMMANDS.items())]
    asked = not args or args[0] in ("-h", "--help")
    if not asked:
        lines.insert(0, f"gym-gazebo2: there is no command {args[0]!r}.")
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else MISUSED


if __name__ == "__main__":
    sys.exit(main())
