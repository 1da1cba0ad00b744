"""The fleet's records of its workers and of the tasks of an iteration."""

from __future__ import annotations

import dataclasses
import statistics
from collections import deque
from collections.abc import Sequence
from typing import Any

__all__ = ["DEFAULT_LIMITS", "Batch", "Job", "Limits", "Place", "WorkerStatus", "describe_workers"]


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long the fleet waits, and how often it tries again.

    Attributes:
        start_s: Longest time for a worker to start and to make its environments [s]. Gazebo, or a busy machine, takes long.
        first_task_s: Deadline of a task before the first task is done [s]: until then the usual time is not known.
        task_factor: Deadline of a task, as a multiple of the median time.
        task_floor_s: Least deadline of a task [s]: short tasks can wait long on a busy machine.
        hedge_factor: An idle worker gets a second copy of a task that takes longer than this multiple of the median. The copy
            takes the median again; so a hung worker delays an iteration by less than 3 times the median.
        hedge_floor_s: A second copy is never given before this time [s].
        missing_s: Longest time without a machine for a worker, where the training waits for that [s].
        give_up_s: The same where the policy is to give up [s]: a machine that is lost may come back.
        attempts: Workers that may be lost with one task, or starts that may fail in a row, before training ends.
    """

    start_s: float = 180.0
    first_task_s: float = 600.0
    task_factor: float = 10.0
    task_floor_s: float = 30.0
    hedge_factor: float = 2.5
    hedge_floor_s: float = 0.5
    missing_s: float = 3600.0
    give_up_s: float = 30.0
    attempts: int = 4


DEFAULT_LIMITS = Limits()


RECENT = 0.3
"""Weight of a worker's newest task in its recent speed."""
SLOW_SHARE = 0.5
"""A worker is slow below this share of the median speed."""
MOST_NAMED = 3
"""Most workers that a progress line names for being replaced."""


@dataclasses.dataclass
class WorkerStatus:
    """What is known of a worker. Its place remains when the worker is replaced.

    Attributes:
        index: Number of the place.
        host: Machine; empty before the first worker has reported ready.
        pid: Process id there.
        state: "waiting" for a machine that has room, "starting", "idle", "busy" or "ended".
        steps: Environment steps that were used.
        busy_s: Time that it took for them [s].
        num_tasks: Tasks whose results were used.
        num_bytes: Size of these results [byte].
        restarts: Workers that were lost in this place.
        last_loss: Why the last worker in this place was lost; empty if none was lost.
        recent_speed: Environment steps per second of work in its last tasks; None before the first.
    """

    index: int
    host: str = ""
    pid: int = 0
    state: str = "starting"
    steps: int = 0
    busy_s: float = 0.0
    num_tasks: int = 0
    num_bytes: int = 0
    restarts: int = 0
    last_loss: str = ""
    recent_speed: float | None = None

    @property
    def speed(self) -> float | None:
        """Environment steps per second of work; None before the first result."""
        return self.steps / self.busy_s if self.busy_s else None

    def add_work(self, steps: int, seconds: float) -> None:
        """Add a task: a worker that becomes slow shows in the recent speed, where the mean of a long training hides it."""
        self.steps += steps
        self.busy_s += seconds
        speed = steps / max(seconds, 1e-9)
        self.recent_speed = speed if self.recent_speed is None else self.recent_speed + RECENT * (speed - self.recent_speed)


