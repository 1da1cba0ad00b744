"""Several machines on this one: network namespaces, each with an address of its own, joined by a bridge."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from .long_cable import Cable, lay_long_cable

SUBNET = "10.213.77"
"""Network of the machines; it exists in the namespaces alone."""
SUBNET_6 = "fd00:213:77:"
"""The same for IPv6."""


_NUMBERS = itertools.count()
"""Numbers of the networks that this process makes."""


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
        address_6: Its IPv6 address.
        port: Where its cable ends: a namespace that holds the bridge, and the name of the device there.
    """

    def __init__(self, name: str, number: int, port: tuple[str, str]) -> None:
        self.name, self.port = name, port
        self.address, self.address_6 = f"{SUBNET}.{number}", f"{SUBNET_6}:{number}"

    def wrap(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs another one on this machine."""
        return ["ip", "netns", "exec", self.name, *command]

    def list_processes(self) -> list[int]:
        """Return the ids of all processes on this machine."""
        done = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, timeout=30, check=True)
        return [int(word) for word in done.stdout.split()]

    def count_bytes(self) -> tuple[int, int]:
        """Return the bytes that its cable has carried to it and from it, with all headers."""
        done = subprocess.run(
            ["ip", "-n", self.port[0], "-s", "-j", "link", "show", "dev", self.port[1]],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        (device,) = json.loads(done.stdout)
        return device["stats64"]["tx"]["bytes"], device["stats64"]["rx"]["bytes"]  # of the end in the switch

    def pull_cable(self) -> None:
        """Cut it off, as a cable that is pulled: no connection is closed."""
        run_ip("-n", self.port[0], "link", "set", self.port[1], "down")


@contextlib.contextmanager
def make_network(count: int, cables: Mapping[int, Cable] | None = None) -> Iterator[list[Machine]]:
    """Make machines that reach each other, in a network without a way out.

    Args:
        count: Number of machines.
        cables: Number of a machine, from 0 → its cable, where that is a long one.

    Raises:
        NamespaceError: The rights are missing.
    """
    prefix, cables = f"gg{os.getpid()}n{next(_NUMBERS)}", cables or {}
    with contextlib.ExitStack() as stack:
        # The bridge is in a namespace, too: nothing is seen by the host but the names of the namespaces.
        switch = f"{prefix}sw"
        _add_namespace(stack, switch)
        run_ip("-n", switch, "link", "add", "br0", "type", "bridge")
        run_ip("-n", switch, "link", "set", "br0", "up")
        yield [_add_machine(stack, switch, prefix, number, cables.get(number)) for number in range(count)]


def _add_namespace(stack: contextlib.ExitStack, name: str) -> None:
    run_ip("netns", "add", name)
    stack.callback(run_ip, "netns", "del", name)


def _add_machine(stack: contextlib.ExitStack, switch: str, prefix: str, number: int, cable: Cable | None) -> Machine:
    port = f"p{number}"
    machine = Machine(name := f"{prefix}m{number}", number + 1, (switch, port))
    _add_namespace(stack, name)
    if cable is None:
        run_ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
    else:
        stack.enter_context(lay_long_cable((switch, port), (name, "eth0"), cable))
    run_ip("-n", switch, "link", "set", port, "master", "br0", "up")
    run_ip("-n", name, "link", "set", "lo", "up")
    run_ip("-n", name, "addr", "add", f"{machine.address}/24", "dev", "eth0")
    run_ip("-n", name, "addr", "add", f"{machine.address_6}/64", "dev", "eth0", "nodad")
    run_ip("-n", name, "link", "set", "eth0", "up")
    return machine


def find_obstacle() -> str:
    """Return why namespaces cannot be made here; empty where they can."""
    try:
        with make_network(1):
            return ""
    except (NamespaceError, OSError) as error:
        return f"network namespaces cannot be made here ({error}); run as root on Linux, with iproute2"
