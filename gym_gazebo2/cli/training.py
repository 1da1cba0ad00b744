"""Commands that train."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from typing_extensions import Self

from gym_gazebo2.algos import TrainConfig, resume, train
from gym_gazebo2.algos.choices import MissingWorkers
from gym_gazebo2.algos.config import DICTIONARIES, read_config_file
from gym_gazebo2.algos.curriculum import is_curriculum, read_stages, resume_curriculum, train_curriculum
from gym_gazebo2.algos.report import CompareConfig, compare
from gym_gazebo2.algos.settings.env_keywords import WITH_FIELDS
from gym_gazebo2.algos.settings.options import ENV, join_assignments
from gym_gazebo2.algos.settings.values import merge
from gym_gazebo2.algos.sweep.runner import SweepConfig, sweep
from gym_gazebo2.algos.training.start import describe_start
from gym_gazebo2.cli.command import Command
from gym_gazebo2.cli.inline import INLINE, RunPath
from gym_gazebo2.cli.printing import show_paths, show_run

__all__ = ["Resume", "Sweep", "Train"]


@dataclasses.dataclass(frozen=True)
class Train(Command):
    """Train an algorithm on an environment id.

    An option of None is chosen by the preset of the id and the algorithm, or by the id itself. Options win over a --config
    file, and the file wins over the preset. With --from and without --config, the id, algorithm and environment keywords of
    the model are used like those of a file.

    Attributes:
        settings: The training.
        config: A YAML or JSON file of these options. A run's config.json repeats that run.
        curriculum: A YAML or JSON file of stages, trained in a row, each from the policy of the one before. The same command
            again continues it.
    """

    settings: Annotated[TrainConfig, INLINE]
    config: str | None = None
    curriculum: str | None = None

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the training for some arguments, on top of a file's."""
        words = join_assignments(args)
        path, start = find_option(words, "--config"), find_option(words, "--from")
        if path is not None:
            values = read_config_file(path)
        elif start is not None:
            values = describe_start(start, find_option(words, "--env"))
        else:
            return super().parse(words, program)
        # --env.NAME wins over the file, also where the file holds the keyword as a field of its own.
        file = TrainConfig(**{name: value for name, value in values.items() if name not in list_fields_in_env(words)})
        given = tyro.cli(cls, args=words, prog=program, default=cls(file, path))
        # tyro replaces a whole dictionary by an option. Here an option shall replace only single values of the file's
        # dictionary.
        both: dict[str, Any] = {name: merge(getattr(file, name), getattr(given.settings, name)) for name in DICTIONARIES}
        return dataclasses.replace(given, settings=dataclasses.replace(given.settings, **both))

    def run(self) -> None:
        """Train."""
        if self.curriculum is None:
            show_run(train(self.settings))
        else:
            show_run(train_curriculum(self.settings, read_stages(self.curriculum))[-1])


@dataclasses.dataclass(frozen=True)
class Resume(Command):
    """Continue an interrupted training from its newest checkpoint, or train a finished run further with --steps.

    Attributes:
        path: The folder of a run, or of a curriculum, which continues with its options as they are.
        steps: New total of environment steps, including those that are already done; None: as before.
        workers: Workers from now on, with the same result to the bit; None: as before.
        address: HOST:PORT of a Ray cluster, or "local" for this machine; None: as before.
        invite: File of `cluster invite`, with which this machine reaches the cluster; None: as before.
        insecure: Accept a cluster without TLS from now on, because a VPN encrypts its traffic.
        missing_workers: What to do while workers are missing, as in train; None: as before.
        worker_cpus: CPUs that Ray reserves for a worker from now on; None: as before.
    """

    path: RunPath
    steps: int | None = None
    workers: int | None = None
    address: str | None = None
    invite: Path | None = None
    insecure: bool = False
    missing_workers: MissingWorkers | None = None
    worker_cpus: float | None = None

    def run(self) -> None:
        """Continue."""
        if is_curriculum(self.path):
            show_run(resume_curriculum(self.path)[-1])
            return
        cluster = self.workers, self.address, self.invite, self.insecure, self.missing_workers
        show_run(resume(self.path, *cluster, self.steps, self.worker_cpus))


@dataclasses.dataclass(frozen=True)
class Sweep(Command):
    """Train every combination of ids, algorithms, hyperparameters and seeds. The same command again continues the sweep.

    A grid: --hyper normalize_advantage=True,False policy_kwargs.net_arch=[64,64],[128].
    A search by Optuna: --search learning_rate=log:1e-4..1e-2 n_epochs=int:3..20.

    Attributes:
        settings: The sweep.
    """

    settings: Annotated[SweepConfig, INLINE]

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the sweep for some arguments."""
        return super().parse(join_assignments(args), program)

    def run(self) -> None:
        """Train and evaluate the points that have no result yet."""
        runs = sweep(self.settings)
        folder = self.settings.out
        page = CompareConfig(str(Path(folder) / "comparison.html"), self.settings.price_per_hour, folder)
        show_paths([compare([str(run.path) for run in runs], page)])


def list_fields_in_env(words: Sequence[str]) -> set[str]:
    """Return the keywords of the environment that are given as --env.NAME and have a field in a configuration, too.

    Args:
        words: Arguments, joined by ``join_assignments``.
    """
    given = words[words.index(ENV) + 1 :] if ENV in words else []
    return {word.partition("=")[0] for word in itertools.takewhile(lambda word: not word.startswith("--"), given)} & {
        *WITH_FIELDS
    }


def find_option(args: Sequence[str], name: str) -> Any:
    """Return the last value of an option, before the arguments are read as a whole."""
    values = [args[i + 1] for i, word in enumerate(args[:-1]) if word == name]
    values += [word.partition("=")[2] for word in args if word.startswith(f"{name}=")]
    return values[-1] if values else None
