"""Addresses of machines and clusters."""

from __future__ import annotations

import ipaddress
import socket

from gym_gazebo2.errors import InvalidArgumentError, WorkerError

__all__ = ["find_own_address", "has_address", "is_loopback", "join_address", "split_address"]


def split_address(address: str) -> tuple[str, int]:
    """Return host and port.

    Raises:
        InvalidArgumentError: It is not "HOST:PORT".
    """
    host, _, port = address.rpartition(":")
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_ambiguous = ":" in host and plain == host  # of "fd00::1:6379" nobody can say where the port begins
    if not plain or is_ambiguous or not port.isdigit() or not 0 < int(port) < 2**16:
        raise InvalidArgumentError("address", address, "HOST:PORT of a Ray cluster, such as 10.0.0.1:6379 or [fd00::1]:6379")
    return plain, int(port)


def join_address(host: str, port: int) -> str:
    """Return "HOST:PORT", with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def find_own_address(address: str) -> str:
    """Return the address of this machine on the way to another one. Nothing is sent.

    Args:
        address: HOST:PORT of the other one.

    Raises:
        WorkerError: There is no way.
    """
    host, port = split_address(address)
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise WorkerError(f"This machine has no route to {address}: {error}. Check the address.") from error


def has_address(host: str) -> bool:
    """Return whether an address belongs to this machine: only then can a socket be bound to it."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(target)
    except OSError:
        return False
    return True
