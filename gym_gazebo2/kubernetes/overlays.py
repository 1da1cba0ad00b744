"""The overlays: one image each, and the backend that a training uses in it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

__all__ = ["OVERLAYS", "RUNS", "Overlay", "make_entrypoint"]

RUNS = "/runs"
"""Folder of the volume in the containers."""
HEAD = "127.0.0.1:6379"
"""Address of Ray's head for the learner, which runs in the same pod. KubeRay uses this port."""


@dataclasses.dataclass(frozen=True)
class Overlay:
    """An overlay.

    Attributes:
        tag: Tag of its image, made from ``deploy/Containerfile.<tag>``.
        backend: Backend of a training that names none.
    """

    tag: str
    backend: str


OVERLAYS = {"embedded": Overlay("embedded", "mujoco"), "gazebo": Overlay("gazebo", "gazebo")}


def make_entrypoint(run: str, workers: int, words: Sequence[str]) -> str:
    """Return the shell command of a job: train, or continue where an earlier try has begun.

    Args:
        run: Name of the run folder.
        workers: Workers.
        words: Options of ``gym-gazebo2 train``.
    """
    out = f"{RUNS}/{run}"
    train = shlex.join(["gym-gazebo2", "train", *words, "--workers", str(workers), "--address", HEAD, "--out", out])
    return f"if [ -e {out}/config.json ]; then\n  gym-gazebo2 resume {out}\nelse\n  {train}\nfi\n"
