"""``gym-gazebo2 sim`` in a process of its own, in a domain of its own, for tests of its clients."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

from gym_gazebo2.ros import Domain

LOCAL = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
TIMEOUT = 60.0


class Sim:
    """A running provider.

    Attributes:
        process: The process; its standard output and error are pipes.
        domain: Its ROS domain.
        shown: What it printed until it was ready.
    """

    def __init__(self, *args: str, domain: int) -> None:
        """Start it, and wait until it serves."""
        os.environ.update(LOCAL)  # the client in this process
        command = [sys.executable, "-m", "gym_gazebo2.cli", "sim", *args, "--domain", str(domain)]
        self.domain, self.shown = domain, ""
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        late = threading.Timer(TIMEOUT, self.process.kill)
        late.start()
        for line in self.process.stdout or ():
            self.shown += line
            if line.startswith("Ctrl-C"):
                break
        late.cancel()
        if not self.shown:
            raise RuntimeError(f"gym-gazebo2 sim did not start: {self.process.communicate()[1]}")

    def end(self, signum: int = signal.SIGINT) -> tuple[int, str]:
        """End it, and return its exit status and what it wrote to standard error."""
        self.process.send_signal(signum)
        error = self.process.communicate(timeout=TIMEOUT)[1]
        return self.process.returncode, error


@contextlib.contextmanager
def run_sim(*args: str) -> Iterator[Sim]:
    """Run ``gym-gazebo2 sim`` with these arguments in a free domain, and end it."""
    domain = Domain()
    try:
        sim = Sim(*args, domain=domain.id)
        with sim.process:
            try:
                yield sim
            finally:
                if sim.process.poll() is None:
                    sim.end()
    finally:
        domain.release()
