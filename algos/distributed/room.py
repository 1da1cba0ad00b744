"""Check whether the machines of a cluster have room for all workers, and decide what a training does while they do not.

An actor that finds no CPU waits, and Ray never reports this. Machines can join and leave during a training.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from gym_gazebo2.algos.choices import MissingWorkers
from gym_gazebo2.algos.distributed.places import Limits, Place
from gym_gazebo2.algos.distributed.session import import_ray
from gym_gazebo2.errors import WorkerError
from gym_gazebo2.output import BestEffortStream

__all__ = ["RoomWatch"]

LOOK_S = 1.0
"""Time between two looks at the cluster while workers are missing [s]; a look takes about 1 ms."""
NOTICE_S = 60.0
"""Time between two lines about missing workers [s]."""


class RoomWatch:
    """Finds workers for which no machine has room, and applies the policy for missing workers."""

    def __init__(self, policy: MissingWorkers | None, worker_cpus: float, limits: Limits) -> None:
        """Begin with nothing missing.

        Args:
            policy: What to do while workers are missing; None: go on.
            worker_cpus: CPUs that Ray reserves for each worker.
            limits: How long to wait.
        """
        self._policy, self._worker_cpus, self._limits = policy, worker_cpus, limits
        self._next_look = self._next_notice = 0.0
        self._since: float | None = None

    def is_holding(self, places: Sequence[Place]) -> bool:
        """Return whether tasks are held back until all workers are there."""
        return self._policy == "wait" and any(place.is_missing for place in places)

    def check(self, places: Sequence[Place]) -> None:
        """Find out which workers wait for a machine, and apply the policy.

        Args:
            places: All places.

        Raises:
            WorkerError: The policy is to give up, or the wait has been too long.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_S
        missing = [place for place in places if place.is_missing]
        cpus = float(import_ray().cluster_resources().get("CPU", 0.0)) if missing else 0.0
        room = int((cpus + 1e-6) // self._worker_cpus) - (len(places) - len(missing))
        for number, place in enumerate(missing):
            place.status.state = "starting" if number < room else "waiting"
            if number >= room and place.job is not None:
                place.job.started = now  # its time for starting begins when a machine has room
        self._apply_policy(places, len(missing) - max(room, 0), cpus, now)

    def _apply_policy(self, places: Sequence[Place], waiting: int, cpus: float, now: float) -> None:
        if waiting <= 0:
            self._since, self._next_notice = None, now
            return
        self._since = now if self._since is None else self._since
        limits, is_stopped = self._limits, self._policy == "wait" or all(place.is_missing for place in places)
        state = f"{waiting} of {len(places)} workers have no machine: the cluster has {cpus:g} CPUs"
        limit = limits.give_up_s if self._policy == "give-up" else limits.missing_s if is_stopped else float("inf")
        if now - self._since > limit:
            raise WorkerError(f"{state}, for more than {limit:g} s. Let machines join, or resume with fewer --workers.")
        if now >= self._next_notice:
            self._next_notice = now + NOTICE_S
            then = "Waiting for machines to join" if is_stopped or self._policy == "give-up" else "Going on with the others"
            print(f"{state}. {then}.", file=BestEffortStream(sys.stderr))
