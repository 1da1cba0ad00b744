"""``gym-gazebo2 cluster manifest``: the files for Kubernetes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from typing_extensions import Self

from gym_gazebo2.cli.command import Command
from gym_gazebo2.cli.inline import INLINE
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.kubernetes import ManifestConfig, make_files, write_files
from gym_gazebo2.kubernetes.overlays import OVERLAYS

__all__ = ["Manifest"]


@dataclasses.dataclass(frozen=True)
class Manifest(Command):
    """Write the files for a Ray cluster and a training on Kubernetes, with the operator KubeRay.

    The options of the training follow after --, as in: --image registry.example.com/gym-gazebo2 -- --env MARA-v0 --algo ppo

    Attributes:
        settings: The cluster.
        out: Folder for the files. Files of the same names are replaced.
        words: Options of the training.
    """

    settings: Annotated[ManifestConfig, INLINE]
    out: Path = Path("kubernetes")
    words: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the command; what follows after -- belongs to the training."""
        end = args.index("--") if "--" in args else len(args)
        given = super().parse(args[:end], program)
        return dataclasses.replace(given, words=tuple(args[end + 1 :]))

    def run(self) -> None:
        """Check the training, write the files, and print what to do with them."""
        files = make_files(self.settings, self.words)
        for overlay in self.settings.overlays:
            self._check_training(OVERLAYS[overlay].backend)
        for path in write_files(files, self.out):
            print(path)
        job = self.out / "overlays" / self.settings.overlays[0] / "job"
        print(f"Train: kubectl apply -k {job}")

    def _check_training(self, backend: str) -> None:
        """Read the options of the training as the job will: an error is cheaper here than on the cluster."""
        from gym_gazebo2.algos.config import resolve
        from gym_gazebo2.cli.training import Train

        settings = Train.parse(self.words, "gym-gazebo2 train").settings
        workers = self.settings.workers
        try:
            resolve(dataclasses.replace(settings, backend=settings.backend or backend, workers=workers))
        except InvalidArgumentError as error:
            if error.name != "workers":
                raise
            sentence = f"{error} The job has replicas × workers_per_pod = {workers} workers."
            raise InvalidArgumentError("workers", workers, sentence=sentence) from error
