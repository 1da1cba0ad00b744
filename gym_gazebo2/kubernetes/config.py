"""The configuration of the manifests: one frozen dataclass."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from gym_gazebo2.checks import read_whole
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.kubernetes.overlays import OVERLAYS
from gym_gazebo2.kubernetes.quantity import read_quantity

__all__ = ["ManifestConfig"]

MAX_NAME = 47
"""Longest name that KubeRay takes for a RayJob: it makes longer ones from it."""
MAX_LABEL = 63
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
IMAGE = re.compile(
    r"(?P<repository>[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*)(?P<tag>:[\w][\w.-]*)?(@sha256:[0-9a-f]{64})?"
)
SHARED_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Namespaces with pods of others: the label for restricted pods would keep those from starting."""


@dataclasses.dataclass(frozen=True)
class ManifestConfig:
    """A Ray cluster and a training on Kubernetes. The resources and the replicas are those of the 2019 paper.

    Attributes:
        image: Image of the containers, such as registry.example.com/gym-gazebo2. Without a tag, each overlay adds its own:
            ":embedded" or ":gazebo".
        name: Name of the cluster, of the job and of the run.
        namespace: Namespace that is made for them.
        overlays: Images to write an overlay for: "embedded" trains in MuJoCo, "gazebo" in Gazebo 11.
        replicas: Worker pods of the job, and of the cluster at its start.
        min_replicas: Least number of worker pods of the cluster. Ray's autoscaler removes idle pods down to it.
        max_replicas: Most worker pods of the cluster; None: as at the start.
        workers_per_pod: Workers of a training in each pod.
        cpu_request: Processors that are guaranteed to a pod.
        memory_request: Memory that is guaranteed to a pod.
        cpu_limit: Processors that a pod may use.
        memory_limit: Memory that a pod may use.
        storage: Size of the volume with the runs.
        storage_class: Storage class of the volume; None: the default one of the Kubernetes cluster.
        shared_storage: Mount the volume in the worker pods, too. Nothing here needs that. The storage class must allow
            ReadWriteMany.
        token_secret: Existing Secret with the token of the cluster as auth_token; None: KubeRay makes a random one.
        pull_secret: Existing Secret with the login of the image's registry; None: no login.
        retries: How often a failed job is started again; it continues from its last checkpoint.
        insecure: Do not encrypt. For networks that encrypt between nodes themselves, such as Cilium with WireGuard.
    """

    image: str
    name: str = "gym-gazebo2"
    namespace: str = "gym-gazebo2"
    overlays: tuple[str, ...] = tuple(OVERLAYS)
    replicas: int = 12
    min_replicas: int = 1
    max_replicas: int | None = None
    workers_per_pod: int = 1
    cpu_request: str = "2.5"
    memory_request: str = "1.0Gi"
    cpu_limit: str = "4"
    memory_limit: str = "3.8Gi"
    storage: str = "20Gi"
    storage_class: str | None = None
    shared_storage: bool = False
    token_secret: str | None = None
    pull_secret: str | None = None
    retries: int = 3
    insecure: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UnknownNameError: There is no such overlay.
            InvalidArgumentError: A value is invalid, or two values contradict each other.
        """
        _check_names(self)
        _check_replicas(self)
        for resource in ("cpu", "memory"):
            _check_resource(self, resource)
        read_quantity("storage", self.storage)
        read_whole("workers_per_pod", self.workers_per_pod)
        read_whole("retries", self.retries, 0)

    @property
    def most_replicas(self) -> int:
        """Most worker pods."""
        return self.replicas if self.max_replicas is None else self.max_replicas

    @property
    def workers(self) -> int:
        """Workers of the training."""
        return self.replicas * self.workers_per_pod

    @property
    def is_autoscaled(self) -> bool:
        """Whether the number of worker pods varies."""
        return self.min_replicas < self.most_replicas


def _check_names(config: ManifestConfig) -> None:
    """Check everything that is a name."""
    for field, value in (("name", config.name), ("namespace", config.namespace)):
        most = MAX_NAME if field == "name" else MAX_LABEL
        if not LABEL.fullmatch(value) or len(value) > most or not value[0].isalpha():
            expected = f"lower-case letters, digits and hyphens, first a letter, at most {most} characters"
            raise InvalidArgumentError(field, value, expected)
    for field, other in (
        ("storage_class", config.storage_class),
        ("token_secret", config.token_secret),
        ("pull_secret", config.pull_secret),
    ):
        if other is not None and not all(map(LABEL.fullmatch, other.split("."))):
            raise InvalidArgumentError(field, other, "the name of an object in Kubernetes, such as my-name")
    if config.namespace in SHARED_NAMESPACES:
        why = "pods of others that are not restricted could not start there any more"
        sentence = f"namespace {config.namespace!r} is not ours: {why}. Choose a new one."
        raise InvalidArgumentError("namespace", config.namespace, sentence=sentence)
    match = IMAGE.fullmatch(config.image)
    if match is None:
        raise InvalidArgumentError("image", config.image, "the name of an image, such as registry.example.com/gym-gazebo2")
    if not config.overlays:
        raise InvalidArgumentError("overlays", (), f"one or more of: {', '.join(OVERLAYS)}")
    for overlay in config.overlays:
        if overlay not in OVERLAYS:
            raise UnknownNameError("overlay", overlay, OVERLAYS)
    if len(config.overlays) > 1 and config.image != match["repository"]:
        sentence = (
            f"image {config.image!r} has a tag, so it can serve one overlay only. Choose one with --overlays, or omit the tag."
        )
        raise InvalidArgumentError("image", config.image, sentence=sentence)


def _check_replicas(config: ManifestConfig) -> None:
    """Check that the replicas are between their bounds."""
    read_whole("replicas", config.replicas)
    read_whole("min_replicas", config.min_replicas, 0)
    if config.max_replicas is not None:
        read_whole("max_replicas", config.max_replicas)
    if not config.min_replicas <= config.replicas <= config.most_replicas:
        sentence = (
            f"replicas is {config.replicas}, expected a number from min_replicas ({config.min_replicas}) to max_replicas "
            f"({config.most_replicas}). Change one of the three."
        )
        raise InvalidArgumentError("replicas", config.replicas, sentence=sentence)


def _check_resource(config: ManifestConfig, resource: str) -> None:
    """Check that the request of a resource is at most its limit."""
    request, limit = (f"{resource}_{kind}" for kind in ("request", "limit"))
    read: Callable[[str], float] = lambda field: read_quantity(field, getattr(config, field))  # noqa: E731
    if read(request) > read(limit):
        sentence = f"{request} is {getattr(config, request)}, more than {limit} ({getattr(config, limit)}). Raise the limit."
        raise InvalidArgumentError(request, getattr(config, request), sentence=sentence)
