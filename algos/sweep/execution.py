"""Where the points of a sweep run: in processes of this machine, or on the machines of a cluster."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from gym_gazebo2.algos.config import ResolvedConfig, resolve
from gym_gazebo2.algos.distributed.calls import Call, Calls
from gym_gazebo2.algos.distributed.session import RaySession, check_capacity
from gym_gazebo2.algos.runs.machines import MachineLog
from gym_gazebo2.algos.runs.robot import find_stored_robot, pack_own_robot
from gym_gazebo2.algos.runs.writing import writing_at_end
from gym_gazebo2.algos.sweep.config import Point, SweepConfig, make_training
from gym_gazebo2.algos.sweep.jobs import call_each
from gym_gazebo2.algos.sweep.points import run_point, run_point_on_node
from gym_gazebo2.algos.sweep.search import parse_options
from gym_gazebo2.robots import PackedRobot
from gym_gazebo2.scheduling import count_processors

__all__ = ["Executor", "open_executor"]


class Executor(Protocol):
    """Trains and evaluates points.

    Attributes:
        slots: Points that run side by side.
    """

    slots: int

    def perform(self, points: Sequence[Point]) -> Generator[tuple[Point, Any], None, None]:
        """Yield each point with its evaluation or its exception, in the order in which they end."""


class LocalExecutor:
    """Runs points on this machine, each in a process of its own."""

    def __init__(self, config: SweepConfig, machines: MachineLog) -> None:
        """Begin without points.

        Args:
            config: The sweep.
            machines: Log of the machines that the sweep holds.

        Raises:
            InvalidArgumentError: A training has more workers than this machine has room for.
        """
        _check_room(config, count_processors(), "this machine")
        self._config, self.slots = config, config.jobs or _count_slots(config, count_processors())
        self._machines = machines

    def perform(self, points: Sequence[Point]) -> Generator[tuple[Point, Any], None, None]:
        """Yield each point with its evaluation or its exception, in the order in which they end."""
        try:
            yield from call_each(functools.partial(run_point, config=self._config), points, self.slots)
        finally:
            self._machines.note({socket.gethostname(): ""})


class ClusterExecutor:
    """Runs points on the machines of a cluster; their files come back to this one while they train."""

    def __init__(self, config: SweepConfig, session: RaySession, machines: MachineLog) -> None:
        """Begin without points.

        Args:
            config: The sweep.
            session: The connection to the cluster.
            machines: Log of the machines that the sweep holds. Those of workers are in the records of the runs.

        Raises:
            InvalidArgumentError: A training has more workers than the cluster has room for.
        """
        _check_room(config, session.cpus, "the cluster")
        self._config, self.slots = config, config.jobs or _count_slots(config, session.cpus)
        self._calls = Calls(config.jobs, machines.note)
        self._robots: dict[str, PackedRobot | None] = {}

    def perform(self, points: Sequence[Point]) -> Generator[tuple[Point, Any], None, None]:
        """Yield each point with its evaluation or its exception, in the order in which they end."""
        by_folder = {point.folder: point for point in points}
        with contextlib.closing(self._calls.perform([self._make_call(point) for point in points])) as outcomes:
            for call, outcome in outcomes:
                yield by_folder[call.folder], outcome

    def _make_call(self, point: Point) -> Call:
        training = resolve(make_training(point, self._config))
        # A run that is continued sends its own copy.
        robot = self._pack_robot(training) if find_stored_robot(point.folder) is None else None
        function = functools.partial(run_point_on_node, training=training, robot=robot, runs=self._config.runs)
        return Call(function, point.folder, point.count_cpus(self._config.worker_cpus), point.workers is not None)

    def _pack_robot(self, training: ResolvedConfig) -> PackedRobot | None:
        if training.env not in self._robots:  # the points of an id differ in other options
            self._robots[training.env] = pack_own_robot(training)
        return self._robots[training.env]


@contextlib.contextmanager
def open_executor(config: SweepConfig) -> Iterator[Executor]:
    """Yield what runs the points, and write which machines it held.

    Raises:
        InvalidArgumentError: A training has more workers than there is room for, or the address has another form.
        MissingDependencyError: Trainings have workers, or run on a cluster, and Ray is not installed.
        RunError: The invite cannot be read.
        WorkerError: No cluster answers at the address, or it refuses this machine.
    """
    machines = MachineLog(Path(config.out))
    if config.address is None:
        yield from _write_at_end(LocalExecutor(config, machines), machines, config)
        return
    with contextlib.closing(RaySession(config.address, invite=config.invite, insecure=config.insecure)) as session:
        yield from _write_at_end(ClusterExecutor(config, session, machines), machines, config)


def _write_at_end(executor: Executor, machines: MachineLog, config: SweepConfig) -> Iterator[Executor]:
    with writing_at_end(lambda: machines.write(config.price_per_hour)):
        yield executor


def _list_workers(config: SweepConfig) -> list[int]:
    """Return the numbers of workers of the trainings that have some."""
    return [count for count in parse_options(config.grid).get("workers", ()) if count is not None]


def _check_room(config: SweepConfig, cpus: float, place: str) -> None:
    for workers in _list_workers(config):
        check_capacity(workers, config.worker_cpus, cpus, place)


def _count_slots(config: SweepConfig, cpus: float) -> int:
    """Return how many trainings with the most workers have room."""
    largest = max((workers * config.worker_cpus for workers in _list_workers(config)), default=1.0)
    return max(1, int(cpus // max(1.0, largest)))
