"""The objects around the Ray cluster: namespace, volume, and which connections are allowed."""

from __future__ import annotations

from typing import Any

from gym_gazebo2.kubernetes.config import ManifestConfig
from gym_gazebo2.kubernetes.pods import LABEL

__all__ = ["make_namespace", "make_network_policies", "make_volume_claim"]

Object = dict[str, Any]
DASHBOARD_PORT = 8265
DNS_PORT = 53
API_PORTS = (443, 6443)
"""Ports of the API of Kubernetes: of its service, and of the server behind it."""
NODE_DNS = "169.254.20.10/32"
"""Address of NodeLocal DNSCache, where a cluster has it."""


def make_namespace(config: ManifestConfig) -> Object:
    """Return the namespace; it takes restricted pods only."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": config.namespace, "labels": labels}}


def make_volume_claim(config: ManifestConfig) -> Object:
    """Return the claim of the volume with the runs."""
    spec: Object = {
        "accessModes": ["ReadWriteMany" if config.shared_storage else "ReadWriteOnce"],
        "resources": {"requests": {"storage": config.storage}},
    }
    if config.storage_class is not None:
        spec["storageClassName"] = config.storage_class
    metadata = {"name": f"{config.name}-runs", "namespace": config.namespace}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def make_network_policies(config: ManifestConfig) -> list[Object]:
    """Return the policies: our pods reach each other and DNS; KubeRay reaches the dashboard; the autoscaler reaches the API."""
    ours: Object = {"podSelector": {"matchLabels": {LABEL: config.name}}}
    operator: Object = {
        "namespaceSelector": {},
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "kuberay-operator"}},
    }
    dns = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
        {"ipBlock": {"cidr": NODE_DNS}},
    ]
    base = {
        **ours,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [ours]}, {"from": [operator], "ports": _make_ports("TCP", DASHBOARD_PORT)}],
        "egress": [{"to": [ours]}, {"to": dns, "ports": [*_make_ports("UDP", DNS_PORT), *_make_ports("TCP", DNS_PORT)]}],
    }
    policies = [_make_policy(config, config.name, base)]
    if config.is_autoscaled:
        # KubeRay labels its pods. The cluster of a job has another name, and no autoscaler.
        head = {"podSelector": {"matchLabels": {"ray.io/cluster": config.name, "ray.io/node-type": "head"}}}
        egress = [{"ports": _make_ports("TCP", *API_PORTS)}]  # to any address: that of the API differs between clusters
        policies.append(
            _make_policy(config, f"{config.name}-autoscaler", {**head, "policyTypes": ["Egress"], "egress": egress})
        )
    return policies


def _make_policy(config: ManifestConfig, name: str, spec: Object) -> Object:
    metadata = {"name": name, "namespace": config.namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def _make_ports(protocol: str, *ports: int) -> list[Object]:
    return [{"protocol": protocol, "port": port} for port in ports]
