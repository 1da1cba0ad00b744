"""Whether something fits into memory, asked before it is made: a system that runs out of memory kills without a message."""

from __future__ import annotations

from pathlib import Path

from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["check_memory", "format_bytes", "get_available_bytes"]

SMALL = 256 * 2**20
"""Less than this is not checked [bytes]: it fits on every machine that runs this package, and the check reads two files."""
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
"""Version 2 of control groups: how containers and batch systems limit memory."""


def get_available_bytes() -> int | None:
    """Return how much memory a process can still take [bytes]; None where the system does not tell."""
    limits = [limit for limit in (_read_machine(), _read_container()) if limit is not None]
    return min(limits) if limits else None


def check_memory(name: str, value: int, bytes_each: float, purpose: str) -> None:
    """Raise an error if a number of things does not fit into memory.

    Args:
        name: The argument that sets the number.
        value: The number.
        bytes_each: Memory of one thing [bytes].
        purpose: What the memory is for, such as "the environments".

    Raises:
        InvalidArgumentError: The estimate exceeds the available memory. The message has the estimate and a value that fits.
    """
    needed = value * bytes_each
    if needed < SMALL:
        return
    available = get_available_bytes()
    if available is None or needed <= available:
        return
    fits = int(0.8 * available / bytes_each)  # the rest of the program needs memory, too
    sentence = (
        f"{name}={value} needs about {format_bytes(needed)} of memory for {purpose}, and {format_bytes(available)} "
        f"are available. Use at most {fits}."
    )
    raise InvalidArgumentError(name, value, sentence=sentence)


def format_bytes(count: float) -> str:
    """Return a size as people read it, such as "5.7 GB"."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e6:,.0f} MB"


def _read_machine() -> int | None:
    if not MEMINFO.is_file():
        return None
    fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
    return 1024 * int(fields["MemAvailable"].split()[0]) if "MemAvailable" in fields else None


def _read_container() -> int | None:
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if not (limit.is_file() and used.is_file()):
        return None
    text = limit.read_text().strip()
    return None if text == "max" else max(0, int(text) - int(used.read_text()))
