"""``machines.json``: which machines a run or a sweep held, from when to when, and what that costs.

A run holds the machine of its learner and those of its workers, from the start of the command to its end. Two runs on one
machine at the same time hold it once: the times of several runs are merged per machine.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.runs.json import to_json
from gym_gazebo2.algos.runs.writing import write_atomically
from gym_gazebo2.algos.settings.prices import get_price
from gym_gazebo2.errors import RunError

__all__ = ["FILE_NAME", "Holding", "MachineLog", "compute_cost", "count_hours", "merge_holdings", "read_holdings"]

FILE_NAME = "machines.json"
HOUR_S = 3600.0


@dataclasses.dataclass(frozen=True)
class Holding:
    """The time for which a machine was held.

    Attributes:
        host: Name of the machine.
        type: Its type, such as the node group of a Ray cluster; empty where it has none.
        since: Beginning [s since 1970].
        until: End [s since 1970].
    """

    host: str
    type: str
    since: float
    until: float


class MachineLog:
    """Adds the machines of this session to those of earlier ones."""

    def __init__(self, folder: Path, held_s: float = 0.0) -> None:
        """Begin a session.

        Args:
            folder: Folder of the run or of the sweep.
            held_s: Time for which the session's machines have been held already [s].

        Raises:
            RunError: The file of earlier sessions is corrupt.
        """
        self._path = folder / FILE_NAME
        self._earlier, self._session = read_holdings(folder), list[Holding]()
        # Changes of the system's clock during a session do not count.
        self._offset = time.time() - time.monotonic()
        self._noted = time.monotonic() - held_s

    def note(self, machines: Mapping[str, str]) -> None:
        """Note which machines were held since the last note.

        Args:
            machines: Name → type.
        """
        since, until = self._noted + self._offset, time.monotonic() + self._offset
        self._noted = until - self._offset
        for host, kind in machines.items():
            self._session.append(Holding(host, kind, since, until))
        self._session = merge_holdings(self._session)

    def write(self, prices: Mapping[str, float] | None) -> None:
        """Write the file, with the sums.

        Args:
            prices: Type of machine → price per hour; None: unknown.

        Raises:
            WriteError: The file cannot be written.
        """
        held = merge_holdings([*self._earlier, *self._session])
        content = {
            "held": [dataclasses.asdict(holding) for holding in held],
            "machine_hours": count_hours(held),
            "price_per_hour": None if prices is None else dict(prices),
            "cost": compute_cost(held, prices),
        }
        write_atomically(self._path, to_json(content))


def read_holdings(folder: Path) -> list[Holding]:
    """Return the times of a run or a sweep; empty where there is no file.

    Raises:
        RunError: The file is corrupt.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    try:
        return [_read(entry) for entry in json.loads(path.read_text())["held"]]
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise RunError(f"{path} is corrupt: {error!r}. Delete the file: only the record of the costs is lost.") from error


def merge_holdings(holdings: Iterable[Holding]) -> list[Holding]:
    """Return the same times with each moment of a machine counted once, in order of machine and time."""
    merged: list[Holding] = []
    for holding in sorted(holdings, key=lambda one: (one.host, one.since)):
        last = merged[-1] if merged else None
        # Tolerance of 1 ms: two successive notes of one session touch, but large numbers are rounded.
        if last is not None and last.host == holding.host and holding.since <= last.until + 1e-3:
            kind = last.type or holding.type
            merged[-1] = Holding(last.host, kind, last.since, max(last.until, holding.until))
        else:
            merged.append(holding)
    return merged


def count_hours(holdings: Iterable[Holding]) -> float:
    """Return machine-hours."""
    return sum(holding.until - holding.since for holding in holdings) / HOUR_S


def compute_cost(holdings: Iterable[Holding], prices: Mapping[str, float] | None) -> float | None:
    """Return the money for some times; None where a machine has no price.

    Args:
        holdings: The times.
        prices: Type or name of a machine → price per hour, as of ``settings.prices``.
    """
    total = 0.0
    for holding in holdings:
        price = get_price(prices, holding.type, holding.host)
        if price is None:
            return None
        total += price * count_hours([holding])
    return total


def _read(entry: Any) -> Holding:
    """Return an entry of the file.

    Raises:
        ValueError: Its end is before its beginning.
    """
    holding = Holding(str(entry["host"]), str(entry["type"]), float(entry["since"]), float(entry["until"]))
    if not holding.since <= holding.until:
        raise ValueError(f"{entry!r:.80} ends before it begins")
    return holding
