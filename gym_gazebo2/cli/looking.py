"""Commands that look at what was learnt, and at what there is to learn."""

from __future__ import annotations

import dataclasses

import tyro

from gym_gazebo2.algos import EvaluateConfig, evaluate
from gym_gazebo2.algos.export.network import ExportConfig, export
from gym_gazebo2.algos.play.player import PlayConfig, play
from gym_gazebo2.algos.report import CompareConfig, ReportConfig, compare, write_report
from gym_gazebo2.cli.command import Command, narrow
from gym_gazebo2.cli.showing import show_envs, show_evaluation, show_paths

__all__ = ["Compare", "Envs", "Evaluate", "Export", "Play", "Report"]


@dataclasses.dataclass(frozen=True)
class Evaluate(EvaluateConfig, Command):
    """Run the model of a run folder from perturbed starts, and report how near it comes to its goal.

    Attributes:
        path: The run's folder.
        json: Also write the result to this file.
    """

    path: tyro.conf.Positional[str] = dataclasses.field(kw_only=True)
    json: str | None = None

    def run(self) -> None:
        """Evaluate, and write the report."""
        show_evaluation(evaluate(self.path, narrow(self, EvaluateConfig), json=self.json))
        show_paths(write_report(self.path))


@dataclasses.dataclass(frozen=True)
class Report(ReportConfig, Command):
    """Write the report of a run: one page that holds everything it shows.

    Attributes:
        path: The run's folder.
    """

    path: tyro.conf.Positional[str] = dataclasses.field(kw_only=True)

    def run(self) -> None:
        """Write the page."""
        show_paths(write_report(self.path, narrow(self, ReportConfig)))


@dataclasses.dataclass(frozen=True)
class Compare(CompareConfig, Command):
    """Put several runs on one page, with median and spread over the seeds.

    Attributes:
        paths: The runs' folders.
    """

    paths: tyro.conf.Positional[tuple[str, ...]] = dataclasses.field(kw_only=True)

    def run(self) -> None:
        """Write the page."""
        show_paths([compare(self.paths, narrow(self, CompareConfig))])


@dataclasses.dataclass(frozen=True)
class Play(PlayConfig, Command):
    """Watch an arm in a window, or record it: the policy of a run, random actions, or sliders under the keyboard.

    Attributes:
        what: A run's folder, or an environment id.
    """

    what: tyro.conf.Positional[str] = dataclasses.field(kw_only=True)

    def run(self) -> None:
        """Play."""
        for index, played in enumerate(play(self.what, narrow(self, PlayConfig))):
            success = {True: "success", False: "no success", None: ""}[played.is_success]
            end = ", ".join(filter(None, (played.text, success)))
            print(f"Episode {index}: {played.steps} steps, reward {played.reward:.2f}{f', {end}' if end else ''}")
        if self.record is not None:
            show_paths([self.record])


@dataclasses.dataclass(frozen=True)
class Export(ExportConfig, Command):
    """Write the policy of a run as a file that runs without gym-gazebo2.

    Attributes:
        path: The run's folder.
    """

    path: tyro.conf.Positional[str] = dataclasses.field(kw_only=True)

    def run(self) -> None:
        """Export."""
        show_paths(export(self.path, narrow(self, ExportConfig)))


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
