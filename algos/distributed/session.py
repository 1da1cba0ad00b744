"""Ray itself: imported when it is used, started on this machine or found at an address, and ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from gym_gazebo2.algos.distributed import watchdog
from gym_gazebo2.algos.distributed.cluster import ClusterState, check_cluster
from gym_gazebo2.algos.distributed.machine import SETTINGS, SOCKETS, set_variables
from gym_gazebo2.algos.distributed.node import start_node
from gym_gazebo2.algos.security.addresses import find_own_address, has_address
from gym_gazebo2.algos.security.credentials import Credentials
from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, WorkerError
from gym_gazebo2.scheduling import count_processors
from gym_gazebo2.signals import ENDING

__all__ = ["RaySession", "check_capacity", "check_imported", "import_ray"]

END_TIMEOUT_S = 15.0
"""Longest wait for the end of a local Ray [s]."""
NOT_IMPORTED = "failed to import on the worker"
"""Words of Ray's report of an actor whose class its machine cannot import. Ray has no exception class for that."""


def import_ray() -> ModuleType:
    """Import Ray.

    Raises:
        MissingDependencyError: It is not installed.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError("ray", "cluster") from error
    return ray


def check_capacity(num_workers: int, worker_cpus: float, cpus: float, place: str, advice: str = "") -> None:
    """Check that workers have room. Workers without room would wait for ever, and Ray would not report it.

    Args:
        num_workers: Workers.
        worker_cpus: CPUs of each, possibly a fraction.
        cpus: CPUs that there are.
        place: Where, such as "this machine".
        advice: A further sentence on what to do.

    Raises:
        InvalidArgumentError: There are too few CPUs.
    """
    if num_workers * worker_cpus <= cpus + 1e-6:
        return
    room = int((cpus + 1e-6) // worker_cpus)
    sentence = (
        f"{num_workers} workers with {worker_cpus:g} CPU each do not fit: {place} has {cpus:g}. "
        f"Use --workers {max(room, 1)} or fewer, or let workers share processors with --worker-cpus {cpus / num_workers:.2g}."
    )
    raise InvalidArgumentError("workers", num_workers, sentence=f"{sentence} {advice}".rstrip())


def check_imported(error: Exception) -> None:
    """Check that an actor did not die because its machine cannot import this package: it would die there again and again.

    Args:
        error: Ray's exception for the death of the actor.

    Raises:
        WorkerError: The machine has no such package, or another version of it.
    """
    text = str(error)
    if NOT_IMPORTED not in text:
        return
    found = re.search(r"\bip=([^\s,)]+)", text)
    machine = f"The machine {found[1]}" if found else "A machine"
    reason = text.strip().splitlines()[-1]
    raise WorkerError(f"{machine} cannot import gym_gazebo2 ({reason}). Install the version of this machine there, too.")


class RaySession:
    """A connection to Ray; a Ray of its own on this machine where no address is given.

    Ray has one connection per process. Where the program has opened one already, it is used, and left open.

    Attributes:
        mark: What the processes of a Ray of its own carry in their environment; empty where there is none.
    """

    def __init__(
        self,
        address: str | None = None,
        num_cpus: float | None = None,
        invite: str | os.PathLike[str] | None = None,
        insecure: bool = False,
    ) -> None:
        """Start Ray or connect to it.

        Args:
            address: "HOST:PORT" of a running cluster; None starts Ray on this machine.
            num_cpus: CPUs that a Ray of its own may give to workers; None: those of this machine. Several workers can share
                a processor, so it may be more than there are.
            invite: File of ``cluster invite``, for a cluster whose head is not on this machine.
            insecure: Accept a connection without TLS, because a VPN encrypts it.

        Raises:
            MissingDependencyError: Ray is not installed.
            InvalidArgumentError: The address has another form.
            RunError: The invite cannot be read.
            WorkerError: The cluster does not answer, refuses this machine, or has other versions; or Ray does not start.
        """
        self._ray = import_ray()
        self._stack = contextlib.ExitStack()
        self.mark = ""
        entry = None if address is None else check_cluster(address, invite, insecure)
        self._is_owner = not self._ray.is_initialized()
        if not self._is_owner:
            return
        try:
            if address is None or entry is None:
                self._start(num_cpus or count_processors())
            else:
                self._join(address, *entry)
        except BaseException:
            self.close()
            raise

    @property
    def cpus(self) -> float:
        """CPUs of the whole cluster."""
        return float(self._ray.cluster_resources().get("CPU", 0.0))

    def close(self) -> None:
        """Disconnect, and end a Ray of its own with everything below it; closing twice is fine."""
        if self._is_owner and self._ray.is_initialized():
            # Ray sends SIGTERM to each of its processes. They ignore it, and Ray waits a second for each.
            helper = threading.Thread(target=self._end_when_disconnected)
            helper.start()
            self._ray.shutdown()
            helper.join(END_TIMEOUT_S)
        self._stack.close()

    def _end_when_disconnected(self) -> None:
        """End the processes of a Ray of its own as soon as this process needs them no more."""
        deadline = time.monotonic() + END_TIMEOUT_S
        while self._ray.is_initialized() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.mark:
            watchdog.end_marked(self.mark)

    def _make_folder(self, mark: str) -> str:
        """Make a folder that is removed at the end, also after a SIGKILL, with all processes that carry the mark."""
        folder = tempfile.mkdtemp(prefix="gym-gazebo2-", dir=SOCKETS)
        self._stack.callback(watchdog.stop, watchdog.start(mark, folder))
        return folder

    def _start(self, num_cpus: float) -> None:
        self.mark = uuid.uuid4().hex
        folder = self._make_folder(self.mark)
        with set_variables({watchdog.MARK: self.mark}), _blocked_signals():
            self._init(address="local", num_cpus=num_cpus, include_dashboard=False, _temp_dir=folder)
        _tighten_token()

    def _join(self, address: str, credentials: Credentials, state: ClusterState) -> None:
        """Connect to a cluster. A driver needs a node of Ray on its machine. If there is none, start one without CPUs."""
        own = next((node.address for node in state.alive if has_address(node.address)), None)
        if own is not None:
            variables = credentials.make_environment(Path(self._make_folder(uuid.uuid4().hex)))
        else:
            own = find_own_address(address)
            variables = self._stack.enter_context(start_node(address, credentials, own, cpus=0)).environment
        self._stack.enter_context(set_variables(variables))
        _read_variables_again()
        self._stack.callback(_read_variables_again)
        # Else Ray may take another machine's node for its own, and the workers cannot reach this process.
        self._init(address=address, _node_ip_address=own)

    def _init(self, **options: object) -> None:
        """Call ``ray.init`` so that the handlers of signals and warnings stay those of the program."""
        is_main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(log_to_driver=False, logging_level="error", **options)
        except (RuntimeError, ConnectionError, ValueError, OSError, TimeoutError) as error:
            raise WorkerError(f"Ray cannot be started or joined: {error}") from error
        finally:
            if is_main:
                signal.signal(signal.SIGTERM, before)  # Ray installs one that ends the program without saving


def _read_variables_again() -> None:
    """Let Ray read token and certificates again: it keeps those that it found when it was imported."""
    raylet: Any = import_ray()._raylet
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block the ending signals for a while: Ray's processes are in this process's group, and inherit the mask.

    A terminal and a batch system signal the whole group. Without its node of Ray the learner could not finish the iteration.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tighten_token() -> None:
    """Make the token of Ray's clusters private. Ray makes it readable for all users, and who has it can run code here."""
    path = Path.home() / ".ray" / "auth_token"
    with contextlib.suppress(OSError):
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
