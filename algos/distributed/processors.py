"""How the workers of a machine share its processors: each has a number of threads, or a processor of its own."""

from __future__ import annotations

import dataclasses
import math

from gym_gazebo2.algos.distributed.session import import_ray
from gym_gazebo2.scheduling import count_processors, keep_to_free_processor, limit_processors, work_in_batches

__all__ = ["Share", "use_share"]


@dataclasses.dataclass(frozen=True)
class Share:
    """What a worker may use of its machine.

    Attributes:
        num_workers: Workers of the training, on all machines.
        worker_cpus: CPUs that Ray reserves for each.
    """

    num_workers: int
    worker_cpus: float

    def count(self, processors: int, cpus: float) -> int:
        """Return the processors for each worker. One worker alone gets all, as a training without workers would.

        Args:
            processors: Processors of the machine.
            cpus: CPUs that Ray may give away there; in a container they can be fewer.
        """
        fitting = max(1, int((cpus + 1e-6) // self.worker_cpus))
        return max(1, min(processors, int(cpus)) // min(self.num_workers, fitting))


def use_share(share: Share, is_pinned: bool) -> None:
    """Limit this worker to its share of the machine.

    Args:
        share: Its share.
        is_pinned: Whether to keep to a processor that no other worker has. This is left out where Ray has only a part of the
            machine: other containers, which keep to processors of their choice, cannot be seen from here.
    """
    processors, cpus = count_processors(), _find_cpus()
    limit_processors(share.count(processors, cpus))
    if not is_pinned:
        return
    work_in_batches()
    if cpus >= processors:
        keep_to_free_processor(math.ceil(1.0 / share.worker_cpus - 1e-6))


def _find_cpus() -> float:
    """Return the CPUs that Ray may give away on this machine."""
    ray = import_ray()
    own = ray.get_runtime_context().get_node_id()
    return next(float(node["Resources"].get("CPU", 0.0)) for node in ray.nodes() if node["NodeID"] == own)
