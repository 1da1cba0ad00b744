"""Several machines on this one: network namespaces, each with an address of its own, joined by a bridge."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from .long_cable import lay_long_cable

SUBNET = "10.213.77"
"""Network of the machines; it exists in the namespaces alone."""


class NamespaceError(Exception):
    """A command of iproute2 failed."""


def run_ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise NamespaceError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Machine:
    """A namespace with one network card.

    Attributes:
        name: Its name.
        address: Its address.
        port: Where its cable ends: a namespace that holds the bridge, and the name of the device there.
    """

    def __init__(self, name: str, address: str, port: tuple[str, str]) -> None:
        self.name, self.address, self.port = name, address, port

    def wrap(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs another one on this machine."""
        return ["ip", "netns", "exec", self.name, *command]

    def list_processes(self) -> list[int]:
        """Return the ids of all processes on this machine."""
        done = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, timeout=30, check=True)
        return [int(word) for word in done.stdout.split()]

    def pull_cable(self) -> None:
        """Cut it off, as a cable that is pulled: no connection is closed."""
        run_ip("-n", self.port[0], "link", "set", self.port[1], "down")


@contextlib.contextmanager
def make_network(count: int, delays: Mapping[int, float] | None = None) -> Iterator[list[Machine]]:
    """Make machines that reach each other, in a network without a way out.

    Args:
        count: Number of machines.
        delays: Number of a machine, from 0 → delay of its cable, each way [s].

    Raises:
        NamespaceError: The rights are missing.
    """
    prefix, delays = f"gg{os.getpid()}", delays or {}
    with contextlib.ExitStack() as stack:
        # The bridge is in a namespace, too: nothing is seen by the host but the names of the namespaces.
        switch = f"{prefix}sw"
        _add_namespace(stack, switch)
        run_ip("-n", switch, "link", "add", "br0", "type", "bridge")
        run_ip("-n", switch, "link", "set", "br0", "up")
        yield [_add_machine(stack, switch, prefix, number, delays.get(number)) for number in range(count)]


def _add_namespace(stack: contextlib.ExitStack, name: str) -> None:
    run_ip("netns", "add", name)
    stack.callback(run_ip, "netns", "del", name)


def _add_machine(stack: contextlib.ExitStack, switch: str, prefix: str, number: int, delay: float | None) -> Machine:
    name, address, port = f"{prefix}m{number}", f"{SUBNET}.{number + 1}", f"p{number}"
    _add_namespace(stack, name)
    if delay is None:
        run_ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
    else:
        stack.enter_context(lay_long_cable((switch, port), (name, "eth0"), delay))
    run_ip("-n", switch, "link", "set", port, "master", "br0", "up")
    run_ip("-n", name, "link", "set", "lo", "up")
    run_ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    run_ip("-n", name, "link", "set", "eth0", "up")
    return Machine(name, address, (switch, port))


def find_obstacle() -> str:
    """Return why namespaces cannot be made here; empty where they can."""
    try:
        with make_network(1):
            return ""
    except (NamespaceError, OSError) as error:
        return f"network namespaces cannot be made here ({error}); run as root on Linux, with iproute2"
