"""Commands that learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from typing_extensions import Self

from gym_gazebo2.algos import TrainConfig, resume, train
from gym_gazebo2.algos.config import read_config_file
from gym_gazebo2.algos.report import CompareConfig, compare
from gym_gazebo2.algos.settings.values import merge, parse_assignments
from gym_gazebo2.algos.sweep.runner import SweepConfig, sweep
from gym_gazebo2.cli.command import Command, narrow
from gym_gazebo2.cli.showing import show_paths, show_run

__all__ = ["Resume", "Sweep", "Train"]


@dataclasses.dataclass(frozen=True)
class Train(TrainConfig, Command):
    """Train an algorithm on an environment id. None stands for the preset of the id and the algorithm.

    What an option says goes before what a --config file says, and that before the preset.

    Attributes:
        hyper: A hyperparameter on top of the preset's, KEY=VALUE with VALUE in JSON or "lin_x"; may be repeated, and
            written --hyper.KEY VALUE.
        config: A YAML or JSON file of these options, such as a run's config.json, which it then repeats.
        resume: Continue the run in this folder instead; no other option is read.
    """

    hyper: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    config: str | None = None
    resume: str | None = None

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the training that arguments ask for, on top of a file's."""
        words = join_hyper(args)
        path = find_option(words, "--config")
        if path is None:
            return super().parse(words, program)
        return tyro.cli(cls, args=words, prog=program, default=cls(**read_config_file(path)))

    def run(self) -> None:
        """Train, or continue."""
        if self.resume is not None:
            show_run(resume(self.resume))
            return
        config = narrow(self, TrainConfig)
        hyperparameters = merge(config.hyperparameters, parse_assignments(self.hyper))
        show_run(train(dataclasses.replace(config, hyperparameters=hyperparameters)))


@dataclasses.dataclass(frozen=True)
class Resume(Command):
    """Continue an interrupted training from its newest checkpoint.

    Attributes:
        path: The run's folder.
    """

    path: tyro.conf.Positional[str]

    def run(self) -> None:
        """Continue."""
        show_run(resume(self.path))


@dataclasses.dataclass(frozen=True)
class Sweep(SweepConfig, Command):
    """Train every combination of ids, algorithms, hyperparameters and seeds; give the same command again to go on.

    A search by Optuna instead of a grid: --search learning_rate=log:1e-4..1e-2 n_epochs=int:3..20
    """

    def run(self) -> None:
        """Train and evaluate what has no result yet."""
        runs = sweep(narrow(self, SweepConfig))
        page = compare([str(run.path) for run in runs], CompareConfig(out=str(Path(self.out) / "comparison.html")))
        show_paths([page])


def join_hyper(args: Sequence[str]) -> list[str]:
    """Return the arguments with each ``--hyper.KEY VALUE`` as ``--hyper KEY=VALUE``."""
    joined: list[str] = []
    words = iter(args)
    for word in words:
        if word.startswith("--hyper."):
            name, equals, value = word.removeprefix("--hyper.").partition("=")
            joined += ["--hyper", f"{name.replace('-', '_')}={value if equals else next(words, '')}"]
        else:
            joined.append(word)
    return joined


def find_option(args: Sequence[str], name: str) -> Any:
    """Return the last value of an option, before the arguments are read as a whole."""
    values = [args[i + 1] for i, word in enumerate(args[:-1]) if word == name]
    values += [word.partition("=")[2] for word in args if word.startswith(f"{name}=")]
    return values[-1] if values else None
