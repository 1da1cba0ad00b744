"""The files: a base for kustomize, a cluster and a job on top of it, and the overlays with the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, WriteError
from gym_gazebo2.kubernetes.config import ManifestConfig
from gym_gazebo2.kubernetes.objects import make_namespace, make_network_policies, make_volume_claim
from gym_gazebo2.kubernetes.overlays import OVERLAYS, make_entrypoint
from gym_gazebo2.kubernetes.pods import IMAGE
from gym_gazebo2.kubernetes.rays import make_ray_cluster, make_ray_job

__all__ = ["make_files", "write_files"]

Object = dict[str, Any]
KUSTOMIZATION, PATCH = "kustomization.yaml", "training.yaml"
HEADER = "# Written by `gym-gazebo2 cluster manifest`: run it again to change this file.\n"
OWN_OPTIONS = ("--workers", "--address", "--out", "--config", "--invite")
"""Options of a training that follow from the manifests, or that name a file of this machine."""


def make_files(config: ManifestConfig, words: Sequence[str]) -> dict[str, list[Object]]:
    """Return the manifests: path → the objects in that file.

    Args:
        config: The configuration.
        words: Options of ``gym-gazebo2 train`` for the job.

    Raises:
        InvalidArgumentError: An option of the training contradicts the manifests.
    """
    check_words(config, words)
    files = {
        "base/namespace.yaml": [make_namespace(config)],
        "base/volume.yaml": [make_volume_claim(config)],
        "base/network-policy.yaml": make_network_policies(config),
        "cluster/raycluster.yaml": [make_ray_cluster(config)],
        # Each overlay sets its own command: a base that is applied by mistake fails, and trains nothing.
        "job/rayjob.yaml": [make_ray_job(config, "echo Apply an overlay instead. >&2; exit 1")],
        f"base/{KUSTOMIZATION}": [make_kustomization("namespace.yaml", "volume.yaml", "network-policy.yaml")],
        f"cluster/{KUSTOMIZATION}": [make_kustomization("../base", "raycluster.yaml")],
        f"job/{KUSTOMIZATION}": [make_kustomization("../base", "rayjob.yaml")],
    }
    for name in config.overlays:
        files[f"overlays/{name}/cluster/{KUSTOMIZATION}"] = [make_overlay(config, name, "cluster")]
        files[f"overlays/{name}/job/{KUSTOMIZATION}"] = [make_overlay(config, name, "job", patches=[{"path": PATCH}])]
        files[f"overlays/{name}/job/{PATCH}"] = [make_patch(config, name, words)]
    return files


def check_words(config: ManifestConfig, words: Sequence[str]) -> None:
    """Check that the options of a training do not contradict the manifests.

    Raises:
        InvalidArgumentError: They do.
    """
    for option in OWN_OPTIONS:
        if has_option(words, option):
            sentence = (
                f"Do not give the training {option}: the manifests set it, or it names a file of this machine. Leave it out."
            )
            raise InvalidArgumentError(option, " ".join(words), sentence=sentence)
    if has_option(words, "--backend") and len(config.overlays) > 1:
        sentence = "The training names a backend, so it fits one overlay only. Choose that one with --overlays."
        raise InvalidArgumentError("overlays", config.overlays, sentence=sentence)


def make_overlay(config: ManifestConfig, name: str, kind: str, **fields: Any) -> Object:
    """Return the kustomization of an overlay.

    Args:
        config: The configuration.
        name: Row of ``OVERLAYS``.
        kind: "cluster" or "job".
        **fields: Further fields of the kustomization.
    """
    images = [{"name": IMAGE, **split_image(config.image, OVERLAYS[name].tag)}]
    return {**make_kustomization(f"../../../{kind}"), "images": images, **fields}


def make_patch(config: ManifestConfig, name: str, words: Sequence[str]) -> Object:
    """Return the patch of a job that sets its command.

    Args:
        config: The configuration.
        name: Row of ``OVERLAYS``.
        words: Options of the training.
    """
    backend = [] if has_option(words, "--backend") else ["--backend", OVERLAYS[name].backend]
    command = make_entrypoint(f"{config.name}-{name}", config.workers, [*words, *backend])
    job = make_ray_job(config, command)
    return {**job, "spec": {"entrypoint": command}}


def has_option(words: Sequence[str], option: str) -> bool:
    """Return whether words of a command line give an option, such as "--env-kwargs", also written with underscores."""
    return any(word.partition("=")[0].replace("_", "-") == option for word in words)


def split_image(image: str, tag: str) -> Object:
    """Return the fields of an image in a kustomization.

    Args:
        image: Name, possibly with a tag and a digest.
        tag: Tag of a name that has neither.
    """
    rest, _, digest = image.partition("@")
    path, slash, last = rest.rpartition("/")
    last, _, given = last.partition(":") if slash else (last, "", "")
    if not slash and ":" in rest:
        last, _, given = rest.partition(":")
    name = {"newName": f"{path}{slash}{last}"}
    return {**name, "digest": digest} if digest else {**name, "newTag": given or tag}


def make_kustomization(*resources: str) -> Object:
    """Return a kustomization of files and folders."""
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(resources)}


def write_files(files: Mapping[str, Sequence[Object]], folder: Path) -> list[Path]:
    """Write manifests as YAML, and return their paths. Files of the same names are replaced.

    Raises:
        MissingDependencyError: PyYAML is not installed.
        WriteError: A file cannot be written.
    """
    texts = {folder / name: HEADER + "---\n".join(map(_dump, objects)) for name, objects in files.items()}
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            raise WriteError(path, error.strerror or str(error), "Choose another folder with --out.") from error
    return list(texts)


def _dump(value: Any) -> str:
    """Return YAML that is easy to read and to edit: no anchors and aliases, and texts of several lines as they are."""
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError("yaml", "train") from error

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent(dumper: yaml.SafeDumper, text: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, represent)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, width=1000)
