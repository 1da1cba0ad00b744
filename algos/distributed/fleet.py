"""The workers of a training. It starts them, gives them tasks, gives a slow task to a second worker, and replaces lost workers.

A task is a pure function, so every worker returns the same bits for it. So a late task can be given to a second worker, and the
task of a worker that died to another one. Ray starts actors and moves data. The supervision is here, because Ray's own restarts
would lose the count of attempts. Every wait has a deadline.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.distributed.places import DEFAULT_LIMITS, Batch, Job, Limits, Place, WorkerStatus
from gym_gazebo2.algos.distributed.processors import Share
from gym_gazebo2.algos.distributed.room import RoomWatch
from gym_gazebo2.algos.distributed.session import check_imported, import_ray
from gym_gazebo2.algos.distributed.shards import CollectTask, Fragment, Weights
from gym_gazebo2.algos.distributed.worker import Worker
from gym_gazebo2.algos.runs.robot import pack_own_robot
from gym_gazebo2.algos.settings.provenance import collect_versions
from gym_gazebo2.errors import BackendError, GymGazebo2Error, WorkerError

__all__ = ["Fleet"]

POLL_S = 0.5
"""Longest wait for results before deadlines are checked [s]."""
FETCH_TIMEOUT_S = 60.0
"""Longest wait for a result that is ready [s]: it may come from another machine."""
INLINE_BYTES = 64 * 2**10
"""Largest weights that are sent with each task [byte]. Ray sends arguments up to 100 kB with the call."""
CLOSE_TIMEOUT_S = 10.0
"""Longest wait for workers to close their simulators [s]."""


class Fleet:
    """A number of workers, to whom an iteration's tasks are given.

    Training goes on as soon as one worker is ready; the others join when they are.

    Attributes:
        on_hold: Called again and again while tasks are held back for missing workers, which can take an hour; it may raise.
    """

    def __init__(
        self, config: ResolvedConfig, size: int, num_workers: int, worker_cpus: float = 1.0, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        """Start the workers, and do not wait for them. Ray must be connected already.

        Args:
            config: The configuration of the training.
            size: Arms of a shard.
            num_workers: Workers.
            worker_cpus: CPUs that Ray reserves for each; a fraction lets several share a processor.
            limits: How long to wait.
        """
        self._ray = import_ray()
        # Ray makes one attempt only: this class replaces lost workers.
        options = {"num_cpus": worker_cpus, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        self._make_actor = self._ray.remote(**options)(Worker)
        self._arguments, self._size, self._limits = dataclasses.asdict(config), size, limits
        robot = pack_own_robot(config)
        self._robot = None if robot is None else self._ray.put(robot)  # once per machine, however many workers it has
        self._worker_cpus = worker_cpus
        self._room = RoomWatch(config.missing_workers, worker_cpus, limits)
        self._durations: deque[float] = deque(maxlen=50)
        self._failed_starts, self._node, self._versions = 0, self._ray.get_runtime_context().get_node_id(), collect_versions()
        self._address = self._ray.util.get_node_ip_address()
        self._places: list[Place] = []
        self.on_hold: Callable[[], None] = lambda: None
        self.add_workers(num_workers)
        self._room.check(self._places)  # a line about missing machines comes before the first wait for them

    @property
    def workers(self) -> list[WorkerStatus]:
        """The state of each worker."""
        return [dataclasses.replace(place.status) for place in self._places]

    def add_workers(self, count: int) -> None:
        """Start further workers; they join when they are ready."""
        added = [Place(len(self._places) + number) for number in range(count)]
        self._places += added  # all of them before the first starts: the share of each depends on the number of workers
        for place in added:
            self._start(place)

    def perform(self, tasks: Sequence[Any], weights: Weights) -> list[Any]:
        """Perform tasks, one per shard, and return their results in the same order.

        Args:
            tasks: Tasks of ``shards``.
            weights: The policy.

        Raises:
            WorkerError: No worker starts, workers are lost with the same task again and again, or a machine is missing for
                longer than the policy allows.
            BackendError: A simulator fails again and again.
        """
        batch = Batch(tasks, self._pack(weights))
        while not batch.is_done:
            if self._room.is_holding(self._places):
                self.on_hold()
            else:
                self._assign(batch)
            self._receive(batch)
            self._replace_overdue(batch)
        return [batch.results[task.shard] for task in tasks]

    def _pack(self, weights: Weights) -> Any:
        """Return weights as an argument of all tasks: small ones themselves, large ones as a reference to a single copy.

        A worker fetches what a reference stands for, which is one more round trip.
        """
        plain = dict(weights)
        return plain if sum(value.nbytes for value in plain.values()) <= INLINE_BYTES else self._ray.put(plain)

    def wait_ready(self, count: int | None = None) -> None:
        """Wait until ``count`` workers are ready, or all of them. Not needed before ``perform``.

        Raises:
            WorkerError: No worker starts.
        """
        nothing = Batch()
        wanted = len(self._places) if count is None else count
        while sum(not place.is_missing for place in self._places) < wanted:
            self._receive(nothing)
            self._replace_overdue(nothing)

    def close(self) -> None:
        """End the workers, and with them their simulators; closing twice is fine."""
        if not self._ray.is_initialized():
            return
        # Idle ones are asked: a simulator removes its files when it is closed.
        refs = [place.actor.close.remote() for place in self._iterate_idle()]
        if refs:
            self._ray.wait(refs, num_returns=len(refs), timeout=CLOSE_TIMEOUT_S)
        for place in self._places:
            self._end(place)

    def _start(self, place: Place) -> None:
        place.actor = self._make_actor.remote()
        share = Share(len(self._places), self._worker_cpus)
        place.ref = place.actor.prepare.remote(self._arguments, self._size, share, self._robot)
        place.job, place.status.state, place.state_id = Job(Batch(), None, time.monotonic()), "starting", ""

    def _assign(self, batch: Batch) -> None:
        """Give tasks to idle workers: first those that can go on with their own environments, then any, then second copies."""
        for place in self._iterate_idle():
            if (task := batch.pop_own(place.state_id)) is not None:
                self._give(place, batch, task)
        for place in self._iterate_idle():
            if batch.pending:
                self._give(place, batch, batch.pending.popleft())
        for place in self._iterate_idle():
            if (task := self._find_slow(batch)) is not None:
                self._give(place, batch, task)

    def _iterate_idle(self) -> Iterator[Place]:
        return (place for place in self._places if place.is_idle)

    def _give(self, place: Place, batch: Batch, task: Any) -> None:
        batch.copies[task.shard] += 1
        place.job, place.status.state = Job(batch, task, time.monotonic()), "busy"
        place.ref = place.actor.perform.remote(task, batch.weights)

    def _find_slow(self, batch: Batch) -> Any:
        """Return the task that runs longest, if it runs too long and there is no second copy of it."""
        if not self._durations:
            return None
        least = max(self._limits.hedge_factor * statistics.median(self._durations), self._limits.hedge_floor_s)
        jobs = [place.job for place in self._places if place.job is not None and place.job.batch is batch]
        alone = [job for job in jobs if job.task.shard not in batch.results and batch.copies[job.task.shard] == 1]
        oldest = min(alone, key=lambda job: job.started, default=None)
        return oldest.task if oldest is not None and time.monotonic() - oldest.started > least else None

    def _receive(self, batch: Batch) -> None:
        """Wait a moment for results, and take those that are there."""
        places = {place.ref: place for place in self._places if place.job is not None}
        if not places:
            return
        done, others = self._ray.wait(list(places), timeout=POLL_S)
        if done and others:  # take all that are there, so that their workers get new tasks at the same time
            done += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        for ref in done:
            self._take(places[ref], batch)

    def _take(self, place: Place, batch: Batch) -> None:
        """Take the result of a worker, or its failure."""
        exceptions, job = self._ray.exceptions, place.job
        if job is None:
            return
        place.job = None
        try:
            result = self._ray.get(place.ref, timeout=FETCH_TIMEOUT_S)
        except exceptions.RayTaskError as error:
            self._handle_failure(place, job, batch, error)
        except exceptions.RayError as error:  # the process died, its machine is gone, or the result cannot be fetched
            check_imported(error)
            self._lose(place, job, batch, f"it died ({type(error).__name__})")
        else:
            self._accept(place, job, result)

    def _accept(self, place: Place, job: Job, result: Any) -> None:
        status = place.status
        status.state = "idle"
        if job.task is None:
            self._failed_starts = 0
            place.node, status.host, status.pid = result["node"], result["host"], result["pid"]
            self._check_versions(status.host, result["versions"])
            return
        place.state_id = result.state.state_id
        if job.task.shard in job.batch.results:  # the copy was faster; both are equal
            return
        job.batch.results[job.task.shard] = result
        status.num_tasks += 1
        if isinstance(result, Fragment):
            self._durations.append(time.monotonic() - job.started)
            status.add_work(int(np.prod(result.rollout["rewards."].shape)), result.seconds)
            status.num_bytes += result.num_bytes

    def _check_versions(self, host: str, versions: dict[str, str | None]) -> None:
        for name, own in self._versions.items():
            if versions[name] != own:
                sentence = f"{host} has {name} {versions[name]}, this machine has {own}. Install the same version on both."
                raise WorkerError(sentence)

    def _handle_failure(self, place: Place, job: Job, batch: Batch, error: Any) -> None:
        """Replace a worker whose simulator failed. Raise other errors: they would occur again."""
        cause = error.cause
        if not isinstance(cause, BackendError):
            raise self._locate(cause, place) from error  # its text holds the traceback of the worker
        place.status.last_loss = str(cause)
        self._lose(place, job, batch, f"its simulator failed ({cause})", cause)

    def _locate(self, cause: Exception, place: Place) -> Exception:
        """Return the error of a worker, with the address of its machine where that is another one."""
        try:
            address = self._ray.get(place.actor.get_address.remote(), timeout=POLL_S)
        except self._ray.exceptions.RayError:
            return cause
        if address == self._address or not isinstance(cause, GymGazebo2Error | OSError):
            return cause
        return WorkerError(f"The worker on {address} cannot go on: {cause} Correct that on {address}, and resume.")

    def _lose(self, place: Place, job: Job, batch: Batch, reason: str, cause: Exception | None = None) -> None:
        """Replace a worker, and give its task to another one.

        Raises:
            WorkerError: That has happened too often.
        """
        self._end(place)
        place.status.restarts += 1
        place.status.last_loss = reason
        if job.task is None:
            self._failed_starts += 1
            if self._failed_starts >= self._limits.attempts and all(
                p.is_missing or p.status.state == "ended" for p in self._places
            ):
                sentence = f"No worker starts. {self._failed_starts} attempts failed; the last one: {reason}."
                raise cause or WorkerError(sentence)
        elif job.batch is batch and job.task.shard not in batch.results:
            self._retry(batch, job.task, reason, cause)
        self._start(place)

    def _retry(self, batch: Batch, task: Any, reason: str, cause: Exception | None) -> None:
        batch.copies[task.shard] -= 1
        batch.attempts[task.shard] += 1
        if batch.attempts[task.shard] >= self._limits.attempts:
            sentence = (
                f"{self._limits.attempts} workers in a row were lost while they stepped the environments from number "
                f"{task.first} on. The last one: {reason}. Look for the cause in that worker's environments or on its "
                "machine, then resume."
            )
            raise cause or WorkerError(sentence)
        if batch.copies[task.shard] == 0:  # to the front, so that a task that fails every time ends the training soon
            batch.pending.appendleft(dataclasses.replace(task, attempt=batch.attempts[task.shard]))

    def _replace_overdue(self, batch: Batch) -> None:
        """Replace workers that are past their deadline: hung, stopped, cut off."""
        self._room.check(self._places)
        for place in self._places:
            job = place.job
            if job is not None and time.monotonic() - job.started > (deadline := self._get_deadline(job)):
                place.job = None
                self._lose(place, job, batch, f"no answer within {deadline:.3g} s")

    def _get_deadline(self, job: Job) -> float:
        """Return the longest time for a job [s]. Imports and simulators are not in a task's time."""
        if job.task is None:
            return self._limits.start_s
        if not self._durations or not isinstance(job.task, CollectTask):
            return self._limits.first_task_s
        return max(self._limits.task_factor * statistics.median(self._durations), self._limits.task_floor_s)

    def _end(self, place: Place) -> None:
        """End a worker's process, also where it is stopped and cannot answer Ray."""
        if place.actor is None:
            return
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(place.actor)
        if place.node == self._node:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(place.status.pid, signal.SIGKILL)
        place.actor, place.ref, place.job, place.node, place.status.state = None, None, None, "", "ended"