def describe_workers(workers: Sequence[WorkerStatus]) -> tuple[str, ...]:
    """Return the figures of a progress line, between two rollouts.

    Args:
        workers: The workers.

    Returns:
        Speed per worker while it works, then who is slow, late or lost, and how many are missing.
    """
    working = [(worker, worker.recent_speed) for worker in workers if worker.recent_speed is not None]
    speeds = [speed for _, speed in working]
    parts = []
    if speeds:
        low, high = (f"{speed:,.0f}" for speed in (min(speeds), max(speeds)))
        parts.append(f"{len(speeds)} workers at {low} to {high} steps/s" if len(speeds) > 1 else f"1 worker at {high} steps/s")
    least = SLOW_SHARE * statistics.median(speeds) if speeds else 0.0
    parts += [f"{_name(worker)} is slow: {speed:,.0f} steps/s" for worker, speed in working if speed < least]
    # Between two rollouts all results are there. A worker that is still busy was too late: another worker did the same task.
    parts += [f"{_name(worker)} is late" for worker in workers if worker.state == "busy"]
    replaced = [worker for worker in workers if worker.restarts and worker.state in ("idle", "busy")]
    parts += [f"{_name(worker)} was replaced: {worker.last_loss}" for worker in replaced[:MOST_NAMED]]
    if len(replaced) > MOST_NAMED:
        parts.append(f"{len(replaced) - MOST_NAMED} more were replaced")
    missing = [worker for worker in workers if worker.state == "starting"]
    parts += [f"worker {worker.index} lost: {worker.last_loss}" for worker in missing if worker.last_loss]
    if starting := sum(not worker.last_loss for worker in missing):
        parts.append(f"{starting} of {len(workers)} workers starting")
    if waiting := sum(worker.state == "waiting" for worker in workers):
        parts.append(f"{waiting} of {len(workers)} workers wait for a machine")
    return tuple(parts)


def _name(worker: WorkerStatus) -> str:
    return f"worker {worker.index} on {worker.host}" if worker.host else f"worker {worker.index}"


@dataclasses.dataclass
class Job:
    """What a worker does.

    Attributes:
        batch: The tasks among which its task is; an empty batch for a start.
        task: The task; None for a start.
        started: When it was given, of ``time.monotonic`` [s].
    """

    batch: Batch
    task: Any
    started: float


class Batch:
    """The tasks of one iteration, one per shard, and what has come of them.

    Attributes:
        pending: Tasks that no worker has.
        weights: The policy, or Ray's reference to it.
        results: Shard → result.
        copies: Shard → workers that have its task.
        attempts: Shard → workers that were lost with its task.
    """

    def __init__(self, tasks: Sequence[Any] = (), weights: Any = None) -> None:
        """Begin with all tasks pending.

        Args:
            tasks: The tasks.
            weights: The policy, or Ray's reference to it.
        """
        self.pending, self.weights = deque(tasks), weights
        self.num_tasks = len(tasks)
        self.results: dict[int, Any] = {}
        self.copies = dict.fromkeys((task.shard for task in tasks), 0)
        self.attempts = dict(self.copies)

    @property
    def is_done(self) -> bool:
        """Whether every task has a result."""
        return len(self.results) == self.num_tasks

    def pop_own(self, state_id: str) -> Any:
        """Return the task that goes on from the state in which the worker is, if there is one."""
        own = next(
            (task for task in self.pending if state_id and task.state is not None and task.state.state_id == state_id), None
        )
        if own is not None:
            self.pending.remove(own)
        return own


class Place:
    """A place for one worker at a time.

    Attributes:
        status: What is reported of it.
        actor: Ray's handle of the worker; None while there is none.
        ref: Ray's reference to the result of its job.
        job: What it does; None where it is idle.
        state_id: Identifies the state in which its environments are; empty before its first task.
        node: Ray's id of the machine that its process runs on; empty before it is ready.
    """

    def __init__(self, index: int) -> None:
        """Begin without a worker.

        Args:
            index: Number of the place.
        """
        self.status = WorkerStatus(index)
        self.actor: Any = None
        self.ref: Any = None
        self.job: Job | None = None
        self.state_id = self.node = ""

    @property
    def is_missing(self) -> bool:
        """Whether it cannot take a task yet."""
        return self.status.state in ("waiting", "starting")

    @property
    def is_idle(self) -> bool:
        """Whether its worker waits for a task."""
        return self.actor is not None and self.job is None
