"""How long a worker that is lost delays an iteration; ``python -m benchmarks.distributed --faults`` runs it.

Two workers collect. In some iterations one of them is killed, or stopped so that it hangs, in the middle of its task. The other
one is the spare: it does the task, too. The bar is the longest delay that counts as good.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import statistics
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmarks.pages import replace_block
from benchmarks.turns import open_model, time_iteration
from gym_gazebo2.algos import TrainConfig
from gym_gazebo2.algos.config import ResolvedConfig, resolve
from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.session import RaySession
from gym_gazebo2.scheduling import count_processors

__all__ = ["BAR_S", "Delays", "make_table", "measure"]

SIGNALS = {"killed": signal.SIGKILL, "hung": signal.SIGSTOP}
QUIET, TRIALS = 3, 3
"""Iterations without a fault before each fault, and faults of each kind."""
BAR_S = 10.0
"""The bar is 3 times the median iteration, or this [s] if that is longer."""


@dataclasses.dataclass(frozen=True)
class Delays:
    """What one kind of fault led to.

    Attributes:
        task: What is trained.
        fault: "killed" or "hung".
        median_s: Median time of an iteration without a fault [s].
        delays_s: How much longer each iteration with a fault took [s].
    """

    task: str
    fault: str
    median_s: float
    delays_s: list[float]

    @property
    def bar_s(self) -> float:
        """The longest delay that counts as good [s]."""
        return max(3.0 * self.median_s, BAR_S)


def list_trainings() -> dict[str, ResolvedConfig]:
    """Return name → training: iterations of half a second, where the floor of the bar counts, and of four seconds."""
    slow = {"n_steps": 200, "batch_size": 800, "n_epochs": 2}
    return {
        "`MARA-v0` in MuJoCo": resolve(TrainConfig(env="MARA-v0")),
        "an arm whose step takes 1 ms": resolve(
            TrainConfig(env="benchmarks.slow_arm:SlowSCARA-v0", num_envs=40, hyperparameters=slow)
        ),
    }


def measure_delays(task: str, config: ResolvedConfig, fault: str) -> Delays:
    """Train with two workers, and let one of them fail in some iterations."""
    quiet: list[float] = []
    faulty: list[float] = []
    with open_model(config, "ray", 2, 2) as model:
        fleet: Fleet = model.get_env().unwrapped.collector
        time_iteration(model)
        for _ in range(TRIALS):
            quiet += [time_iteration(model) for _ in range(QUIET)]
            with _fault(fleet, SIGNALS[fault], 0.2 * statistics.median(quiet)) as pid:
                faulty.append(time_iteration(model))
            while pid in [worker.pid for worker in fleet.workers]:  # until another one has taken its place
                time_iteration(model)
    median = statistics.median(quiet)
    return Delays(task, fault, median, [seconds - median for seconds in faulty])


@contextlib.contextmanager
def _fault(fleet: Fleet, signum: int, after_s: float) -> Iterator[int]:
    """Send a signal to a worker some time after the block begins, and yield its process id. It is killed after the block."""
    victim = next(worker for worker in fleet.workers if worker.state == "idle")
    timer = threading.Timer(after_s, os.kill, (victim.pid, signum))
    timer.start()
    try:
        yield victim.pid
    finally:
        timer.join()
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)


def make_table(rows: list[Delays]) -> str:
    """Return the delays as Markdown."""
    lines = ["| two workers, one of them | median iteration | largest delay of an iteration | limit |", "|---|---|---|---|"]
    for row in rows:
        figures = f"{row.median_s:.2g} s | {max(row.delays_s):.2g} s | {row.bar_s:.3g} s"
        lines.append(f"| {row.fault}, {row.task} | {figures} |")
    return "\n".join([*lines, "", f"{TRIALS} faults of each kind."])


def measure(page: Path) -> None:
    """Measure, print, and write the table."""
    with contextlib.closing(RaySession(num_cpus=count_processors())):
        rows = [measure_delays(task, config, fault) for task, config in list_trainings().items() for fault in SIGNALS]
    table = make_table(rows)
    print(table)
    replace_block(page, "python -m benchmarks.distributed --faults", table)
