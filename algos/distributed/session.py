"""Ray itself: imported when it is used, started on this machine or found at an address, and ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from gym_gazebo2.algos.distributed import watchdog
from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, WorkerError
from gym_gazebo2.signals import ENDING

__all__ = ["RaySession", "check_capacity", "count_processors", "import_ray"]

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # else Ray reports its use over the internet
    "RAY_raylet_start_wait_time_s": "120",  # the default is too short for a busy machine
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # else its notes on dead workers, which the fleet reports, mix with our output
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the coming default, without the warning
}
"""Environment variables of Ray; those that the user has set stay."""
CONNECT_TIMEOUT_S = 5.0
"""Longest wait for a connection to an address [s]."""
HEALTH_TIMEOUT_S = 10.0
"""Longest wait for the answer of a Ray cluster at an address [s]. Ray itself would wait for minutes."""
END_TIMEOUT_S = 15.0
"""Longest wait for the end of a local Ray [s]."""
SOCKETS = "/tmp"
"""Parent of a local Ray's folder: the paths of its sockets must stay below 108 characters."""


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


def count_processors() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_free_port() -> int:
    """Return a port that no program on this machine uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def check_capacity(num_workers: int, worker_cpus: float, cpus: float, place: str) -> None:
    """Check that workers have room. Ray would let those without wait, and never report it.

    Args:
        num_workers: Workers.
        worker_cpus: CPUs of each, possibly a fraction.
        cpus: CPUs that there are.
        place: Where, such as "this machine".

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
    raise InvalidArgumentError("workers", num_workers, sentence=sentence)


class RaySession:
    """A connection to Ray; a Ray of its own on this machine where no address is given.

    Ray has one connection per process. Where the program has opened one already, it is used, and left open.

    Attributes:
        mark: What the processes of a Ray of its own carry in their environment; empty where there is none.
    """

    def __init__(self, address: str | None = None, num_cpus: float | None = None) -> None:
        """Start Ray or connect to it.

        Args:
            address: "HOST:PORT" of a running cluster; None starts Ray on this machine.
            num_cpus: CPUs that a Ray of its own may give to workers; None: those of this machine. Several workers can share
                a processor, so it may be more than there are.

        Raises:
            MissingDependencyError: Ray is not installed.
            InvalidArgumentError: The address has another form.
            WorkerError: Nothing answers at the address, or Ray does not start.
        """
        self._ray = import_ray()
        self._watchdog: subprocess.Popen[bytes] | None = None
        self.mark = ""
        if address is not None:
            check_address(address)
        self._is_owner = not self._ray.is_initialized()
        if not self._is_owner:
            return
        if address is None:
            self._start(num_cpus or count_processors())
        else:
            self._init(address=address)

    @property
    def cpus(self) -> float:
        """CPUs of the whole cluster."""
        return float(self._ray.cluster_resources().get("CPU", 0.0))

    def close(self) -> None:
        """Disconnect, and end a Ray of its own with everything below it; closing twice is fine."""
        if self._is_owner and self._ray.is_initialized():
            # Ray asks each of its processes to end by SIGTERM, which they do not hear, and waits for a second each.
            helper = threading.Thread(target=self._end_when_disconnected)
            helper.start()
            self._ray.shutdown()
            helper.join(END_TIMEOUT_S)
        if self._watchdog is not None:
            child, self._watchdog = self._watchdog, None
            watchdog.stop(child)

    def _end_when_disconnected(self) -> None:
        """End the processes of a Ray of its own as soon as this process needs them no more."""
        deadline = time.monotonic() + END_TIMEOUT_S
        while self._ray.is_initialized() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.mark:
            watchdog.end_marked(self.mark)

    def _start(self, num_cpus: float) -> None:
        self.mark, folder = uuid.uuid4().hex, tempfile.mkdtemp(prefix="gym-gazebo2-", dir=SOCKETS)
        self._watchdog = watchdog.start(self.mark, folder)
        try:
            with _environment({watchdog.MARK: self.mark}), _blocked_signals():
                self._init(address="local", num_cpus=num_cpus, include_dashboard=False, _temp_dir=folder)
        except BaseException:
            self.close()
            raise
        _tighten_token()

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


def check_address(address: str) -> None:
    """Check that a Ray cluster answers at an address.

    Raises:
        InvalidArgumentError: It is not "HOST:PORT".
        WorkerError: Nothing answers there, or something else than Ray.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidArgumentError("address", address, "HOST:PORT of a Ray cluster, such as 10.0.0.1:6379")
    start = f"Start a cluster there with: ray start --head --port {port}"
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise WorkerError(f"No Ray cluster answers at {address}: {error}. {start}") from error
    # Ray's own client waits for minutes where another program answers, or where the token is missing: ask from a process
    # that can be ended.
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, timeout=HEALTH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        reason = f"no answer within {HEALTH_TIMEOUT_S:g} s"
        raise WorkerError(f"No Ray cluster answers at {address}: {reason}. Check address, token and certificates.") from error
    if done.returncode != 0:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise WorkerError(f"No healthy Ray cluster at {address}: {last}. {start}")


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while, for the processes that are started meanwhile."""
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)


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
    """Let nobody else read the token of Ray's clusters. Whoever has it can run code here, and Ray writes it for all to read."""
    path = Path.home() / ".ray" / "auth_token"
    with contextlib.suppress(OSError):
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
