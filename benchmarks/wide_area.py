"""A learner that is far from its workers; ``python -m benchmarks.distributed --wide-area`` runs it on Linux, as root.

A cluster of a head and two machines in network namespaces, with token and TLS. One driver is in their network. The other one's
cable has a delay of 25 ms each way and 100 Mbit/s. They train MARA-v0 in turns. Bytes are counted at the driver's cable, with
all headers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.pages import replace_block
from benchmarks.turns import open_model, time_iteration
from gym_gazebo2.algos import TrainConfig
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.distributed.session import RaySession
from tests.cluster_machines import READY, Cluster
from tests.long_cable import Cable
from tests.namespaces import Machine, find_obstacle, make_network
from tests.processes import read_until

__all__ = ["Link", "make_table", "measure"]

CABLE = Cable(delay_s=0.025, bits_per_s=100e6)
TURNS = 2
"""Trainings of each driver."""
BAR_S, BAR_BYTES = 0.4, 160.0
"""The iteration may be longer by this [s], and a step may send this much to the learner [byte]."""


@dataclasses.dataclass(frozen=True)
class Link:
    """What was measured at one driver.

    Attributes:
        seconds: Times of iterations [s].
        up: Bytes per environment step to the learner.
        down: Bytes per environment step from the learner.
    """

    seconds: list[float]
    up: float
    down: float


def drive(address: str, invite: str, iterations: int) -> None:
    """Train on a cluster, in a process of its own; print a line before and after the iterations that count."""
    config = resolve(TrainConfig(env="MARA-v0"))
    with contextlib.closing(RaySession(address, invite=invite)), open_model(config, "ray", 2, 2) as model:
        for _ in range(3):
            time_iteration(model)
        _print_and_wait({})
        seconds = [time_iteration(model) for _ in range(iterations)]
        _print_and_wait({"seconds": seconds, "steps": iterations * config.num_envs * model.n_steps})


def _print_and_wait(content: dict[str, object]) -> None:
    print(json.dumps(content), flush=True)
    input()


def measure_link(cluster: Cluster, machine: Machine, iterations: int) -> Link:
    """Train with the driver on a machine, and count what its cable carries meanwhile.

    Raises:
        RuntimeError: The training failed.
    """
    words = ("-m", "benchmarks.wide_area", cluster.address, cluster.invite(machine), iterations)
    process = cluster.run(machine, *words)
    counts: list[tuple[int, int]] = []
    content: dict[str, object] = {}
    for _ in range(2):
        line = read_until(process, process.stdout, "}", READY)
        if not line:
            raise RuntimeError(process.stderr.read() if process.stderr else "no output")
        content = json.loads(line)
        counts.append(machine.count_bytes())
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    process.wait(READY)
    steps = int(str(content["steps"]))
    up, down = (after - before for before, after in zip(*counts, strict=True))
    return Link(list(content["seconds"]), up / steps, down / steps)  # type: ignore[call-overload]


@contextlib.contextmanager
def open_cluster() -> Iterator[Cluster]:
    """Yield a head, two machines with a worker each, and two machines for drivers: the last one is far away."""
    with contextlib.ExitStack() as stack:
        machines = stack.enter_context(make_network(5, {4: CABLE}))
        cluster = Cluster(Path(stack.enter_context(tempfile.TemporaryDirectory())), machines, stack)
        cluster.start_head()
        for wait in [cluster.join(node) for node in cluster.nodes[:2]]:
            wait()
        yield cluster


def merge(links: list[Link]) -> Link:
    """Return several measurements as one."""
    seconds = [second for link in links for second in link.seconds]
    return Link(seconds, max(link.up for link in links), max(link.down for link in links))


def make_table(near: Link, far: Link) -> str:
    """Return both as Markdown, with the bars."""
    lines = [
        "| two workers, 6,400 steps per iteration of `MARA-v0` | in one network | 50 ms, 100 Mbit/s | limit |",
        "|---|---|---|---|",
    ]
    times = [statistics.median(link.seconds) for link in (near, far)]
    lines += [
        f"| median iteration | {times[0]:.2f} s | {times[1]:.2f} s | {times[0] + BAR_S:.2f} s |",
        f"| to the learner, per step | {near.up:.0f} bytes | {far.up:.0f} bytes | {BAR_BYTES:.0f} bytes |",
        f"| from the learner, per step | {near.down:.0f} bytes | {far.down:.0f} bytes | |",
    ]
    return "\n".join([*lines, "", "Bytes are those on the learner's cable, with TLS and all headers."])


def measure(page: Path, iterations: int) -> None:
    """Measure, print, and write the table.

    Raises:
        SystemExit: Network namespaces cannot be made here.
    """
    if obstacle := find_obstacle():
        raise SystemExit(f"--wide-area cannot run: {obstacle}.")
    links: dict[str, list[Link]] = {"near": [], "far": []}
    with open_cluster() as cluster:
        for _ in range(TURNS):
            for name, machine in {"near": cluster.nodes[2], "far": cluster.distant}.items():
                links[name].append(measure_link(cluster, machine, iterations))
                print(f"{name}: {statistics.median(links[name][-1].seconds):.3f} s", flush=True)
    table = make_table(merge(links["near"]), merge(links["far"]))
    print(table)
    replace_block(page, "python -m benchmarks.distributed --wide-area", table)


if __name__ == "__main__":
    drive(sys.argv[1], sys.argv[2], int(sys.argv[3]))
