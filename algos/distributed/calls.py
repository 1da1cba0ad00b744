"""Calls functions on the machines of a cluster: as many in parallel as fit. A call whose machine is lost is repeated.

The files of a call are sent back while it runs, so nodes and driver need no common file system. A call that is lost starts
again on another machine, from the files that were received last: a training continues from its newest checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.distributed.host import Host, Look
from gym_gazebo2.algos.distributed.node_types import list_types
from gym_gazebo2.algos.distributed.session import check_imported, import_ray
from gym_gazebo2.algos.processes import ChildKilledError
from gym_gazebo2.algos.runs.transfer import read_files, write_changes
from gym_gazebo2.algos.settings.provenance import collect_versions
from gym_gazebo2.errors import BackendError, MissingDependencyError, UnknownEnvError, WorkerError, WriteError
from gym_gazebo2.output import BestEffortStream

__all__ = ["Call", "Calls"]

POLL_S = 0.5
"""Longest wait for reports before deadlines are checked [s]."""
START_TIMEOUT_S = 180.0
"""Longest time for a machine to start a process [s]. The machine may be busy, or may have to download an image first."""
LOOK_TIMEOUT_S = 120.0
"""Longest time without a report [s]. A machine that is cut off is known to be lost after about a minute."""
ROOM_TIMEOUT_S = 600.0
"""Longest wait for CPUs if the cluster has become too small for the next call [s]."""
CLOSE_TIMEOUT_S = 20.0
"""Longest wait for a busy machine to remove the files of a call [s]. The next call there removes what is left."""
END_TIMEOUT_S = 60.0
"""Longest wait for calls to save, when they are asked to end [s]."""
OF_MACHINE = (UnknownEnvError, WriteError, MissingDependencyError, BackendError, OSError)
"""Errors that another machine might not have."""
ATTEMPTS = 4
"""A call is given up after it was lost this many times."""


@dataclasses.dataclass(frozen=True)
class Call:
    """A function to call on a machine of the cluster.

    Attributes:
        function: Called there with a folder and the address of the cluster. It and its result can be pickled.
        folder: Folder on this machine. The function gets copies of its files, and the files that the function makes come back
            to it.
        cpus: CPUs that it needs.
        has_workers: Whether the call starts workers that reserve these CPUs. Then its own process reserves none.
    """

    function: Callable[[Path, str], Any]
    folder: Path
    cpus: float = 1.0
    has_workers: bool = False


class _LostError(Exception):
    """A call was lost with its machine, or with its process there."""


class _Running:
    """A call that has been given to an actor."""

    def __init__(self, call: Call, actor: Any, ref: Any) -> None:
        self.call, self.actor, self.ref = call, actor, ref
        self.host, self.type, self.since, self.is_started = "", "", time.monotonic(), False

    def wait_for(self, ref: Any) -> None:
        self.ref, self.since = ref, time.monotonic()

    @property
    def is_overdue(self) -> bool:
        return time.monotonic() - self.since > (LOOK_TIMEOUT_S if self.is_started else START_TIMEOUT_S)


class Calls:
    """Performs calls. Ray is connected."""

    def __init__(self, jobs: int | None = None, note: Callable[[Mapping[str, str]], None] = lambda machines: None) -> None:
        """Begin without calls.

        Args:
            jobs: Most calls at the same time; None: as many as the cluster has CPUs for.
            note: Called with the names and types of the machines on which calls run, each time before this set changes.
        """
        self._ray, self._jobs, self._note = import_ray(), jobs, note
        self._running: list[_Running] = []
        self._attempts: dict[Path, int] = {}
        self._waiting_since: float | None = None

    def _note_machines(self) -> None:
        self._note({running.host: running.type for running in self._running if running.host})

    def perform(self, calls: Sequence[Call]) -> Generator[tuple[Call, Any], None, None]:
        """Yield each call with its result, in the order in which they end; close the iterator when you stop early.

        Args:
            calls: The calls. Each has a folder of its own.

        Yields:
            A call, and the function's result or the exception that it raised. A call that is lost again and again yields a
            ``WorkerError``.

        Raises:
            WorkerError: Machines have other versions, or the cluster has become too small.
            WriteError: A file that was sent cannot be written.
        """
        waiting = deque(calls)
        try:
            while waiting or self._running:
                self._begin(waiting)
                for running, outcome in self._collect():
                    if (reason := _find_loss(outcome)) and self._note_loss(running, reason) < ATTEMPTS:
                        waiting.appendleft(running.call)
                    else:
                        yield running.call, WorkerError(_describe_losses(reason)) if reason else outcome
        finally:
            self._end_all()

    def _begin(self, waiting: deque[Call]) -> None:
        """Start calls in their order, while there is room. If small calls could overtake, a large one could wait for ever."""
        cpus = float(self._ray.cluster_resources().get("CPU", 0.0))
        while waiting and (self._jobs is None or len(self._running) < self._jobs):
            if sum(running.call.cpus for running in self._running) + waiting[0].cpus > cpus + 1e-6:
                break
            self._start(waiting.popleft())
            self._waiting_since = None
        if waiting and not self._running:
            self._wait_for_room(waiting[0].cpus, cpus)

    def _wait_for_room(self, needed: float, cpus: float) -> None:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
            _print(f"The next training needs {needed:g} CPUs; the cluster has {cpus:g} now. Waiting for more.")
        if time.monotonic() - self._waiting_since > ROOM_TIMEOUT_S:
            sentence = f"The cluster has {cpus:g} CPUs, and the next training needs {needed:g}. Add machines, and run it again."
            raise WorkerError(sentence)
        time.sleep(POLL_S)  # between two looks at the cluster: Ray has no event for machines that join

    def _start(self, call: Call) -> None:
        # Ray makes one attempt only: this class starts a lost call again, with the files that were received last.
        cpus = 0.0 if call.has_workers else call.cpus
        options = {"num_cpus": cpus, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        actor = self._ray.remote(**options)(Host).remote()
        self._running.append(_Running(call, actor, actor.start.remote(call.function, read_files(call.folder))))

    def _collect(self) -> Iterator[tuple[_Running, Any]]:
        """Wait a moment for reports, and yield the calls that have ended."""
        by_ref = {running.ref: running for running in self._running}
        if not by_ref:
            return
        done, _ = self._ray.wait(list(by_ref), num_returns=len(by_ref), timeout=POLL_S)
        for ref in done:
            yield from self._take(by_ref[ref])
        for running in [running for running in self._running if running.is_overdue]:
            self._end(running)
            yield running, _LostError(f"no report for {time.monotonic() - running.since:.0f} s")

    def _take(self, running: _Running) -> Iterator[tuple[_Running, Any]]:
        """Take a report; yield the call if it has ended."""
        exceptions = self._ray.exceptions
        try:
            report = self._ray.get(running.ref, timeout=LOOK_TIMEOUT_S)
        except exceptions.RayTaskError as error:  # raised by our own code there
            self._end(running)
            yield running, _locate(error.cause, running.host)
        except exceptions.RayError as error:  # the process died, or its machine is gone
            self._end(running)
            check_imported(error)
            yield running, _LostError(f"its machine or process is gone ({type(error).__name__})")
        else:
            if not isinstance(report, Look):
                self._check_versions(report["host"], report["versions"])
                self._note_machines()
                running.host, running.is_started = report["host"], True
                running.type = list_types().get(running.host, "")
            elif report.changes is not None:
                write_changes(running.call.folder, report.changes)
            if isinstance(report, Look) and report.is_done:
                self._end(running)
                yield running, _locate(report.outcome, running.host)
            else:
                running.wait_for(running.actor.look.remote())

    def _check_versions(self, host: str, versions: dict[str, str | None]) -> None:
        for name, own in collect_versions().items():
            if versions.get(name) != own:
                sentence = f"{host} has {name} {versions.get(name)}, this machine has {own}. Install the same version on both."
                raise WorkerError(sentence)

    def _note_loss(self, running: _Running, reason: str) -> int:
        """Return how often a call has been lost."""
        folder = running.call.folder
        self._attempts[folder] = self._attempts.get(folder, 0) + 1
        if self._attempts[folder] < ATTEMPTS:
            _print(f"{folder}: lost on {running.host or 'a machine that did not report'}: {reason}. It starts again elsewhere.")
        return self._attempts[folder]

    def _end(self, running: _Running) -> None:
        """End an actor and its process; its folder there is removed."""
        self._note_machines()
        self._running.remove(running)
        with contextlib.suppress(self._ray.exceptions.RayError):
            if running.is_started:
                self._ray.wait([running.actor.close.remote()], timeout=CLOSE_TIMEOUT_S)
            self._ray.kill(running.actor)

    def _end_all(self) -> None:
        """Ask all calls to end, take their last files, and end what has not ended in time. A second Ctrl-C ends all at once."""
        if not self._running or not self._ray.is_initialized():
            return
        try:
            for running in self._running:
                running.actor.terminate.remote()
            deadline = time.monotonic() + END_TIMEOUT_S
            while self._running and time.monotonic() < deadline:
                for _ in self._collect():
                    pass
        finally:
            for running in list(self._running):
                self._end(running)


def _locate(outcome: Any, host: str) -> Any:
    """Return an outcome. An error that may be the machine's gets the machine's name."""
    if not isinstance(outcome, OF_MACHINE) or not host:
        return outcome
    # The advice of a WriteError is about the folder there, which is removed.
    problem = f"Cannot write {outcome.path}: {outcome.reason}." if isinstance(outcome, WriteError) else outcome
    return WorkerError(f"It cannot go on at {host}: {problem} Correct that on {host}.")


def _find_loss(outcome: Any) -> str:
    """Return why a call was lost; empty where its outcome is a result."""
    if isinstance(outcome, _LostError):
        return str(outcome)
    if isinstance(outcome, ChildKilledError):
        return "its process was killed, as happens when memory runs out"
    # This process did not ask the call to end: a machine that is shut down sends SIGTERM.
    return "a signal ended it there" if isinstance(outcome, KeyboardInterrupt) else ""


def _describe_losses(reason: str) -> str:
    return f"It was lost {ATTEMPTS} times; the last time, {reason}. Run the same command again to continue."


def _print(line: str) -> None:
    print(line, file=BestEffortStream(sys.stderr))
