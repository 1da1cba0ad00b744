"""The points of a sweep: a grid of hyperparameters, or ranges that Optuna searches."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.runs.writing import convert_os_errors
from gym_gazebo2.algos.settings.paper_names import explain_paper_name
from gym_gazebo2.algos.settings.values import parse_value, split_assignment, split_list
from gym_gazebo2.algos.sweep.results import OTHER_OUT, check_same
from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, UnknownNameError

__all__ = ["OPTIONS", "Range", "Search", "make_grid", "parse_grid", "parse_options", "parse_range"]

KINDS = ("float", "log", "int", "choice")
GRID = "NAME=VALUE,VALUE"
OPTIONS = ("workers", "shards", "num_envs", "num_layers", "num_hidden", "layer_norm", "activation", "normalize", "preset")
"""Options of a training, by field of ``TrainConfig``, that can be an axis of a grid."""
RANGE = f"NAME=KIND:LOW..HIGH or NAME=choice:A,B; the kinds are {', '.join(KINDS)}"


@dataclasses.dataclass(frozen=True)
class Range:
    """The range that Optuna searches for a hyperparameter.

    Attributes:
        kind: "float", "log" (uniform in the logarithm), "int" or "choice".
        values: Lower and upper end, or the choices, plain values.
    """

    kind: str
    values: tuple[Any, ...]


def parse_grid(texts: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Return hyperparameters and their values, from texts such as "n_epochs=5,10".

    Args:
        texts: Each a key, with points between the parts of a nested one, and values in the grammar of
            ``settings.values``, separated by commas.

    Raises:
        InvalidArgumentError: A text has another form.
    """
    pairs = (split_assignment(text, "hyper", GRID) for text in texts)
    return {name: _parse_list("hyper", name, text, GRID) for name, text in pairs}


def parse_options(texts: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Return options of a training and their values, from texts such as "workers=1,2,4,8".

    Raises:
        InvalidArgumentError: A text has another form, or a name is the 2019 paper's.
        UnknownNameError: An option cannot be an axis of a grid.
    """
    pairs = dict(split_assignment(text, "grid", GRID) for text in texts)
    for name in pairs:
        if name not in OPTIONS:
            if sentence := explain_paper_name(name):
                raise InvalidArgumentError("grid", name, sentence=sentence)
            raise UnknownNameError("option for --grid", name, OPTIONS, "For a hyperparameter, use --hyper.")
    return {name: _parse_list("grid", name, text, GRID) for name, text in pairs.items()}


def parse_range(text: str) -> tuple[str, Range]:
    """Return a hyperparameter and its range, from "name=log:1e-5..1e-2", "name=int:3..20" or "name=choice:800,1600".

    Raises:
        InvalidArgumentError: The text has another form.
    """
    name, value = split_assignment(text, "search", RANGE)
    kind, _, rest = value.partition(":")
    if kind == "choice":
        return name, Range(kind, _parse_list("search", name, rest, RANGE))
    ends = tuple(parse_value(part, name) for part in rest.split(".."))
    types = int if kind == "int" else int | float
    is_span = len(ends) == 2 and all(isinstance(end, types) for end in ends) and ends[0] < ends[1]
    if kind not in KINDS or not is_span or (kind == "log" and ends[0] <= 0):
        raise InvalidArgumentError("search", text, RANGE)
    return name, Range(kind, ends)


def _parse_list(option: str, name: str, text: str, form: str) -> tuple[Any, ...]:
    parts = split_list(text)
    if not all(part.strip() for part in parts):
        raise InvalidArgumentError(option, f"{name}={text}", form)
    return tuple(parse_value(part, name) for part in parts)


def make_grid(values: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Return every combination, the last name fastest."""
    for point in itertools.product(*values.values()):
        yield dict(zip(values, point, strict=True))


class Search:
    """An Optuna study in a file, which continues where it was stopped."""

    def __init__(self, path: Path, ranges: Mapping[str, Range], seed: int) -> None:
        """Open or make the study.

        Args:
            path: Its journal.
            ranges: Hyperparameter → range.
            seed: Seed of the sampler.

        Raises:
            MissingDependencyError: Optuna is not installed.
            RunError: The journal cannot be written.
        """
        try:
            import optuna
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise MissingDependencyError("optuna", "sweep") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler, self._path = optuna.samplers.TPESampler(seed=seed, constant_liar=True), path
        with convert_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
            self._study = optuna.create_study(storage=storage, study_name="sweep", sampler=sampler, load_if_exists=True)
        self._states = optuna.trial.TrialState
        self._distributions = {name: _make_distribution(optuna.distributions, given) for name, given in ranges.items()}

    def check_asked(self, asked: Mapping[str, Any]) -> None:
        """Store the settings of the search, or check that they are those of the stored study.

        Args:
            asked: Settings that trials depend on, as plain values.

        Raises:
            RunError: The study has other settings, or cannot be written.
        """
        plain, stored = json.loads(json.dumps(dict(asked))), self._study.user_attrs
        check_same(self._path, stored, plain, OTHER_OUT)
        with convert_os_errors(self._path):
            for name in plain.keys() - stored.keys():
                self._study.set_user_attr(name, plain[name])

    def get_done(self) -> list[tuple[int, dict[str, Any]]]:
        """Return number and hyperparameters of the trials that have a result."""
        return self._list(self._states.COMPLETE)

    def get_tried(self) -> list[tuple[int, dict[str, Any]]]:
        """Return number and hyperparameters of the trials that have a result or failed."""
        return self._list(self._states.COMPLETE, self._states.FAIL)

    def get_open(self) -> list[tuple[int, dict[str, Any]]]:
        """Return number and hyperparameters of the trials that were started and have no result."""
        return self._list(self._states.RUNNING)

    def take(self, count: int) -> list[tuple[int, dict[str, Any]]]:
        """Return number and hyperparameters of so many trials: first those that were started and have no result."""
        trials = self.get_open()[:count]
        return trials + [self.ask() for _ in range(count - len(trials))]

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Return number and hyperparameters of a new trial."""
        with convert_os_errors(self._path):
            trial = self._study.ask(self._distributions)
        return trial.number, _decode(trial.params)

    def tell(self, number: int, value: float | None) -> None:
        """Store the value of a trial; less is better. None marks it as failed."""
        with convert_os_errors(self._path):
            self._study.tell(number, value, self._states.FAIL if value is None else None)

    def get_best(self) -> tuple[int, dict[str, Any], float]:
        """Return number, hyperparameters and value of the best trial."""
        best = self._study.best_trial
        return best.number, _decode(best.params), float(best.values[0])

    def _list(self, *states: Any) -> list[tuple[int, dict[str, Any]]]:
        trials = self._study.get_trials(deepcopy=False, states=states)
        return [(trial.number, _decode(trial.params)) for trial in trials]


def _make_distribution(distributions: Any, given: Range) -> Any:
    if given.kind == "choice":
        # Optuna's journal stores numbers, Booleans, None and text alone, so a list or a dictionary is kept as JSON text.
        return distributions.CategoricalDistribution(
            [json.dumps(value) if isinstance(value, list | dict) else value for value in given.values]
        )
    if given.kind == "int":
        return distributions.IntDistribution(*given.values)
    return distributions.FloatDistribution(*given.values, log=given.kind == "log")


def _decode(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's hyperparameters, lists and dictionaries from their JSON text."""
    return {name: json.loads(value) if str(value).startswith(("[", "{")) else value for name, value in params.items()}
