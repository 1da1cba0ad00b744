"""The types of a cluster's machines, for their prices."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from gym_gazebo2.algos.distributed.places import WorkerStatus
from gym_gazebo2.algos.distributed.session import import_ray

__all__ = ["find_machines", "list_types"]

TYPE_LABEL = "ray.io/node-group"
"""Label of a node with its type. KubeRay sets it; elsewhere ``ray start`` takes it from the variable RAY_NODE_TYPE_NAME."""


def list_types() -> dict[str, str]:
    """Return name of each machine of the cluster → its type; empty where it has none. Ray is connected."""
    return {node["NodeManagerHostname"]: node["Labels"].get(TYPE_LABEL, "") for node in import_ray().nodes()}


def find_machines(workers: Sequence[WorkerStatus]) -> dict[str, str]:
    """Return name → type of the machines that a training holds: that of the learner, and those of its workers.

    Args:
        workers: The workers; none where this process steps the environments.
    """
    own = socket.gethostname()
    if not workers:
        return {own: ""}
    types = list_types()
    return {host: types.get(host, "") for host in [own, *(worker.host for worker in workers if worker.host)]}
