"""Asks a Ray cluster for its machines and versions, and prints the answer as JSON.

If a cluster does not answer, Ray's client waits for minutes inside its C++ code, and a process can connect only once. So this
file is run as a program in a process of its own, which can be ended. It needs nothing but Ray.

Usage: ask.py HOST:PORT [JSON to store as the description of the package on the head]
"""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["ask"]

KEY, NAMESPACE = b"description", b"gym_gazebo2"
"""Key and namespace of the head's description of this package in the cluster's key-value store."""
TIMEOUT_S = 8.0
"""Longest wait of Ray for one answer [s]."""


def ask(address: str, description: str | None = None) -> dict[str, Any]:
    """Return nodes and versions of a cluster.

    Args:
        address: "HOST:PORT".
        description: JSON that is stored for those who ask later; None: only ask.

    Returns:
        "nodes": address, host, alive, is_head, cpus and folder of each; "ray": the versions that Ray stores; "package": the
        stored description, or None.
    """
    from ray import _raylet

    client: Any = _raylet.GcsClient(address=address)  # type: ignore[attr-defined]
    if description is not None:
        client.internal_kv_put(KEY, description.encode(), True, NAMESPACE, timeout=TIMEOUT_S)
    nodes = client.get_all_node_info(timeout=TIMEOUT_S).values()
    versions = client.internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=TIMEOUT_S)
    package = client.internal_kv_get(KEY, NAMESPACE, timeout=TIMEOUT_S)
    return {
        "nodes": [_describe(node) for node in nodes],
        "ray": json.loads(versions or b"{}"),
        "package": json.loads(package) if package else None,
    }


def _describe(node: Any) -> dict[str, Any]:
    return {
        "address": node.node_manager_address,
        "host": node.node_manager_hostname,
        "alive": node.state == 0,  # GcsNodeInfo.ALIVE
        "is_head": node.is_head_node,
        "cpus": node.resources_total.get("CPU", 0.0),
        "folder": node.temp_dir,
    }


if __name__ == "__main__":
    try:
        answer = ask(*sys.argv[1:])
    except Exception as error:  # of any kind: the caller turns it into a message
        answer = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(answer))
