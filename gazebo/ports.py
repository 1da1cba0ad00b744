"""Find a free TCP port for Gazebo's own master."""

from __future__ import annotations

import socket

__all__ = ["find_port"]


def find_port() -> int:
    """Return a TCP port of this machine's loopback interface that is free at this moment.

    Another program may take it before gzserver does; gzserver then ends, and its log reports "Address already in use".
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
