"""``gym-gazebo2 sim`` in a process of its own, in a domain of its own, for tests of its clients."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gym_gazebo2.ros import Domain

from .processes import TIMEOUT, read_until, run_process

LOCAL = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


class Sim:
    """A running provider.

    Attributes:
        process: The process; its standard output and error are pipes.
        domain: Its ROS domain.
        shown: What it printed until it was ready.
    """

    def __init__(self, process: subprocess.Popen[str], domain: int) -> None:
        """Wait until a provider that was just started serves."""
        self.process, self.domain = process, domain
        self.shown = read_until(process, process.stdout, "Ctrl-C")
        if not self.shown:
            raise RuntimeError(f"gym-gazebo2 sim did not start: {process.communicate(timeout=TIMEOUT)[1]}")

    def end(self, signum: int = signal.SIGINT) -> tuple[int, str]:
        """End it, and return its exit status and what it wrote to standard error."""
        self.process.send_signal(signum)
        error = self.process.communicate(timeout=TIMEOUT)[1]
        return self.process.returncode, error


@contextlib.contextmanager
def run_sim(*args: str, domain: int | None = None, before: Sequence[str] = (), cwd: Path | None = None) -> Iterator[Sim]:
    """Run ``gym-gazebo2 sim``, and end it.

    Args:
        *args: Its arguments.
        domain: ROS domain; None takes a free one.
        before: Command that starts it, such as ``IN_BACKGROUND``.
        cwd: Its working directory.
    """
    os.environ.update(LOCAL)  # the client in this process
    own = None if domain is not None else Domain()
    number = str(domain if own is None else own.id)
    command = [*before, sys.executable, "-m", "gym_gazebo2.cli", "sim", *args, "--domain", number]
    try:
        with run_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd) as process:
            sim = Sim(process, int(number))
            try:
                yield sim
            finally:
                if process.poll() is None:
                    sim.end()
    finally:
        if own is not None:
            own.release()
