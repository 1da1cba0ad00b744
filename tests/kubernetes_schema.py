"""What a manifest must be: Kubernetes' own schemas, a schema for the parts of KubeRay that we use, and "restricted" pods."""

from __future__ import annotations

from typing import Any

import jsonschema
import kubernetes_validate

Object = dict[str, Any]


def closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> Object:
    """Return the schema of an object without further fields."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT: Object = {"type": "string", "minLength": 1}
FLAG: Object = {"type": "boolean"}
COUNT: Object = {"type": "integer", "minimum": 0}
PARAMS: Object = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = closed({"name": TEXT, "namespace": TEXT})
TEMPLATE = closed({"metadata": {"type": "object"}, "spec": {"type": "object"}})
GROUP = closed(
    {
        "groupName": TEXT,
        "replicas": COUNT,
        "minReplicas": COUNT,
        "maxReplicas": COUNT,
        "rayStartParams": PARAMS,
        "template": TEMPLATE,
    }
)
AUTOSCALER = closed({"idleTimeoutSeconds": COUNT, "securityContext": {"type": "object"}, "volumeMounts": {"type": "array"}})
CLUSTER = closed(
    {
        "rayVersion": TEXT,
        "authOptions": closed({"mode": {"const": "token"}}, {"secretName": TEXT}),
        "headGroupSpec": closed({"rayStartParams": PARAMS, "template": TEMPLATE}),
        "workerGroupSpecs": {"type": "array", "minItems": 1, "items": GROUP},
    },
    {"tlsOptions": closed({"enabled": {"const": True}}), "enableInTreeAutoscaling": FLAG, "autoscalerOptions": AUTOSCALER},
)
JOB = closed(
    {
        "entrypoint": TEXT,
        "submissionMode": {"enum": ["HTTPMode", "K8sJobMode", "SidecarMode", "InteractiveMode"]},
        "backoffLimit": COUNT,
        "shutdownAfterJobFinishes": FLAG,
        "ttlSecondsAfterFinished": COUNT,
        "rayClusterSpec": CLUSTER,
    }
)
HEADER = {"apiVersion": {"const": "ray.io/v1"}, "kind": TEXT, "metadata": METADATA}
IMAGE = closed({"name": TEXT, "newName": TEXT}, {"newTag": TEXT, "digest": TEXT})
SCHEMAS = {
    "RayCluster": closed({**HEADER, "spec": CLUSTER}),
    "RayJob": closed({**HEADER, "spec": JOB}),
    "Kustomization": closed(
        {
            "apiVersion": {"const": "kustomize.config.k8s.io/v1beta1"},
            "kind": TEXT,
            "resources": {"type": "array", "items": TEXT},
        },
        {"images": {"type": "array", "items": IMAGE}, "patches": {"type": "array", "items": closed({"path": TEXT})}},
    ),
}

NO: Object = {"enum": [False]}
CONTAINER_SECURITY: Object = {
    "type": "object",
    "required": ["allowPrivilegeEscalation", "capabilities"],
    "properties": {
        "allowPrivilegeEscalation": NO,
        "privileged": NO,
        "capabilities": closed({"drop": {"type": "array", "contains": {"const": "ALL"}}}),
        "runAsUser": {"type": "integer", "minimum": 1},
        "runAsNonRoot": {"const": True},
    },
}
RESTRICTED: Object = {
    "type": "object",
    "required": ["securityContext", "containers"],
    "properties": {
        **dict.fromkeys(("hostNetwork", "hostPID", "hostIPC"), NO),
        "securityContext": {
            "type": "object",
            "required": ["runAsNonRoot", "seccompProfile"],
            "properties": {
                "runAsNonRoot": {"const": True},
                "runAsUser": {"type": "integer", "minimum": 1},
                "seccompProfile": closed({"type": {"const": "RuntimeDefault"}}),
            },
        },
        "containers": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["image", "resources", "securityContext"],
                "properties": {"image": TEXT, "securityContext": CONTAINER_SECURITY},
            },
        },
        "volumes": {
            "type": "array",
            "items": {"propertyNames": {"enum": ["name", "emptyDir", "persistentVolumeClaim", "secret"]}},
        },
    },
}
"""The Pod Security Standard "restricted", as far as our pods have such fields; Kubernetes itself allows a missing image."""


def find_errors(manifest: Object) -> list[str]:
    """Return what is wrong with a manifest, as texts that name the field."""
    kind = manifest.get("kind")
    if kind not in SCHEMAS:
        return _validate_core(manifest)
    errors = _validate(manifest, SCHEMAS[kind])
    spec = manifest.get("spec", {}) if kind == "RayCluster" else manifest.get("spec", {}).get("rayClusterSpec", {})
    return errors if errors or kind == "Kustomization" else _validate_cluster(spec)


def _validate_cluster(spec: Object) -> list[str]:
    """Return what is wrong with the pods and the bounds of a Ray cluster."""
    errors = []
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "pod", **group["template"]["metadata"]},
            "spec": group["template"]["spec"],
        }
        errors += _validate_core(pod) + _validate(pod["spec"], RESTRICTED)
    for group in spec["workerGroupSpecs"]:
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            errors.append(f"{group['groupName']}: replicas are not between minReplicas and maxReplicas")
    if "autoscalerOptions" in spec:
        errors += _validate(spec["autoscalerOptions"]["securityContext"], CONTAINER_SECURITY)
    return errors


def _validate(value: Any, schema: Object) -> list[str]:
    found = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def _validate_core(manifest: Object) -> list[str]:
    try:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []
