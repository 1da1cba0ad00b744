"""A network cable with a delay and a rate, for kernels without netem: two TAP devices, and a process that carries frames.

Usage as a program: long_cable.py NAMESPACE DEVICE NAMESPACE DEVICE SECONDS BITS_PER_S; it prints a line when the devices exist.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
"""Of <linux/if_tun.h>: make a device that carries Ethernet frames, without a header before each."""
CLONE_NEWNET = 0x40000000
"""Of <linux/sched.h>: a network namespace."""
FRAME_BYTES = 65536


@dataclasses.dataclass(frozen=True)
class Cable:
    """What a cable does to frames, in each direction.

    Attributes:
        delay_s: Time that each takes [s].
        bits_per_s: Frames wait for those before them to be sent at this rate [bit/s].
    """

    delay_s: float
    bits_per_s: float = float("inf")


@contextlib.contextmanager
def lay_long_cable(first: tuple[str, str], second: tuple[str, str], cable: Cable) -> Iterator[None]:
    """Make two devices, each as (namespace, name), and carry frames between them."""
    command = [sys.executable, __file__, *first, *second, str(cable.delay_s), str(cable.bits_per_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise OSError("no TAP device can be made")
            yield
        finally:
            process.kill()


def open_tap(namespace: str, device: str) -> int:
    """Return the descriptor of a new device. It stays in that namespace, while this process moves on."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/run/netns", namespace).open() as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


class Direction:
    """Frames on their way to one end."""

    def __init__(self, target: int, cable: Cable) -> None:
        self.target, self.cable, self.sent = target, cable, 0.0
        self.queue: deque[tuple[float, bytes]] = deque()

    def take(self, frame: bytes) -> None:
        self.sent = max(self.sent, time.monotonic()) + 8 * len(frame) / self.cable.bits_per_s
        self.queue.append((self.sent + self.cable.delay_s, frame))

    def deliver(self) -> None:
        while self.queue and self.queue[0][0] <= time.monotonic():
            with contextlib.suppress(OSError):  # that end is down: a pulled cable loses frames
                os.write(self.target, self.queue.popleft()[1])


def carry(first: int, second: int, cable: Cable) -> None:
    """Carry frames both ways until the parent's end closes standard input."""
    directions = {first: Direction(second, cable), second: Direction(first, cable)}
    while True:
        due = [direction.queue[0][0] for direction in directions.values() if direction.queue]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        ready = select.select([first, second, 0], [], [], wait)[0]
        if 0 in ready:
            return
        for source in ready:
            directions[source].take(os.read(source, FRAME_BYTES))
        for direction in directions.values():
            direction.deliver()


if __name__ == "__main__":
    *ends, seconds, bits_per_s = sys.argv[1:]
    taps = [open_tap(*ends[2:]), open_tap(*ends[:2])]  # this process stays in the first namespace, that of the bridge
    print("ready", flush=True)
    carry(*taps, Cable(float(seconds), float(bits_per_s)))
