"""Find the machines and versions of a running cluster, in a process that can be ended (``ask.py``)."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.distributed import ask
from gym_gazebo2.algos.distributed.machine import merge_variables
from gym_gazebo2.algos.security.admission import find_credentials
from gym_gazebo2.algos.security.credentials import Credentials
from gym_gazebo2.algos.security.probe import probe
from gym_gazebo2.errors import WorkerError

__all__ = ["ClusterState", "NodeState", "ask_cluster", "check_cluster", "describe_package"]

ASK_TIMEOUT_S = 8.0
"""Longest wait for the answer of a cluster [s]: 0.4 s on an idle machine, of which half is the import of Ray."""
RUN_FILE = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
"""Runs a file without its folder on the module path. With it, modules beside the file would hide packages of the same names."""


@dataclasses.dataclass(frozen=True)
class NodeState:
    """A machine of a cluster, as Ray reports it.

    Attributes:
        address: Its IP address.
        host: Its name.
        alive: Whether it belongs to the cluster now.
        is_head: Whether it is the head.
        cpus: CPUs that workers may use there.
        folder: Folder of its Ray processes.
    """

    address: str
    host: str
    alive: bool
    is_head: bool
    cpus: float
    folder: str


@dataclasses.dataclass(frozen=True)
class ClusterState:
    """The answer of a cluster.

    Attributes:
        nodes: Machines, also those that have left.
        versions: "ray" and "python", and "gym_gazebo2" where the head was started by this package.
    """

    nodes: tuple[NodeState, ...]
    versions: Mapping[str, str]

    @property
    def alive(self) -> list[NodeState]:
        """The machines that belong to it now, the head first."""
        return sorted((node for node in self.nodes if node.alive), key=lambda node: (not node.is_head, node.address))


def check_cluster(
    address: str, invite: str | os.PathLike[str] | None = None, insecure: bool = False
) -> tuple[Credentials, ClusterState]:
    """Check that a cluster answers, admits this machine and has its versions; at most 15 s.

    Args:
        address: HOST:PORT.
        invite: File of ``cluster invite``; None: Ray's environment variables, or the head of this machine.
        insecure: Accept a connection without TLS, because a VPN encrypts it.

    Returns:
        What was used to enter, and what the cluster answered.

    Raises:
        InvalidArgumentError: The address has another form.
        RunError: The invite cannot be read.
        WorkerError: The cluster does not answer, refuses this machine, or has other versions.
    """
    credentials = find_credentials(address, invite, insecure)
    probe(address, credentials)
    with tempfile.TemporaryDirectory() as folder:
        state = ask_cluster(address, credentials.make_environment(Path(folder)))
    _check_versions(address, state)
    return credentials, state


def describe_package() -> dict[str, str]:
    """Return the versions that must be equal on all machines."""
    return {name: metadata.version(name) for name in ("gym_gazebo2", "ray")} | {"python": platform.python_version()}


def ask_cluster(
    address: str, environment: Mapping[str, str | None], description: Mapping[str, str] | None = None
) -> ClusterState:
    """Ask a cluster.

    Args:
        address: HOST:PORT.
        environment: Ray's variables, with token and certificates.
        description: Versions of the head, to be stored there for those who ask later.

    Raises:
        WorkerError: It refuses the token, or does not answer in time.
    """
    command = [sys.executable, "-c", RUN_FILE, ask.__file__, address]
    if description is not None:
        command.append(json.dumps(description))
    try:
        done = subprocess.run(
            command, env=merge_variables(environment), capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        sentence = f"The Ray cluster at {address} did not answer within {ASK_TIMEOUT_S:g} s."
        raise WorkerError(f"{sentence} Check token and certificates, and that the head still runs.") from error
    answer = _read_answer(address, done)
    versions = {name.removesuffix("_version"): str(value) for name, value in answer["ray"].items()}
    versions = (answer["package"] or {}) | {name: versions[name] for name in ("ray", "python") if name in versions}
    return ClusterState(tuple(NodeState(**node) for node in answer["nodes"]), versions)


def _read_answer(address: str, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):  # Ray's C++ ends the process where it finds no token at all
        answer = {"error": "", "text": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    if "error" not in answer:
        return answer
    if answer["error"] == "AuthenticationError":
        sentence = f"The cluster at {address} refuses this token. Use the newest invite of its head, with --invite FILE."
        raise WorkerError(sentence)
    raise WorkerError(f"No healthy Ray cluster at {address}: {answer['text'].splitlines()[0]}.")


def _check_versions(address: str, state: ClusterState) -> None:
    """Check that this machine has the cluster's versions of Ray, Python and this package.

    Raises:
        WorkerError: A version differs.
    """
    names = {"ray": "Ray", "python": "Python", "gym_gazebo2": "gym_gazebo2"}
    own = describe_package()
    for key, name in names.items():
        there = state.versions.get(key, own[key])  # a cluster started by hand does not report our version
        if there != own[key]:
            sentence = f"The cluster at {address} has {name} {there}, this machine has {own[key]}."
            raise WorkerError(f"{sentence} Install the same version on both.")
