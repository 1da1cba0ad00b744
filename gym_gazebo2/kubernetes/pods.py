"""The pods: both kinds run the same image, unprivileged, and pass the Pod Security Standard "restricted"."""

from __future__ import annotations

from typing import Any

from gym_gazebo2.kubernetes.config import ManifestConfig
from gym_gazebo2.kubernetes.overlays import RUNS

__all__ = ["CONTAINER_SECURITY", "IMAGE", "LABEL", "SCRATCH_MOUNTS", "make_pod"]

Object = dict[str, Any]
USER = 1000
IMAGE = "gym-gazebo2"
"""Name of the image in the base. The overlays replace it."""
LABEL = "app.kubernetes.io/instance"
"""Label of our pods, which the network policies select. The name of a job's Ray cluster is not known before it runs."""
CONTAINER_SECURITY: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
POD_SECURITY: Object = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,  # the volume belongs to the user
    "seccompProfile": {"type": "RuntimeDefault"},
}
SCRATCH = {"scratch": "/tmp", "home": "/home/gym"}
"""Volume → the only folders that a container can write to, besides /dev/shm and the runs. Their content ends with the pod."""
SCRATCH_MOUNTS = [{"name": name, "mountPath": path} for name, path in SCRATCH.items()]


def make_pod(config: ManifestConfig, kind: str) -> Object:
    """Return the template of a pod.

    Args:
        config: The configuration.
        kind: "head" or "worker".
    """
    has_runs = kind == "head" or config.shared_storage
    runs: list[Object] = [{"name": "runs", "persistentVolumeClaim": {"claimName": f"{config.name}-runs"}}] if has_runs else []
    container = {
        "name": f"ray-{kind}",
        "image": IMAGE,
        "resources": _make_resources(config),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [*SCRATCH_MOUNTS, *([{"name": "runs", "mountPath": RUNS}] if has_runs else [])],
    }
    spec: Object = {
        # Ray's autoscaler, in the head's pod, asks Kubernetes for pods. Nothing else here may talk to its API.
        "automountServiceAccountToken": kind == "head" and config.is_autoscaled,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [*({"name": name, "emptyDir": {}} for name in SCRATCH), *runs],
    }
    if config.pull_secret is not None:
        spec["imagePullSecrets"] = [{"name": config.pull_secret}]
    return {"metadata": {"labels": {LABEL: config.name}}, "spec": spec}


def _make_resources(config: ManifestConfig) -> Object:
    return {
        "requests": {"cpu": config.cpu_request, "memory": config.memory_request},
        "limits": {"cpu": config.cpu_limit, "memory": config.memory_limit},
    }
