"""Ends the processes of a local Ray when the process that started it has ended, in whatever way.

Ray notices the death of its driver late: after a SIGKILL its agents live on for over two minutes. This program waits for the
end of its parent, then ends every process that carries the session's mark in its environment. This finds the processes that Ray
started, and simulators below them, even if their own parents have ended. It needs nothing but Python, and is run as a file.

Usage: watchdog.py MARK FOLDER, with a pipe from the parent as standard input.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["MARK", "end_marked", "find_marked", "start", "stop"]

MARK = "GYM_GAZEBO2_RAY_SESSION"
"""Environment variable that Ray's processes inherit."""
POLL_S = 0.5
"""Time between two checks of the parent [s]. Usually its pipe reports the end earlier."""
END_TIMEOUT_S = 8.0
"""Longest time that is spent on ending processes [s]."""


def start(mark: str, folder: str) -> subprocess.Popen[bytes]:
    """Start the program, as a child of this process.

    Args:
        mark: The mark of the processes to end; they need not exist yet.
        folder: A folder to remove then.
    """
    command = [sys.executable, "-I", "-S", __file__, mark, folder]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Let the program do its work now, and wait for its end; stopping twice is fine."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait(END_TIMEOUT_S + 7.0)


def find_marked(mark: str) -> list[int]:
    """Return the ids of this user's processes that carry a mark; none on systems without /proc."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def end_marked(mark: str) -> None:
    """Kill all processes that carry a mark, also those that they start meanwhile."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while (pids := find_marked(mark)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)  # between two looks: a killed process has no environment any more


def main(mark: str, folder: str) -> None:
    """Wait for the parent's end, and clean up after it."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the whole job gets them; only the parent's end counts
        signal.signal(signum, signal.SIG_IGN)
    parent = os.getppid()
    while os.getppid() == parent and not select.select([0], [], [], POLL_S)[0]:
        pass
    end_marked(mark)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
