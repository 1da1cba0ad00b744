"""What a network carries: TCP payloads, captured in the namespace of a switch.

Usage as a program: packets.py NAMESPACE DEVICE FILE; it prints a line when it listens, and writes the file when standard input
closes: the bytes of each connection and direction, in order, one after the other.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNET = 0x40000000
ETH_P_ALL, SO_RCVBUFFORCE = 3, 33
"""Of <linux/if_ether.h> and <asm-generic/socket.h>: every frame; a receive buffer beyond the usual limit."""


@contextlib.contextmanager
def capture(port: tuple[str, str], path: Path) -> Iterator[None]:
    """Write what a device carries during the block into a file.

    Args:
        port: Namespace and device.
        path: The file; complete after the block.
    """
    command = [sys.executable, __file__, *port, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline(), "packets cannot be captured"
            yield
            process.stdin.close()
            process.wait(30)
        finally:
            process.kill()


def read_payload(frame: bytes) -> tuple[tuple[bytes, bytes], int, bytes] | None:
    """Return addresses with ports, sequence number and payload of a frame of TCP over IPv4; None for other frames."""
    if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
        return None
    start = 14 + 4 * (frame[14] & 0x0F)
    end = 14 + int.from_bytes(frame[16:18])  # short frames are padded
    header = frame[start : start + 20]
    return (frame[26:34], header[:4]), int.from_bytes(header[4:8]), frame[start + 4 * (header[12] >> 4) : end]


def listen(device: str, path: Path) -> None:
    flows: dict[tuple[bytes, bytes], dict[int, bytes]] = defaultdict(dict)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as card:
        card.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 2**27)
        card.bind((device, 0))
        print("ready", flush=True)
        while True:
            ready = select.select([card, 0], [], [])[0]
            if card in ready:
                found = read_payload(card.recv(2**17))
                if found is not None:
                    flow, number, payload = found
                    flows[flow][number] = payload
            elif not os.read(0, 1):
                break
    path.write_bytes(b"".join(b"".join(flows[flow][number] for number in sorted(flows[flow])) for flow in flows))


if __name__ == "__main__":
    namespace, device, out = sys.argv[1:]
    with Path("/run/netns", namespace).open() as handle:
        if ctypes.CDLL(None).setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(f"cannot enter {namespace}")
    listen(device, Path(out))
