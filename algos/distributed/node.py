"""Ray's processes on one machine of a cluster. One command starts and watches them. They end with it, even if it is killed.

``ray start --block`` and all processes below it carry a mark in their environment. At the end they get SIGTERM, so that the
node leaves the cluster at once. Then all processes with the mark are killed. If the command itself is killed, a watchdog does
this.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from gym_gazebo2.algos.distributed import watchdog
from gym_gazebo2.algos.distributed.cluster import ask_cluster, describe_package
from gym_gazebo2.algos.distributed.machine import (
    FOLDER,
    SETTINGS,
    SOCKETS,
    check_disk,
    find_free_port,
    merge_variables,
)
from gym_gazebo2.algos.security.addresses import split_address
from gym_gazebo2.algos.security.credentials import Credentials
from gym_gazebo2.errors import WorkerError
from gym_gazebo2.scheduling import count_processors

__all__ = ["RayNode", "start_head", "start_node"]

START_TIMEOUT_S = 120.0
"""Longest wait for a node to belong to its cluster [s]; it takes 3 s on an idle machine."""
POLL_S = 0.5
"""Time between two looks at a node [s]."""
LEAVE_TIMEOUT_S = 4.0
"""Time that a node has to leave the cluster after SIGTERM [s]; then it is killed."""
QUIET = ("--include-log-monitor", "false", "--disable-usage-stats")
"""Arguments of ``ray start`` for every node: no collection of logs, nothing over the internet."""


class RayNode:
    """Ray's processes on this machine.

    Attributes:
        address: HOST:PORT of the cluster.
        folder: Their folder, mode 0700: sockets, logs and credentials. It is removed at the end.
        environment: Ray's variables, with which a driver on this machine connects, too.
    """

    def __init__(self, address: str, credentials: Credentials, arguments: Sequence[str], parent: str = SOCKETS) -> None:
        """Start them, without waiting.

        Args:
            address: HOST:PORT of the cluster.
            credentials: Token and certificates of this machine.
            arguments: Arguments of ``ray start``.
            parent: Where to make the folder; a short path, as those of sockets must stay below 108 characters.

        Raises:
            WorkerError: The disk is full.
        """
        check_disk(parent)
        self.address, self.folder = address, Path(tempfile.mkdtemp(prefix="gym-gazebo2-", dir=parent))
        self._mark, self._log = uuid.uuid4().hex, self.folder / "ray-start.log"
        self._watchdog, self._process = watchdog.start(self._mark, str(self.folder)), None
        try:
            self.environment = credentials.make_environment(self.folder)
            self._process = self._start_ray(arguments)
        except BaseException:
            self.close()
            raise

    def _start_ray(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--temp-dir", str(self.folder), *QUIET]
        variables = {**SETTINGS, **merge_variables({**self.environment, watchdog.MARK: self._mark, FOLDER: str(self.folder)})}
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [*command, *arguments],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the signals of the terminal are for the command
            )

    def wait_ready(self, description: Mapping[str, str] | None = None) -> None:
        """Wait until this machine belongs to the cluster.

        Args:
            description: Versions that a head stores in the cluster.

        Raises:
            WorkerError: It does not start.
        """
        deadline, reason = time.monotonic() + START_TIMEOUT_S, ""
        while time.monotonic() < deadline:
            self.check()
            try:
                state = ask_cluster(self.address, self.environment, description)
            except WorkerError as error:
                reason = f": {error}"
            else:
                if any(node.folder == str(self.folder) for node in state.alive):
                    return
            time.sleep(POLL_S)
        raise WorkerError(f"This machine did not join the cluster within {START_TIMEOUT_S:g} s{reason}")

    def check(self) -> None:
        """Check that the processes run.

        Raises:
            WorkerError: They have ended.
        """
        if self._process is None or self._process.poll() is not None:
            raise WorkerError(f"Ray ended on this machine: {self._find_reason()}")

    def wait(self) -> None:
        """Wait until the processes end by themselves, as after the loss of the head.

        Raises:
            WorkerError: They have ended.
        """
        while True:
            self.check()
            time.sleep(POLL_S)

    def close(self) -> None:
        """Leave the cluster, and end all processes; closing twice is fine."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                self._process.terminate()
                self._process.wait(LEAVE_TIMEOUT_S)
        watchdog.end_marked(self._mark)
        if self._process is not None:
            self._process.wait(LEAVE_TIMEOUT_S)
        watchdog.stop(self._watchdog)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _find_reason(self) -> str:
        """Return the last error that Ray printed, in one line."""
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line or "error" in line]
        return (errors or lines or ["no reason given."])[-1]


@contextlib.contextmanager
def _serving(node: RayNode, description: Mapping[str, str] | None = None) -> Iterator[RayNode]:
    with contextlib.closing(node):
        node.wait_ready(description)
        yield node


def start_head(
    address: str, credentials: Credentials, cpus: float | None = None, parent: str = SOCKETS
) -> AbstractContextManager[RayNode]:
    """Start the head of a cluster, and yield it when it is ready.

    Args:
        address: HOST:PORT of this machine.
        credentials: Those of the head's folder.
        cpus: CPUs for workers; None: those of this machine.
        parent: Where to make the folder of the processes.

    Raises:
        WorkerError: It does not start.
    """
    host, port = split_address(address)
    arguments = ["--head", "--node-ip-address", host, "--port", str(port), "--include-dashboard", "false", "--no-monitor"]
    # Ray always opens this port; its default would collide with that of another cluster on this machine.
    arguments += ["--ray-client-server-port", str(find_free_port()), *_count(cpus)]
    return _serving(RayNode(address, credentials, arguments, parent), describe_package())


def start_node(
    address: str, credentials: Credentials, own: str, cpus: float | None = None, parent: str = SOCKETS
) -> AbstractContextManager[RayNode]:
    """Let this machine join a cluster, and yield the node when it is ready.

    Args:
        address: HOST:PORT of the head.
        credentials: Those of an invite for this machine.
        own: Address at which the other machines reach this one.
        cpus: CPUs for workers; None: those of this machine; 0: none, for a machine that only runs the learner.
        parent: Where to make the folder of the processes.

    Raises:
        WorkerError: It cannot join.
    """
    arguments = ["--address", address, "--node-ip-address", own, *_count(cpus)]
    return _serving(RayNode(address, credentials, arguments, parent))


def _count(cpus: float | None) -> list[str]:
    return ["--num-cpus", f"{count_processors() if cpus is None else cpus:g}"]
