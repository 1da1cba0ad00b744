"""The log of the algorithm: ``progress.csv`` and TensorBoard events. Rows are written at once, so a kill loses none."""

from __future__ import annotations

import importlib.util
import itertools
import os
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.logger import KVWriter, Logger, filter_excluded_keys

from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.writing import GrowingFile

__all__ = ["EventLog", "ProgressTable", "make_logger"]

SERIAL = itertools.count()
"""Numbers for the names of event files, as a process may begin several in the same second."""

Excluded = dict[str, tuple[str, ...]]
"""A dictionary from a recorded key to the formats, such as "csv", that leave it out."""


def make_logger(run: RunFolder, steps: int, pending: Mapping[str, Any]) -> Logger:
    """Return a logger that continues from a checkpoint. TensorBoard events are written if TensorBoard is installed.

    Args:
        run: The run.
        steps: Environment steps of the checkpoint; 0 for a new training.
        pending: Key → value recorded before the checkpoint, which belong to the first row after it.

    Raises:
        RunError: ``progress.csv`` is corrupt.
        WriteError: A file cannot be written.
    """
    outputs: list[KVWriter] = [ProgressTable(run, steps)]
    if importlib.util.find_spec("tensorboard") is not None:
        outputs.append(EventLog(run, steps))
    logger = Logger(str(run.path), outputs)
    for key, value in pending.items():
        logger.record(key, value)
    return logger


class ProgressTable(KVWriter):
    """``progress.csv``, with one row per iteration. Columns are sorted by name; new ones come after the existing ones."""

    def __init__(self, run: RunFolder, steps: int) -> None:
        """Open the file, and remove the rows after a checkpoint: the resumed training writes them again.

        Args:
            run: The run.
            steps: Environment steps of the checkpoint; 0 for a new training.

        Raises:
            RunError: The file is corrupt.
            WriteError: The file cannot be written.
        """
        self._path, self._columns = run.path / "progress.csv", list[str]()
        rows = [row for row in run.read_progress() if row["time/total_timesteps"] <= steps]
        for row in rows:
            self._add_columns(row)
        self._file = self._begin(_make_line(row, self._columns) for row in rows)

    def write(self, key_values: dict[str, Any], key_excluded: Excluded, step: int = 0) -> None:
        """Append a row. A row with new columns rewrites the file, as its header and the older rows become longer."""
        row = {key: value for key, value in filter_excluded_keys(key_values, key_excluded, "csv").items() if _is_number(value)}
        if added := self._add_columns(row):
            lines = self._path.read_text().splitlines()[1:]
            self._file = self._begin(f"{line}{',' * added}\n" for line in lines)
        self._file.write(_make_line(row, self._columns).encode())

    def close(self) -> None:
        """Do nothing, as every row is written already."""

    def _add_columns(self, row: Mapping[str, Any]) -> int:
        new = sorted(row.keys() - set(self._columns))
        self._columns += new
        return len(new)

    def _begin(self, lines: Iterable[str]) -> GrowingFile:
        header = f"{','.join(self._columns)}\n" if self._columns else ""
        return GrowingFile(self._path, "".join((header, *lines)).encode())


class EventLog(KVWriter):
    """A file of TensorBoard events. It tells TensorBoard to drop those events of older files that come after the checkpoint."""

    def __init__(self, run: RunFolder, steps: int) -> None:
        """Begin a file.

        Args:
            run: The run.
            steps: Environment steps of the checkpoint; 0 for a new training.

        Raises:
            WriteError: The file cannot be written.
        """
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(SERIAL)}"
        self._file = GrowingFile(run.path / name, b"")
        self._records = RecordWriter(self._file)
        # A session that starts at these steps is TensorBoard's sign to discard what older files hold beyond them.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(self._event(wall_time=time.time(), step=steps, file_version="brain.Event:2"))
        self._write(self._event(wall_time=time.time(), step=steps, session_log=start))

    def write(self, key_values: dict[str, Any], key_excluded: Excluded, step: int = 0) -> None:
        """Append an event with all recorded numbers."""
        row = filter_excluded_keys(key_values, key_excluded, "tensorboard")
        values = [self._summary.Value(tag=key, simple_value=value) for key, value in sorted(row.items()) if _is_number(value)]
        self._write(self._event(wall_time=time.time(), step=step, summary=self._summary(value=values)))

    def close(self) -> None:
        """Do nothing, as every event is written already."""

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)


def _make_line(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    return ",".join(str(row.get(column, "")) for column in columns) + "\n"
