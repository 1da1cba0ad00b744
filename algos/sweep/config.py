"""The configuration of a sweep."""

from __future__ import annotations

import dataclasses
import itertools

from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.evaluate import EvaluateConfig
from gym_gazebo2.algos.settings.options import EnvKwargs
from gym_gazebo2.algos.sweep.points import list_seeds, make_training
from gym_gazebo2.algos.sweep.search import make_grid, parse_grid, parse_options, parse_range
from gym_gazebo2.algos.table import check_hyperparameters
from gym_gazebo2.checks import read_positive, read_whole
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["SweepConfig"]


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """Train every combination of ids, algorithms, hyperparameters and seeds; run the same command again to continue.

    Attributes:
        env: Environment ids.
        algo: Algorithms.
        seeds: Seeds.
        hyper: Grid of hyperparameters, each NAME=VALUE,VALUE, such as policy_kwargs.net_arch=[64,64],[128]; or
            written as --hyper.NAME VALUE,VALUE.
        grid: Grid of options of a training, each NAME=VALUE,VALUE, such as workers=1,2,4,8 or num_envs=16,64.
        search: Ranges that Optuna searches, each NAME=KIND:LOW..HIGH (float, log, int) or NAME=choice:A,B.
        trials: Points that Optuna tries for every id and algorithm.
        steps: Environment steps of a training; None: the preset's.
        env_kwargs: Any keyword of the environments: its name follows the point, as in --env.backend gazebo.
        runs: Episodes per evaluation.
        jobs: Trainings side by side; None: as many as there are processors for.
        address: HOST:PORT of a running Ray cluster, on whose machines the trainings run; None: this machine.
        worker_cpus: CPUs that Ray reserves for a worker of a training; a fraction lets several share a processor.
        out: Folder of the sweep.
    """

    env: tuple[str, ...] = ("MARA-v0",)
    algo: tuple[str, ...] = ("ppo",)
    seeds: tuple[int, ...] = (0, 1, 2)
    hyper: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    trials: int = 20
    steps: int | None = None
    env_kwargs: EnvKwargs = dataclasses.field(default_factory=dict)
    runs: int = 30
    jobs: int | None = None
    address: str | None = None
    worker_cpus: float = 1.0
    out: str = "runs/sweep"

    def __post_init__(self) -> None:
        """Check the values, before anything is trained."""
        for name in ("env", "algo", "seeds"):
            if not getattr(self, name):
                raise InvalidArgumentError(name, getattr(self, name), "at least one")
        if twice := {parse_range(text)[0] for text in self.search} & set(parse_grid(self.hyper)):
            raise InvalidArgumentError("search", sorted(twice), "hyperparameters that are not in the grid as well")
        for name, values in (("hyper", parse_grid(self.hyper)), ("grid", parse_options(self.grid))):
            if self.search and any(len(choices) > 1 for choices in values.values()):
                raise InvalidArgumentError(name, getattr(self, name), "one value each beside a search: NAME=VALUE")
        read_whole("trials", self.trials)
        if self.jobs is not None:
            read_whole("jobs", self.jobs)
        if self.address == "local":
            object.__setattr__(self, "address", None)
        read_positive("worker_cpus", self.worker_cpus)
        EvaluateConfig(runs=self.runs)
        _check_points(self)


def _check_points(config: SweepConfig) -> None:
    """Check that every training can start; the first value of a range stands for the whole range."""
    firsts = {name: found.values[:1] for name, found in map(parse_range, config.search)}
    hyper = list(make_grid({**parse_grid(config.hyper), **firsts}))
    grid = make_grid(parse_options(config.grid))
    for env, algo, options, values in itertools.product(config.env, config.algo, grid, hyper):
        trainings = [make_training(point, config) for point in list_seeds(config, env, algo, options, values, "")]
        check_hyperparameters(algo, resolve(trainings[0]).hyperparameters)  # the others differ by the seed alone
