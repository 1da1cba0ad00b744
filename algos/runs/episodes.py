"""Every episode of a training, a row each in ``episodes.csv``: written as it ends, read by the reports."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.writing import GrowingFile
from gym_gazebo2.errors import RunError

__all__ = ["FILE_NAME", "EpisodeLog", "EpisodeTable", "read_episodes"]

FILE_NAME = "episodes.csv"


@dataclasses.dataclass(frozen=True)
class EpisodeTable:
    """The n episodes of a training, in the order in which they ended. The fields are the columns of the file.

    Attributes:
        steps: (n,) environment steps, over all arms, when it ended.
        wall_s: (n,) wall time of the training then [s].
        reward: (n,) sums of rewards.
        length: (n,) steps of the episode.
        error_mm: (n,) distance from tool to goal at its last state [mm]; NaN where the environment tells none.
        success: (n,) 1 where its last state was a success, else 0.
    """

    steps: NDArray[np.float64]
    wall_s: NDArray[np.float64]
    reward: NDArray[np.float64]
    length: NDArray[np.float64]
    error_mm: NDArray[np.float64]
    success: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.steps)


COLUMNS = tuple(field.name for field in dataclasses.fields(EpisodeTable))
HEADER = ",".join(COLUMNS) + "\n"


class EpisodeLog:
    """Appends a run's episodes to its file: a step without an episode's end costs one look at an array."""

    def __init__(self, run: RunFolder, steps: int) -> None:
        """Open the file, and forget the episodes after a checkpoint, so that a resumed curve has no doubles.

        Args:
            run: The run.
            steps: Environment steps of the checkpoint; 0 for a new training.

        Raises:
            RunError: The folder cannot be written to, or the file is no table of episodes.
        """
        path = run.path / FILE_NAME
        kept = [line for line in _read_lines(path) if _get_steps(path, line) <= steps]
        self._file = GrowingFile(path, "".join((HEADER, *kept)).encode())
        self._pending: list[str] = []

    def collect(self, dones: NDArray[np.bool_], infos: Sequence[Mapping[str, Any]], steps: int, wall_s: float) -> None:
        """Take the episodes that ended with this step; one that a simulator's restart cut short has no "episode" in its info.

        Args:
            dones: (n,) arms whose episode ended.
            infos: The arms' infos, in stable-baselines3's form.
            steps: Environment steps so far, over all arms.
            wall_s: Wall time of the training so far [s].
        """
        for info in (infos[i] for i in np.flatnonzero(dones).tolist() if "episode" in infos[i]):
            error_mm, success = 1e3 * info.get("position_error", math.nan), int(info.get("is_success", False))
            reward, length = info["episode"]["r"], info["episode"]["l"]
            self._pending.append(f"{steps},{wall_s:.3f},{reward:.6g},{length},{error_mm:.5g},{success}\n")

    def flush(self) -> None:
        """Hand the episodes collected to the operating system.

        Raises:
            RunError: The file cannot be written to.
        """
        if not self._pending:
            return
        content, self._pending = "".join(self._pending).encode(), []
        self._file.write(content)

    def close(self) -> None:
        """Hand over what is left; closing twice is fine."""
        self.flush()


def read_episodes(folder: Path) -> EpisodeTable:
    """Return the episodes of a run; a last line that was cut off is none.

    Args:
        folder: The run's folder; without the file, as older runs are, the table is empty.

    Raises:
        RunError: The file is no table of episodes.
    """
    path = folder / FILE_NAME
    lines = _read_lines(path)
    try:
        rows = np.loadtxt(io.StringIO("".join(lines)), delimiter=",", ndmin=2) if lines else np.empty((0, len(COLUMNS)))
        return EpisodeTable(**dict(zip(COLUMNS, rows.T, strict=True)))
    except ValueError as error:
        raise RunError(f"{path} is corrupt: {error}. Delete it; the run's other files do without.") from error


def _read_lines(path: Path) -> list[str]:
    """Return the whole lines after the header."""
    if not path.is_file():
        return []
    whole, newline, _ = path.read_text(encoding="ascii", errors="replace").rpartition("\n")
    return (whole + newline).splitlines(keepends=True)[1:]


def _get_steps(path: Path, line: str) -> int:
    try:
        return int(line.partition(",")[0])
    except ValueError as error:
        raise RunError(
            f"{path} is corrupt: {line.strip()!r} is no episode. Delete it; the run's other files do without."
        ) from error
