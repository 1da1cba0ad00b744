"""A run's folder: its files' names, and writing that is whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.config import ResolvedConfig, collect_provenance, from_json
from gym_gazebo2.errors import InvalidArgumentError, RunError

__all__ = ["RunFolder", "write_atomically"]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file through a temporary neighbour, so that a reader sees the old or the new one, never a part.

    Raises:
        RunError: The folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise RunError(f"Cannot write {path}: {error.strerror or error}. Choose another folder with --out.") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o644)  # mkstemp's own mode would hide a model from a deployment's account
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


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
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            hint = f"continue it with: gym-gazebo2 resume {path}, or " if (path / "config.json").is_file() else ""
            raise RunError(f"{path} exists already and is not empty: {hint}choose another folder with --out.")
        run = cls(path)
        run.write_json("config.json", {"arguments": dataclasses.asdict(config), **collect_provenance()})
        return run

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
        return self.path / "model.zip"

    @property
    def best_model(self) -> Path:
        """The model that was best in the evaluations during training."""
        return self.path / "best_model.zip"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def read_config(self) -> ResolvedConfig:
        """Return the configuration of the run.

        Raises:
            RunError: ``config.json`` does not hold one.
        """
        try:
            return from_json(self.read_json("config.json")["arguments"])
        except (KeyError, TypeError, InvalidArgumentError) as error:
            raise RunError(f"{self.path / 'config.json'} is not the configuration of a run: {error}") from error

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the contents of a JSON file of the run.

        Raises:
            RunError: The file is missing or no JSON.
        """
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError as error:
            raise RunError(
                f"{self.path} is incomplete: it has no {name}. Continue it with: gym-gazebo2 resume {self.path}"
            ) from error
        except json.JSONDecodeError as error:
            raise RunError(f"{self.path / name} is corrupt: {error}") from error

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON file of the run."""
        write_atomically(self.path / name, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())

    def read_progress(self) -> list[dict[str, float]]:
        """Return the rows of ``progress.csv``, empty cells left out; a last line that was cut off is no row."""
        path = self.path / "progress.csv"
        if not path.is_file():
            return []
        whole, _, _ = path.read_text().rpartition("\n")
        rows = csv.DictReader(io.StringIO(whole))
        return [{key: float(value) for key, value in row.items() if value} for row in rows]


def _name_folder(config: ResolvedConfig) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
    return Path("runs") / config.env / config.algo / f"{now}-seed{config.seed}"
