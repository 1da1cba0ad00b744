"""The folder of a run: the names of its files, and how they are read and written."""

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
from gym_gazebo2.algos.runs.json import is_number_or_none, to_json
from gym_gazebo2.algos.runs.robot import find_stored_robot
from gym_gazebo2.algos.runs.writing import (
    add_advice,
    check_writable,
    convert_os_errors,
    is_leftover,
    remove_leftovers,
    write_atomically,
)
from gym_gazebo2.algos.settings.provenance import collect_provenance
from gym_gazebo2.errors import InvalidArgumentError, RunError, UnknownEnvError, UnknownNameError, WriteError

__all__ = ["RunFolder"]


OTHER_OUT = "Or choose another folder with --out."
TARGET = {"time_to_target_s": is_number_or_none, "steps_to_target": is_number_or_none}
"""The fields of ``curve.json`` about the target of the training, and the check of each value."""
LOCKED = (errno.EAGAIN, errno.EACCES)
"""Error numbers of a lock that another process holds."""
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP)
"""Error numbers of file systems without locks, such as some network shares. There a second training cannot be detected."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Attributes:
        path: The folder.
    """

    path: Path

    @classmethod
    def create(cls, config: ResolvedConfig) -> RunFolder:
        """Make the folder of a new run and write its configuration.

        Raises:
            RunError: The folder is not empty.
            WriteError: The folder cannot be written to.
        """
        path = cls.check_new(config)
        content = {"arguments": config.to_fields(), **collect_provenance()}
        try:
            with add_advice(OTHER_OUT):
                write_atomically(path / "config.json", to_json(content), is_new=True)
        except WriteError as error:
            if (path / "config.json").is_file():  # another process made the folder since the check above
                raise _make_taken(path) from error
            raise
        return cls(path)

    @classmethod
    def check_new(cls, config: ResolvedConfig) -> Path:
        """Return the path of the folder of a new run, without making it.

        Raises:
            RunError: The folder is not empty.
            WriteError: The folder cannot be written to.
        """
        path = Path(config.out) if config.out is not None else _name_folder(config)
        if path.exists() and (not path.is_dir() or not all(map(is_leftover, path.iterdir()))):
            raise _make_taken(path)
        with add_advice(OTHER_OUT):
            check_writable(path / "config.json")
        return path

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Open the folder of an existing run.

        Raises:
            RunError: The folder holds no run.
        """
        run = cls(Path(path))
        if not (run.path / "config.json").is_file():
            raise RunError(
                f"'{path}' is not a run folder: it has no config.json. Make one with: gym-gazebo2 train --out {path}"
            )
        return run

    @property
    def model(self) -> Path:
        """The model at the end of training. Its presence says that the run is finished."""
        return self.get_model("model")

    @property
    def best_model(self) -> Path:
        """The model with the best evaluation during training."""
        return self.get_model("best_model")

    def get_model(self, name: str) -> Path:
        """Return the path of a model: "model" or "best_model"."""
        return self.path / f"{name}.zip"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def write_config(self, config: ResolvedConfig) -> None:
        """Replace the arguments in ``config.json``. Versions, commit and machine stay those with which the run began.

        The lock of ``hold`` is a lock on this file, and a new file ends it. So leave the ``hold`` block right after this call.

        Raises:
            RunError: ``config.json`` holds no configuration.
            WriteError: The file cannot be written.
        """
        _, content = self.read_description()
        self.write_json("config.json", {**content, "arguments": config.to_fields()})

    def set_aside(self, steps: int) -> None:
        """Rename the finished model and its evaluation to names with the number of steps, as the training goes on.

        Args:
            steps: Environment steps after which the model was saved.

        Raises:
            WriteError: A file cannot be renamed.
        """
        for path in (self.path / "evaluation.json", self.model):  # the model last: with it the run counts as finished
            with convert_os_errors(path), contextlib.suppress(FileNotFoundError):
                path.rename(path.with_stem(f"{path.stem}_{steps}"))

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Lock the folder for one training, and remove the temporary files of killed ones.

        Every ``WriteError`` that is raised inside ends with the command that continues the run.

        Raises:
            RunError: Another process trains in the folder.
            WriteError: The folder cannot be written to.
        """
        with add_advice(f"Then continue with: gym-gazebo2 resume {self.path}"), self._lock():
            remove_leftovers(self.path)
            remove_leftovers(self.checkpoints)
            yield

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        path = self.path / "config.json"
        with convert_os_errors(path):
            stream = path.open("r+b")
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel releases it if the process dies
            except OSError as error:
                if error.errno in LOCKED:
                    raise RunError(f"Another process trains in {self.path}. Wait until it ends, or end it.") from error
                if error.errno not in NO_LOCKS:
                    raise
            if not _is_same_file(path, stream):
                raise RunError(f"{path} was removed or replaced by another process just now. Run the command again.")
            yield

    def read_config(self) -> ResolvedConfig:
        """Return the configuration of the run; see ``read_description`` for the errors."""
        return self.read_description()[0]

    def read_description(self) -> tuple[ResolvedConfig, dict[str, Any]]:
        """Return the configuration of the run, and the whole ``config.json``, which also names versions, commit and machine.

        Raises:
            RunError: ``config.json`` holds no configuration.
            UnknownEnvError: The environment id of the configuration is not registered here.
        """
        content = self.read_json("config.json", {"arguments": lambda value: isinstance(value, dict)})
        try:
            config = dataclasses.replace(from_json(content["arguments"]), stored_robot=find_stored_robot(self.path))
            return config, content
        except UnknownEnvError:
            raise
        except (TypeError, InvalidArgumentError, UnknownNameError) as error:
            path = self.path / "config.json"
            raise RunError(f"{path} is not the configuration of a run of this version: {error}") from error

    def read_target(self) -> tuple[float, int] | None:
        """Return the wall time [s] and the steps at which the training first met its target; None if it has not.

        Raises:
            RunError: The file that holds them is corrupt.
        """
        for name in ("curve.json", "training.json"):  # versions before 0.1.0 wrote them to training.json
            if (self.path / name).is_file() and TARGET.keys() <= (content := self.read_json(name)).keys():
                self._check_fields(name, content, TARGET)
                time_s, steps = (content[field] for field in TARGET)
                return None if time_s is None or steps is None else (float(time_s), int(steps))
        return None

    def read_json(self, name: str, fields: Mapping[str, Callable[[Any], bool]] | None = None) -> dict[str, Any]:
        """Return the contents of a JSON file of the run.

        Args:
            name: Name of the file.
            fields: A dictionary from each required field to the check of its value.

        Raises:
            RunError: The file is missing or not a JSON object, or a field is missing or wrong.
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
        self._check_fields(name, content, fields or {})
        return content

    def _check_fields(self, name: str, content: Mapping[str, Any], fields: Mapping[str, Callable[[Any], bool]]) -> None:
        path = self.path / name
        for field, holds in fields.items():
            if field not in content:
                raise RunError(f"{path} is corrupt: it has no {field!r}. Its fields are: {', '.join(content) or 'none'}.")
            if not holds(content[field]):
                raise RunError(f"{path} is corrupt: its {field!r} is {content[field]!r:.40}, which is not valid.")

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON file of the training.

        Raises:
            WriteError: The file cannot be written.
        """
        write_atomically(self.path / name, to_json(value))

    def read_progress(self) -> list[dict[str, float]]:
        """Return the rows of ``progress.csv`` without empty cells. An incomplete last line, of a killed process, is ignored.

        Raises:
            RunError: The file is corrupt.
        """
        path = self.path / "progress.csv"
        if not path.is_file():
            return []
        try:
            whole, _, _ = path.read_text().rpartition("\n")
            rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(io.StringIO(whole))]
        except (ValueError, TypeError, csv.Error) as error:
            raise RunError(f"{path} is corrupt: {error}. Delete the file: only the log is lost.") from error
        if not all("time/total_timesteps" in row for row in rows):
            raise RunError(f"{path} is corrupt: a row has no time/total_timesteps. Delete the file: only the log is lost.")
        return rows


def _make_taken(path: Path) -> RunError:
    hint = f"continue it with: gym-gazebo2 resume {path}, or " if (path / "config.json").is_file() else ""
    return RunError(f"{path} exists already and is not empty: {hint}choose another folder with --out.")


def _is_same_file(path: Path, stream: IO[bytes]) -> bool:
    """Return whether a path still names the file that was opened. A lock on a file that was replaced protects nothing."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _name_folder(config: ResolvedConfig) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
    return Path("runs") / drop_module(config.env) / config.algo / f"{now}-seed{config.seed}"
