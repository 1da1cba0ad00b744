"""The manifests for Kubernetes: what they hold, that the committed ones are current, and that the checks find errors."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gym_gazebo2.cli import main
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.kubernetes import ManifestConfig, make_files
from gym_gazebo2.kubernetes.rays import RAY_VERSION

from .conftest import ROOT
from .kubernetes_schema import find_errors

EXAMPLES = ROOT / "deploy" / "kubernetes"
IMAGE = "registry.example.com/gym-gazebo2"
TRAINING = ("--env", "MARA-v0", "--algo", "ppo", "--steps", "1000000")
COMMAND = ("cluster", "manifest", "--image", IMAGE, "--out")
CONFIGS = {
    "default": ManifestConfig(IMAGE),
    "fixed": ManifestConfig(IMAGE, min_replicas=12),
    "other": ManifestConfig(
        f"{IMAGE}:1.0",
        name="other",
        namespace="lab",
        overlays=("gazebo",),
        replicas=2,
        min_replicas=0,
        max_replicas=8,
        storage_class="fast",
        shared_storage=True,
        token_secret="token",
        pull_secret="login",
        insecure=True,
    ),
}


def list_manifests(config: ManifestConfig) -> list[Any]:
    """Return all manifests that can be applied; the patches among the files are not whole."""
    return [o for path, objects in make_files(config, TRAINING).items() for o in objects if not path.endswith("training.yaml")]


def find(config: ManifestConfig, kind: str) -> Any:
    return copy.deepcopy(next(o for o in list_manifests(config) if o["kind"] == kind))


def read_tree(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.yaml")}


def test_the_committed_files_are_what_the_command_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, str(tmp_path), "--", *TRAINING]) == 0
    assert read_tree(EXAMPLES) == read_tree(tmp_path) != {}
    assert f"kubectl apply -k {tmp_path}/overlays/embedded/job" in capsys.readouterr().out


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_manifest_is_valid(config: ManifestConfig) -> None:
    manifests = list_manifests(config)
    kinds = {manifest["kind"] for manifest in manifests}
    assert kinds == {"Namespace", "PersistentVolumeClaim", "NetworkPolicy", "RayCluster", "RayJob", "Kustomization"}
    assert {m["kind"]: errors for m in manifests if (errors := find_errors(m))} == {}


def test_the_defaults_are_those_of_the_paper() -> None:
    spec = find(CONFIGS["default"], "RayCluster")["spec"]
    group = spec["workerGroupSpecs"][0]
    resources = {"requests": {"cpu": "2.5", "memory": "1.0Gi"}, "limits": {"cpu": "4", "memory": "3.8Gi"}}
    assert group["replicas"] == group["maxReplicas"] == 12
    assert group["template"]["spec"]["containers"][0]["resources"] == resources
    assert spec["rayVersion"] == RAY_VERSION


def test_the_version_of_ray_is_that_of_the_images() -> None:
    assert f"\nray=={RAY_VERSION}\n" in (ROOT / "constraints.txt").read_text()


def test_access_and_encryption() -> None:
    default, other = (find(CONFIGS[name], "RayCluster")["spec"] for name in ("default", "other"))
    assert default["authOptions"] == {"mode": "token"} and default["tlsOptions"] == {"enabled": True}
    assert other["authOptions"] == {"mode": "token", "secretName": "token"} and "tlsOptions" not in other


def test_only_a_head_with_an_autoscaler_reaches_the_api() -> None:
    for name, autoscaled in (("default", True), ("fixed", False)):
        config = CONFIGS[name]
        spec = find(config, "RayCluster")["spec"]
        assert spec.get("enableInTreeAutoscaling", False) is autoscaled
        assert spec["headGroupSpec"]["template"]["spec"]["automountServiceAccountToken"] is autoscaled
        assert spec["workerGroupSpecs"][0]["template"]["spec"]["automountServiceAccountToken"] is False
        policies = make_files(config, TRAINING)["base/network-policy.yaml"]
        assert [policy["metadata"]["name"] for policy in policies] == ["gym-gazebo2", "gym-gazebo2-autoscaler"][
            : 1 + autoscaled
        ]


def test_a_job_keeps_its_pods_and_needs_no_autoscaler() -> None:
    for name in ("default", "other"):
        spec = find(CONFIGS[name], "RayJob")["spec"]["rayClusterSpec"]
        group = spec["workerGroupSpecs"][0]
        assert group["minReplicas"] == group["replicas"] == group["maxReplicas"] == CONFIGS[name].replicas
        assert "enableInTreeAutoscaling" not in spec
        assert spec["headGroupSpec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_network_policies_select_the_pods() -> None:
    config = CONFIGS["other"]
    spec = find(config, "RayJob")["spec"]["rayClusterSpec"]
    labels = [g["template"]["metadata"]["labels"] for g in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    assert all(label == find(config, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] for label in labels)


def test_the_volume_is_in_the_head_and_on_request_in_the_workers() -> None:
    for name, kinds, mode in (("default", 1, "ReadWriteOnce"), ("other", 2, "ReadWriteMany")):
        spec = find(CONFIGS[name], "RayCluster")["spec"]
        pods = [g["template"]["spec"] for g in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
        claim = find(CONFIGS[name], "PersistentVolumeClaim")
        mounted = [v["persistentVolumeClaim"]["claimName"] for pod in pods for v in pod["volumes"] if "emptyDir" not in v]
        assert mounted == [claim["metadata"]["name"]] * kinds
        assert claim["spec"]["accessModes"] == [mode]


@pytest.mark.parametrize("name", ["embedded", "gazebo"])
def test_the_job_trains_and_its_second_try_resumes(name: str, tmp_path: Path) -> None:
    """The command runs in a shell in which ``gym-gazebo2`` prints its arguments, and /runs is a folder here."""
    patch = make_files(CONFIGS["default"], [*TRAINING, "--hyper", "net_arch=[64, 64]"])[f"overlays/{name}/job/training.yaml"][0]
    command = patch["spec"]["entrypoint"].replace("/runs/", f"{tmp_path}/")
    program = tmp_path / "gym-gazebo2"
    program.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    program.chmod(0o755)

    def run() -> list[str]:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(
            ["sh", "-c", command], env=environment, capture_output=True, text=True, check=True, timeout=10
        ).stdout.split("|")

    run_folder = tmp_path / f"gym-gazebo2-{name}"
    backend = {"embedded": "mujoco", "gazebo": "gazebo"}[name]
    own = ["--backend", backend, "--workers", "12", "--address", "127.0.0.1:6379", "--out", str(run_folder)]
    assert run()[:-1] == ["train", *TRAINING, "--hyper", "net_arch=[64, 64]", *own]
    run_folder.mkdir()
    (run_folder / "config.json").touch()
    assert run()[:-1] == ["resume", str(run_folder)]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize(
    "overlay", sorted(p.parent.relative_to(EXAMPLES).as_posix() for p in EXAMPLES.glob("overlays/*/*/k*.yaml"))
)
def test_kustomize_builds_every_overlay(overlay: str) -> None:
    done = subprocess.run(["kubectl", "kustomize", EXAMPLES / overlay], capture_output=True, text=True, check=True, timeout=60)
    manifests = list(yaml.safe_load_all(done.stdout))
    assert [error for manifest in manifests for error in find_errors(manifest)] == []
    assert set(re.findall(r"image: (.*)", done.stdout)) == {f"{IMAGE}:{overlay.split('/')[1]}"}
    commands = [manifest["spec"]["entrypoint"] for manifest in manifests if manifest["kind"] == "RayJob"]
    assert all("gym-gazebo2 train" in command for command in commands)
    assert len(commands) == overlay.endswith("job")


def worker(manifest: Any) -> Any:
    return manifest["spec"]["workerGroupSpecs"][0]


def container(manifest: Any) -> Any:
    return worker(manifest)["template"]["spec"]["containers"][0]


PLANTED: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "unknown field": ("RayCluster", lambda m: m["spec"].update(workers=3), "'workers' was unexpected"),
    "unknown field of a pod": ("RayCluster", lambda m: container(m).update(imagee="x"), "'imagee' was unexpected"),
    "unknown field of a volume": ("PersistentVolumeClaim", lambda m: m["spec"].update(size="1Gi"), "'size' was unexpected"),
    "unknown field of a kustomization": ("Kustomization", lambda m: m.update(resource=[]), "'resource' was unexpected"),
    "wrong type": ("RayJob", lambda m: m["spec"].update(backoffLimit="3"), "'3' is not of type 'integer'"),
    "wrong type in a pod": ("RayCluster", lambda m: container(m).update(volumeMounts={}), "is not of type 'array'"),
    "wrong type of a policy": ("NetworkPolicy", lambda m: m["spec"].update(ingress="all"), "is not of type 'array'"),
    "missing image": ("RayCluster", lambda m: container(m).pop("image"), "'image' is a required property"),
    "missing head": ("RayCluster", lambda m: m["spec"].pop("headGroupSpec"), "'headGroupSpec' is a required property"),
    "privileged": (
        "RayCluster",
        lambda m: container(m)["securityContext"].update(privileged=True),
        "securityContext.privileged",
    ),
    "root in a container": (
        "RayCluster",
        lambda m: container(m)["securityContext"].update(runAsUser=0),
        "0 is less than the minimum",
    ),
    "root in a pod": (
        "RayCluster",
        lambda m: worker(m)["template"]["spec"]["securityContext"].update(runAsUser=0, runAsNonRoot=False),
        "securityContext.runAsNonRoot",
    ),
    "capabilities": (
        "RayCluster",
        lambda m: container(m)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
        "'add' was",
    ),
    "autoscaler": ("RayCluster", lambda m: m["spec"]["autoscalerOptions"]["securityContext"].clear(), "is a required property"),
    "host folder": (
        "RayCluster",
        lambda m: worker(m)["template"]["spec"]["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        "'hostPath' is not one of",
    ),
    "min above max": ("RayCluster", lambda m: worker(m).update(minReplicas=13), "not between minReplicas and maxReplicas"),
    "no token": ("RayCluster", lambda m: m["spec"]["authOptions"].update(mode="disabled"), "'token' was expected"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_error_is_found(planted: str) -> None:
    kind, plant, expected = PLANTED[planted]
    manifest = find(CONFIGS["default"], kind)
    plant(manifest)
    errors = find_errors(manifest)
    assert any(expected in error for error in errors), errors


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"name": "Arm_1"}, "name is 'Arm_1', expected lower-case"),
    "long name": ({"name": "a" * 48}, "at most 47"),
    "namespace of others": ({"namespace": "default"}, "Choose a new one"),
    "image": ({"image": "not an image"}, "expected the name of an image"),
    "tag for two overlays": ({"image": f"{IMAGE}:1"}, "can serve one overlay only"),
    "no overlay": ({"overlays": ()}, "overlays is"),
    "overlay": ({"overlays": ("gazebos",)}, "Did you mean 'gazebo'"),
    "no replicas": ({"replicas": 0}, "whole number of at least 1"),
    "min above replicas": ({"min_replicas": 13}, r"from min_replicas \(13\)"),
    "max below replicas": ({"max_replicas": 3}, r"max_replicas \(3\)"),
    "quantity": ({"memory_limit": "3.8GB"}, "memory_limit is '3.8GB', expected a positive quantity"),
    "storage": ({"storage": "0"}, "storage is '0'"),
    "request above limit": ({"cpu_request": "4500m"}, "cpu_request is 4500m, more than cpu_limit"),
    "workers per pod": ({"workers_per_pod": 0}, "workers_per_pod is 0"),
    "retries": ({"retries": -1}, "retries is -1"),
    "secret": ({"token_secret": "my secret"}, "token_secret is 'my secret'"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_configurations(case: str) -> None:
    values, message = INVALID[case]
    with pytest.raises((InvalidArgumentError, UnknownNameError), match=message):
        ManifestConfig(**{"image": IMAGE, **values})


@pytest.mark.parametrize(
    ("options", "training", "message"),
    [
        ([], ["--env", "MARA-v0", "--workers", "3"], "Do not give the training --workers"),
        ([], ["--env", "MARA-v0", "--out=here"], "Do not give the training --out"),
        ([], ["--env", "MARA-v0", "--backend", "mujoco"], "fits one overlay only"),
        ([], [], "The training is missing"),
        ([], ["--env", "MARA-v0", "--invite", "file"], "Do not give the training --invite"),
        ([], ["--env", "NoSuchArm-v0"], "NoSuchArm-v0"),
        (["--replicas", "24"], ["--env", "MARA-v0"], "replicas × workers_per_pod = 24"),
        ([], ["--env", "MARA-v0", "--algo", "sac"], "Cannot train sac with workers"),
    ],
)
def test_a_training_that_cannot_run_is_refused_before_anything_is_written(
    options: list[str], training: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMAND, str(tmp_path / "new"), *options, "--", *training]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([*COMMAND, str(tmp_path / "file" / "below"), "--", *TRAINING]) == 1
    assert "Choose another folder with --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("image", "fields"),
    [
        ("arm", {"newName": "arm", "newTag": "gazebo"}),
        ("arm:1", {"newName": "arm", "newTag": "1"}),
        ("host:5000/arm", {"newName": "host:5000/arm", "newTag": "gazebo"}),
        ("host:5000/a/arm:1", {"newName": "host:5000/a/arm", "newTag": "1"}),
        (f"host/arm@sha256:{'0' * 64}", {"newName": "host/arm", "digest": f"sha256:{'0' * 64}"}),
    ],
)
def test_names_of_images(image: str, fields: dict[str, str]) -> None:
    files = make_files(ManifestConfig(image, overlays=("gazebo",)), TRAINING)
    kustomization = files["overlays/gazebo/job/kustomization.yaml"][0]
    assert kustomization["images"] == [{"name": "gym-gazebo2", **fields}]
    assert find_errors(kustomization) == []
