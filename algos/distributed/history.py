"""``workers.json``: who stepped the environments of a run, what each did, and what was lost; one entry per session."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from gym_gazebo2.algos.distributed.places import WorkerStatus
from gym_gazebo2.algos.runs.folder import RunFolder

__all__ = ["FILE_NAME", "WorkerHistory", "read_sessions"]

FILE_NAME = "workers.json"


class WorkerHistory:
    """Writes the file; a training that is resumed adds a session to it."""

    def __init__(self, run: RunFolder) -> None:
        """Read the earlier sessions.

        Args:
            run: The run.

        Raises:
            RunError: The file is corrupt.
        """
        self._run, self._earlier = run, read_sessions(run)

    def write(self, workers: Sequence[WorkerStatus]) -> None:
        """Write the state of the workers; nothing where there are none.

        Raises:
            WriteError: The file cannot be written.
        """
        if workers:
            session = {"workers": [dataclasses.asdict(worker) for worker in workers]}
            self._run.write_json(FILE_NAME, {"sessions": [*self._earlier, session]})


def read_sessions(run: RunFolder) -> list[dict[str, Any]]:
    """Return the sessions of a run; empty where no worker took part.

    Raises:
        RunError: The file is corrupt.
    """
    if not (run.path / FILE_NAME).is_file():
        return []
    return run.read_json(FILE_NAME, {"sessions": _are_sessions})["sessions"]


def _are_sessions(value: Any) -> bool:
    """Return whether a value is a list of sessions with all that is known of each worker."""
    names = {field.name for field in dataclasses.fields(WorkerStatus)} - {"recent_speed"}  # older files lack it
    try:
        return all(names <= worker.keys() for session in value for worker in session["workers"])
    except (TypeError, KeyError, AttributeError):
        return False
