"""Processes that tests start: each ends with the block that starts it, and no wait for one is without a deadline."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from gym_gazebo2.gazebo.server import tie_to_thread

TIMEOUT = 60.0
"""Longest wait for a process to say something, or to end [s]."""
IN_BACKGROUND = ("env", "--ignore-signal=INT", "--default-signal=HUP")
"""Before a command: start it with SIGINT ignored, as a script does with its background jobs, and without an ignored SIGHUP.

The tests themselves may run under ``nohup``, which ignores SIGHUP."""


@contextlib.contextmanager
def run_process(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a process in a group of its own, and kill what is left of the group at the end of the block."""
    process = subprocess.Popen([*tie_to_thread("KILL"), *command], start_new_session=True, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(TIMEOUT)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def wait_until(is_true: Callable[[], Any], process: subprocess.Popen[Any] | None = None, timeout: float = TIMEOUT) -> None:
    """Look again and again until something is true; a process that is given must not end before."""
    latest = time.monotonic() + timeout
    while not is_true():
        assert time.monotonic() < latest, f"not true within {timeout:g} s"
        assert process is None or process.poll() is None, "the process has ended"
        time.sleep(0.01)


@contextlib.contextmanager
def deadline(process: subprocess.Popen[Any], timeout: float = TIMEOUT) -> Iterator[None]:
    """Kill a process that is not done with the block in time, so that reading from it ends."""
    late = threading.Timer(timeout, process.kill)
    late.start()
    try:
        yield
    finally:
        late.cancel()
        late.join(TIMEOUT)


def read_until(process: subprocess.Popen[str], stream: IO[str] | None, wanted: str, timeout: float = TIMEOUT) -> str:
    """Return what a process writes, up to the first line with some text; all of it where it ends before."""
    text = ""
    with deadline(process, timeout):
        for line in stream or ():
            text += line
            if wanted in line:
                break
    return text


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_gone(pid: int, timeout: float) -> bool:
    """Wait for the end of a process that is not a child; return whether it came in time."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        select.select([handle], [], [], timeout)
        os.close(handle)
    return not is_running(pid)
