"""A network cable with a delay, for kernels without netem: two TAP devices, and a process that carries frames between them.

Usage as a program: long_cable.py NAMESPACE DEVICE NAMESPACE DEVICE SECONDS; it prints a line when the devices exist.
"""

from __future__ import annotations

import contextlib
import ctypes
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


@contextlib.contextmanager
def lay_long_cable(first: tuple[str, str], second: tuple[str, str], delay: float) -> Iterator[None]:
    """Make two devices, each as (namespace, name), and carry frames between them with a delay [s] in each direction."""
    command = [sys.executable, __file__, *first, *second, str(delay)]
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


def carry(first: int, second: int, delay: float) -> None:
    """Carry frames both ways until the parent's end closes standard input."""
    other, queue = {first: second, second: first}, deque[tuple[float, int, bytes]]()
    while True:
        wait = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        ready = select.select([first, second, 0], [], [], wait)[0]
        if 0 in ready:
            return
        for source in ready:
            queue.append((time.monotonic() + delay, other[source], os.read(source, FRAME_BYTES)))
        while queue and queue[0][0] <= time.monotonic():
            _, target, frame = queue.popleft()
            with contextlib.suppress(OSError):  # that end is down: a pulled cable loses frames
                os.write(target, frame)


if __name__ == "__main__":
    *ends, seconds = sys.argv[1:]
    taps = [open_tap(*ends[2:]), open_tap(*ends[:2])]  # this process stays in the first namespace, that of the bridge
    print("ready", flush=True)
    carry(*taps, float(seconds))
