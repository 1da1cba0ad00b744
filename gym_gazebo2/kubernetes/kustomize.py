"""The kustomizations: which files belong together, and what an overlay changes in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gym_gazebo2.kubernetes.config import ManifestConfig
from gym_gazebo2.kubernetes.overlays import OVERLAYS, make_entrypoint
from gym_gazebo2.kubernetes.pods import IMAGE
from gym_gazebo2.kubernetes.rays import make_ray_job

__all__ = ["KUSTOMIZATION", "PATCH", "has_option", "make_kustomization", "make_overlay", "make_patch"]

Object = dict[str, Any]
KUSTOMIZATION, PATCH = "kustomization.yaml", "training.yaml"
"""Names of the file that kustomize reads, and of an overlay's patch of the job."""


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
