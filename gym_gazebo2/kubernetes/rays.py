"""The two objects of KubeRay: a cluster that stays, and a job that brings a cluster of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

from gym_gazebo2.kubernetes.config import ManifestConfig
from gym_gazebo2.kubernetes.pods import CONTAINER_SECURITY, SCRATCH_MOUNTS, make_pod

__all__ = ["RAY_VERSION", "make_ray_cluster", "make_ray_job"]

Object = dict[str, Any]
API = "ray.io/v1"
RAY_VERSION = "2.60.0"
"""Version of Ray in the images, from constraints.txt. KubeRay chooses its health checks by it."""
IDLE_TIMEOUT_S = 300
"""Time after which the autoscaler removes an idle pod [s]. A learner that starts needs less than a minute."""
KEPT_S = 300
"""Time that the pods of an ended job stay, for a look at their logs [s]."""


def make_ray_cluster(config: ManifestConfig) -> Object:
    """Return a cluster that stays until it is deleted."""
    return {"apiVersion": API, "kind": "RayCluster", "metadata": _make_metadata(config), "spec": _make_cluster_spec(config)}


def make_ray_job(config: ManifestConfig, entrypoint: str) -> Object:
    """Return a job with a cluster of its own, which ends with the job.

    Args:
        config: The configuration.
        entrypoint: Shell command that the head's pod runs.
    """
    # A training keeps all its workers until its end, so there is nothing to scale; KubeRay itself replaces lost pods.
    fixed = dataclasses.replace(config, min_replicas=config.replicas, max_replicas=config.replicas)
    spec: Object = {
        "entrypoint": entrypoint,
        # The operator hands in the job by HTTP: no further pod, and the command is read by one shell only.
        "submissionMode": "HTTPMode",
        "backoffLimit": config.retries,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": KEPT_S,
        "rayClusterSpec": _make_cluster_spec(fixed),
    }
    return {"apiVersion": API, "kind": "RayJob", "metadata": _make_metadata(config), "spec": spec}


def _make_metadata(config: ManifestConfig) -> Object:
    return {"name": config.name, "namespace": config.namespace}


def _make_cluster_spec(config: ManifestConfig) -> Object:
    """Return the specification of a Ray cluster: access, encryption, autoscaling, and the two kinds of pods."""
    auth: Object = {"mode": "token"}
    if config.token_secret is not None:
        auth["secretName"] = config.token_secret
    spec: Object = {"rayVersion": RAY_VERSION, "authOptions": auth}
    if not config.insecure:
        spec["tlsOptions"] = {"enabled": True}
    if config.is_autoscaled:
        spec["enableInTreeAutoscaling"] = True
        spec["autoscalerOptions"] = {
            "idleTimeoutSeconds": IDLE_TIMEOUT_S,
            "securityContext": CONTAINER_SECURITY,
            "volumeMounts": SCRATCH_MOUNTS,
        }
    # The head has no CPU for workers: the learner and Ray's own services run there.
    head_params = {"num-cpus": "0", "dashboard-host": "0.0.0.0"}
    spec["headGroupSpec"] = {"rayStartParams": head_params, "template": make_pod(config, "head")}
    spec["workerGroupSpecs"] = [
        {
            "groupName": "workers",
            "replicas": config.replicas,
            "minReplicas": config.min_replicas,
            "maxReplicas": config.most_replicas,
            "rayStartParams": {"num-cpus": str(config.workers_per_pod)},
            "template": make_pod(config, "worker"),
        }
    ]
    return spec
