"""Commands that show what a training has learned, and what environments there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import tyro
from typing_extensions import Self

from gym_gazebo2.algos import EvaluateConfig, evaluate
from gym_gazebo2.algos.export.network import ExportConfig, export
from gym_gazebo2.algos.play.player import PlayConfig, play
from gym_gazebo2.algos.report import CompareConfig, ReportConfig, compare, write_report
from gym_gazebo2.algos.runs.any_model import is_model_file
from gym_gazebo2.algos.settings.options import join_assignments
from gym_gazebo2.cli.command import Command
from gym_gazebo2.cli.inline import INLINE, RunPath
from gym_gazebo2.cli.printing import show_envs, show_evaluation, show_paths

__all__ = ["Compare", "Envs", "Evaluate", "Export", "Play", "Report"]


@dataclasses.dataclass(frozen=True)
class Evaluate(Command):
    """Run the model of a run folder from perturbed starts, and report its accuracy and its success rate.

    Attributes:
        path: The run's folder, or a model file.
        settings: How to evaluate.
        json: Also write the result to this file.
    """

    path: RunPath
    settings: Annotated[EvaluateConfig, INLINE]
    json: str | None = None

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the evaluation for some arguments."""
        return super().parse(join_assignments(args), program)

    def run(self) -> None:
        """Evaluate, and write the report."""
        show_evaluation(evaluate(self.path, self.settings, json=self.json))
        if not is_model_file(self.path):
            show_paths(write_report(self.path, ReportConfig(out=self.settings.out)))


@dataclasses.dataclass(frozen=True)
class Report(Command):
    """Write the report of a run: one HTML file that needs no other file.

    Attributes:
        path: The run's folder.
        settings: What to write.
    """

    path: RunPath
    settings: Annotated[ReportConfig, INLINE]

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the report for some arguments."""
        return super().parse(join_assignments(args), program)

    def run(self) -> None:
        """Write the page."""
        show_paths(write_report(self.path, self.settings))


@dataclasses.dataclass(frozen=True)
class Compare(Command):
    """Compare several runs on one page, with median and spread over the seeds.

    Attributes:
        paths: The runs' folders.
        settings: What to write.
    """

    paths: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN")]
    settings: Annotated[CompareConfig, INLINE]

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the comparison for some arguments."""
        return super().parse(join_assignments(args), program)

    def run(self) -> None:
        """Write the page."""
        show_paths([compare(self.paths, self.settings)])


@dataclasses.dataclass(frozen=True)
class Play(Command):
    """Show an arm in a window, or record it.

    It is moved by a run's policy, by random actions, or from the keyboard, with sliders on the screen.

    Attributes:
        what: A run's folder, a model file, or an environment id.
        settings: How to play.
    """

    what: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN|MODEL.ZIP|ID")]
    settings: Annotated[PlayConfig, INLINE]

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return what to play for some arguments."""
        return super().parse(join_assignments(args), program)

    def run(self) -> None:
        """Play."""
        for index, played in enumerate(play(self.what, self.settings)):
            success = {True: "success", False: "no success", None: ""}[played.is_success]
            end = ", ".join(filter(None, (played.text, success)))
            print(f"Episode {index}: {played.steps} steps, reward {played.reward:.2f}{f', {end}' if end else ''}")
        if self.settings.record is not None:
            show_paths([self.settings.record])


@dataclasses.dataclass(frozen=True)
class Export(Command):
    """Write the policy of a run as a file that runs without gym-gazebo2.

    Attributes:
        path: The run's folder, or a model file.
        settings: What to write.
    """

    path: RunPath
    settings: Annotated[ExportConfig, INLINE]

    def run(self) -> None:
        """Export."""
        show_paths(export(self.path, self.settings))


@dataclasses.dataclass(frozen=True)
class Envs(Command):
    """List the environment ids, with their spaces, rewards and goals.

    Attributes:
        json: Print JSON.
    """

    json: bool = False

    def run(self) -> None:
        """List."""
        show_envs(as_json=self.json)
