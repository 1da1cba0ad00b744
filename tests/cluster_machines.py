"""A cluster of several machines in network namespaces: its commands, started and ended."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.security.addresses import join_address
from gym_gazebo2.algos.security.credentials import write_invite
from gym_gazebo2.algos.security.head_folder import HeadFolder

from .namespaces import Machine
from .processes import IN_BACKGROUND, read_until, run_process

ROOT = Path(__file__).parents[1]
PORT = 6379
READY = 120.0
"""Longest wait for a line of a machine [s]."""


class Cluster:
    """A head without CPUs for workers, machines to join it, and a distant machine for drivers.

    Each machine has a home of its own, so that it knows nothing of the others' credentials.

    Attributes:
        head: The head.
        nodes: Machines with CPUs for workers.
        distant: The machine of drivers.
        address: "HOST:PORT" of the head.
        secrets: Token and CA of the head.
        processes: Name of a machine → its command.
    """

    def __init__(self, folder: Path, machines: Sequence[Machine], stack: contextlib.ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.head, *self.nodes, self.distant = machines
        self.address = join_address(self.head.address, PORT)
        self.secrets = HeadFolder(folder / "head" / "state" / "gym_gazebo2" / "cluster")
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def describe(self, machine: Machine) -> dict[str, Any]:
        """Return the options of a process on a machine."""
        home = self.folder / ("head" if machine is self.head else machine.name)
        home.mkdir(exist_ok=True)
        hidden = ("RAY_", "XDG_STATE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        environment = {**kept, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "PYTHONPATH": str(ROOT)}
        return {"env": environment, "cwd": ROOT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}

    def run(self, machine: Machine, *words: object) -> subprocess.Popen[str]:
        """Start a command on a machine, and return its process."""
        command = machine.wrap([*IN_BACKGROUND, sys.executable, *map(str, words)])
        return self.stack.enter_context(run_process(command, stderr=subprocess.PIPE, **self.describe(machine)))

    def start(self, machine: Machine, wanted: str, *words: object) -> Callable[[], None]:
        """Start a command of a cluster on a machine; what is returned waits until it has printed a text."""
        process = self.processes[machine.name] = self.run(machine, "-m", "gym_gazebo2.cli", "cluster", *words)

        def wait() -> None:
            if wanted not in read_until(process, process.stdout, wanted, READY):
                raise AssertionError(process.stderr.read() if process.stderr else "")

        return wait

    def start_head(self) -> None:
        """Start the head, and wait until it is ready."""
        self.start(self.head, "The cluster is ready", "head", "--address", self.head.address, "--cpus", "0")()

    def join(self, machine: Machine, cpus: int = 1) -> Callable[[], None]:
        """Let a machine join; what is returned waits until it has."""
        return self.start(machine, "belongs to", "join", self.address, "--cpus", cpus, "--invite", self.invite(machine))

    def invite(self, machine: Machine, **changes: Any) -> Path:
        """Write an invite for a machine, and return its path."""
        path = self.folder / f"{machine.name}-{'-'.join(changes)}.json"
        write_invite(path, dataclasses.replace(self.secrets.invite(machine.address), **changes))
        return path

    def end(self, machine: Machine, signum: int) -> int:
        """Send a signal to a command, and return its exit status; nothing is left on its machine."""
        process = self.processes.pop(machine.name)
        started = time.monotonic()
        # "ip netns exec" and "env" have become the command itself.
        process.send_signal(signum)
        status = process.wait(10)
        self.check_empty(machine, 10 - (time.monotonic() - started))
        return status

    def check_empty(self, machine: Machine, seconds: float = 10) -> None:
        """Check that no process is left on a machine after some time."""
        deadline = time.monotonic() + seconds
        while (left := machine.list_processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
