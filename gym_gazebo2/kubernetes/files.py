"""The files: a base for kustomize, a cluster and a job on top of it, and the overlays with the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, WriteError
from gym_gazebo2.kubernetes.config import ManifestConfig
from gym_gazebo2.kubernetes.kustomize import KUSTOMIZATION, PATCH, has_option, make_kustomization, make_overlay, make_patch
from gym_gazebo2.kubernetes.objects import make_namespace, make_network_policies, make_volume_claim
from gym_gazebo2.kubernetes.rays import make_ray_cluster, make_ray_job

__all__ = ["make_files", "write_files"]

Object = dict[str, Any]
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
    if not words:
        sentence = "The training is missing. Give its options after --, as in: -- --env MARA-v0 --algo ppo."
        raise InvalidArgumentError("training", words, sentence=sentence)
    for option in OWN_OPTIONS:
        if has_option(words, option):
            sentence = (
                f"Do not give the training {option}: the manifests set it, or it names a file of this machine. Leave it out."
            )
            raise InvalidArgumentError(option, " ".join(words), sentence=sentence)
    if has_option(words, "--backend") and len(config.overlays) > 1:
        sentence = "The training names a backend, so it fits one overlay only. Choose that one with --overlays."
        raise InvalidArgumentError("overlays", config.overlays, sentence=sentence)


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
