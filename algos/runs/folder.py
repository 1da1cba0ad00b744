"""A run's folder: its files' names, and how they are read and written."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import errno
import fcntl
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from gym_gazebo2.algos.config import ResolvedConfig, from_json
from gym_gazebo2.algos.env_id import drop_module
from gym_gazebo2.algos.runs.json import to_json
from gym_gazebo2.algos.runs.writing import explaining, is_leftover, remove_leftovers, write_atomically
from gym_gazebo2.algos.settings.provenance import collect_provenance
from gym_gazebo2.errors import InvalidArgumentError, RunError, UnknownEnvError, UnknownNameError

__all__ = ["RunFolder"]


TAKEN = (errno.EAGAIN, errno.EACCES)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP)
"""Said by file systems that have no locks: nobody can be asked there."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Attributes:
        path: Where it is.
    """

    path: Path

    @classmethod
    def create(cls, config: ResolvedConfig) -> RunFolder:
        """Make the folder of a new run and write its configuration.

        Raises:
            RunError: The folder holds something already, or cannot be written to.
        """
        path = Path(config.out) if config.out is not None else _name_folder(config)
        if path.exists() and (not path.is_dir() or not all(map(is_leftover, path.iterdir()))):
            raise _make_taken(path)
        content = {"arguments": dataclasses.asdict(config), **collect_provenance()}
        try:
            write_atomically(path / "config.json", to_json(content), is_new=True)
        except RunError as error:
            if (path / "config.json").is_file():  # another process, which began at the same time, was faster
                raise _make_taken(path) from error
            raise
        return cls(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Open the folder of an existing run.

        Raises:
            RunError: There is no run.
        """
        run = cls(Path(path))
        if not (run.path / "config.json").is_file():
            raise RunError(f"{path} is no run folder: it has no config.json. Make one with: gym-gazebo2 train --out {path}")
        return run

    @property
    def model(self) -> Path:
        """The model that stood at the end of training."""
        return self.get_model("model")

    @property
    def best_model(self) -> Path:
        """The model that was best in the evaluations during training."""
        return self.get_model("best_model")

    def get_model(self, name: str) -> Path:
        """Return the path of a model: "model" or "best_model"."""
        return self.path / f"{name}.zip"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def then_resume(self) -> str:
        """What to do after a write that failed, besides making room."""
        return f"then go on with: gym-gazebo2 resume {self.path}"

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other trainings out of the folder for a while, and remove what killed ones left in the midst of writing.

        Raises:
            RunError: Another process trains in it, or it cannot be written to.
        """
        path = self.path / "config.json"
        with explaining(path, self.then_resume):
            stream = path.open("r+b")
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a process that dies gives it back
            except OSError as error:
                if error.errno in TAKEN:
                    raise RunError(f"Another process trains in {self.path}: wait until it ends, or end it.") from error
                if error.errno not in NO_LOCKS:
                    raise
            if not _is_still(path, stream):
                raise RunError(f"{path} was removed or replaced by another process just now. Give the same command again.")
            remove_leftovers(self.path)
            remove_leftovers(self.checkpoints)
            yield

    def read_config(self) -> ResolvedConfig:
        """Return the configuration of the run.

        Raises:
            RunError: ``config.json`` does not hold one.
            UnknownEnvError: Its environment id is not registered here.
        """
        path, content = self.path / "config.json", self.read_json("config.json", {"arguments": lambda x: isinstance(x, dict)})
        try:
            return from_json(content["arguments"])
        except UnknownEnvError:
            raise
        except (TypeError, InvalidArgumentError, UnknownNameError) as error:
            raise RunError(f"{path} is not the configuration of a run of this version: {error}") from error

    def read_json(self, name: str, fields: Mapping[str, Callable[[Any], bool]] | None = None) -> dict[str, Any]:
        """Return the contents of a JSON file of the run.

        Args:
            name: Name of the file.
            fields: Fields that it must have, and what must be true of each.

        Raises:
            RunError: The file is missing, no JSON object, or a field is missing or wrong.
        """
        path = self.path / name
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise RunError(
                f"{self.path} is incomplete: it has no {name}. Continue it with: gym-gazebo2 resume {self.path}"
            ) from error
        except (ValueError, OSError) as error:
            raise RunError(f"{path} is corrupt: {error}") from error
        if not isinstance(content, dict):
            raise RunError(f"{path} is corrupt: it holds {content!r:.40}, expected an object with fields.")
        for field, holds in (fields or {}).items():
            if field not in content:
                raise RunError(f"{path} is corrupt: it has no {field!r}. Its fields are: {', '.join(content) or 'none'}.")
            if not holds(content[field]):
                raise RunError(f"{path} is corrupt: its {field!r} cannot be {content[field]!r:.40}.")
        return content

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON file of the training.

        Raises:
            RunError: It cannot be written.
        """
        write_atomically(self.path / name, to_json(value), self.then_resume)

    def read_progress(self) -> list[dict[str, float]]:
        """Return the rows of ``progress.csv``, empty cells left out; a last line that was cut off is no row.

        Raises:
            RunError: It holds something else.
        """
        path = self.path / "progress.csv"
        if not path.is_file():
            return []
        try:
            whole, _, _ = path.read_text().rpartition("\n")
            rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(io.StringIO(whole))]
        except (ValueError, TypeError, csv.Error) as error:
            raise RunError(f"{path} is corrupt: {error}. Delete it; only the log is lost.") from error
        if not all("time/total_timesteps" in row for row in rows):
            raise RunError(f"{path} is corrupt: a row has no time/total_timesteps. Delete it; only the log is lost.")
        return rows


def _make_taken(path: Path) -> RunError:
    hint = f"continue it with: gym-gazebo2 resume {path}, or " if (path / "config.json").is_file() else ""
    return RunError(f"{path} exists already and is not empty: {hint}choose another folder with --out.")


def _is_still(path: Path, stream: IO[bytes]) -> bool:
    """Tell whether a path still names the file that was opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _name_folder(config: ResolvedConfig) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
    return Path("runs") / drop_module(config.env) / config.algo / f"{now}-seed{config.seed}"
