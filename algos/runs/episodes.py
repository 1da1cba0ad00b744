"""The file ``episodes.csv`` of a run: one row per episode of the training, written when it ends, and read by reports.

Columns: steps, wall_s, reward, length, the task's measures [SI units], success. Versions before 0.1.0 had the column
"error_mm" in place of the measures. Files of that version can be read, and are converted when their run is resumed.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.measures import to_si
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.writing import GrowingFile
from gym_gazebo2.errors import RunError

__all__ = ["FILE_NAME", "EpisodeLog", "EpisodeTable", "read_episodes"]

FILE_NAME = "episodes.csv"
FIRST, LAST = ("steps", "wall_s", "reward", "length"), ("success",)
"""Names of the columns before and after the measures."""
REMEDY = "Delete the file; the run's other files do not need it."
"""Last sentence of the errors about a corrupt file."""


@dataclasses.dataclass(frozen=True)
class EpisodeTable:
    """The n episodes of a training, in the order in which they ended.

    Attributes:
        steps: (n,) environment steps of the training, over all arms, when the episode ended.
        wall_s: (n,) wall time of the training when the episode ended [s].
        reward: (n,) sums of rewards.
        length: (n,) numbers of steps.
        success: (n,) 1 if the last state was a success, else 0; NaN if the environment does not report success.
        measures: Name → (n,) the task's measure at the last state [SI units].
    """

    steps: NDArray[np.float64]
    wall_s: NDArray[np.float64]
    reward: NDArray[np.float64]
    length: NDArray[np.float64]
    success: NDArray[np.float64]
    measures: Mapping[str, NDArray[np.float64]]

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.steps)


class EpisodeLog:
    """Appends a run's episodes to its file. A step in which no episode ends costs one test of an array."""

    def __init__(self, run: RunFolder, steps: int, measures: Sequence[str] = ()) -> None:
        """Open the file, and drop the episodes after a checkpoint: the resumed training runs them again.

        Args:
            run: The run.
            steps: Environment steps of the checkpoint; 0 for a new training.
            measures: Names of the task's measures.

        Raises:
            RunError: The folder cannot be written to, or the file is corrupt.
        """
        # The file is rewritten as a whole, with the kept lines; from then on it only grows.
        path, self._measures = run.path / FILE_NAME, tuple(measures)
        header = ",".join((*FIRST, *self._measures, *LAST)) + "\n"
        kept = [line for line in _read_rows(path, header) if _get_steps(path, line) <= steps]
        self._file = GrowingFile(path, "".join((header, *kept)).encode())
        self._pending: list[str] = []

    def collect(self, dones: NDArray[np.bool_], infos: Sequence[Mapping[str, Any]], steps: int, wall_s: float) -> None:
        """Collect the episodes that ended with this step. Episodes without "episode" in their info do not count.

        Args:
            dones: (n,) arms whose episode ended.
            infos: The arms' infos, in stable-baselines3's form.
            steps: Environment steps so far, over all arms.
            wall_s: Wall time of the training so far [s].
        """
        for info in (infos[i] for i in np.flatnonzero(dones).tolist() if "episode" in infos[i]):
            # "episode" is SB3's summary of a whole episode; NaN stands for values that the environment does not report.
            measured = "".join(f"{info.get(name, math.nan):.6g}," for name in self._measures)
            success = int(info["is_success"]) if "is_success" in info else math.nan
            reward, length = info["episode"]["r"], info["episode"]["l"]
            self._pending.append(f"{steps},{wall_s:.3f},{reward:.6g},{length},{measured}{success}\n")

    def flush(self) -> None:
        """Write the collected episodes to the file.

        Raises:
            RunError: The file cannot be written to.
        """
        if not self._pending:
            return
        content, self._pending = "".join(self._pending).encode(), []
        self._file.write(content)

    def close(self) -> None:
        """Write the remaining episodes. Closing twice is fine."""
        self.flush()


def read_episodes(folder: Path) -> EpisodeTable:
    """Return the episodes of a run. An incomplete last line, as after a crash, is ignored.

    Args:
        folder: The run's folder. If it has no such file, the table is empty.

    Raises:
        RunError: The file is corrupt.
    """
    path = folder / FILE_NAME
    columns = _read_columns(path)
    fixed = {name: columns.pop(name) for name in (*FIRST, *LAST)}
    return EpisodeTable(**fixed, measures=columns)


def _read_columns(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the columns by name, measures in SI units."""
    header, lines = _read_lines(path)
    names = header.strip().split(",") if header else [*FIRST, *LAST]
    try:
        rows = np.loadtxt(io.StringIO("".join(lines)), delimiter=",", ndmin=2) if lines else np.empty((0, len(names)))
        columns = to_si(dict(zip(names, rows.T, strict=True)))
    except ValueError as error:
        raise RunError(f"{path} is corrupt: {error}. {REMEDY}") from error
    if missing := {*FIRST, *LAST} - columns.keys():
        raise RunError(f"{path} is corrupt: it has no column {sorted(missing)[0]!r}. {REMEDY}")
    return columns


def _read_rows(path: Path, header: str) -> list[str]:
    """Return the lines of a file with the columns of a header. A file of a version before 0.1.0 is converted."""
    found, lines = _read_lines(path)
    if not lines or found == header:
        return lines
    # Columns that the file does not have become NaN.
    columns = _read_columns(path)
    unknown = np.full(len(lines), np.nan)
    table = np.column_stack([columns.get(name, unknown) for name in header.strip().split(",")])
    return [",".join(f"{value:.12g}" for value in row) + "\n" for row in table.tolist()]


def _read_lines(path: Path) -> tuple[str, list[str]]:
    """Return the header and the complete lines after it; both are empty if there is no file."""
    if not path.is_file():
        return "", []
    # A process that is killed while it writes leaves a line without its newline, which is dropped here.
    whole, newline, _ = path.read_text(encoding="ascii", errors="replace").rpartition("\n")
    header, *lines = (whole + newline).splitlines(keepends=True) or [""]
    return header, lines


def _get_steps(path: Path, line: str) -> int:
    try:
        return int(line.partition(",")[0])
    except ValueError as error:
        raise RunError(f"{path} is corrupt: the line {line.strip()!r} is not an episode. {REMEDY}") from error
