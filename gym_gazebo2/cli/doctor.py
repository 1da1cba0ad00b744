"""The command that checks an installation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gym_gazebo2.cli.command import Command
from gym_gazebo2.doctor import Finding, examine, has_failed

__all__ = ["Doctor"]

COLOURS = {"ok": "green", "poor": "yellow", "optional": "dim", "missing": "yellow", "broken": "red"}


@dataclasses.dataclass(frozen=True)
class Doctor(Command):
    """Check what is installed, and print the command that installs or repairs the rest.

    The exit status is 1 if an installed part does not work, or if a part that everything needs is missing.

    Attributes:
        json: Print the findings as JSON instead of a table.
    """

    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False

    def run(self) -> int:
        """Check, and print the findings."""
        findings = examine()
        if self.json:
            print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
        else:
            show_findings(findings)
        return int(has_failed(findings))


def show_findings(findings: Sequence[Finding]) -> None:
    """Print a table."""
    table = Table()
    for header in ("", "", "found", "remedy"):
        table.add_column(header, overflow="fold")
    for finding in findings:
        state = f"[{COLOURS[finding.state]}]{finding.state}[/]"
        table.add_row(finding.name, state, escape(finding.found), escape(finding.remedy))
    Console().print(table)
