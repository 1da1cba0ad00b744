"""Start a simulator's server, know when it is ready and when it dies, and end it: on close, on exit, on any exception."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from types import TracebackType

from gym_gazebo2.errors import BackendError
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.folders import OwnedFolder
from gym_gazebo2.gazebo.installation import Installation
from gym_gazebo2.gazebo.locate import Gazebo
from gym_gazebo2.ownership import Owner
from gym_gazebo2.ros.discovery import check_domain
from gym_gazebo2.ros.middleware import list_settings
from gym_gazebo2.scheduling import work_in_batches

__all__ = ["GazeboServer", "check_gazebo", "tie_to_thread"]

PREFIX = "gym_gazebo2-server-"
EXIT_TIMEOUT_S = 6.0
"""Time that a server has to end by itself [s]."""
START_TIMEOUT = 60.0
CANNOT_SERVE = 3
"""Exit status of a server whose plug-in cannot serve the world, often because ROS 2 cannot start."""
STATS_INTERVAL_S = 0.5
"""Time between two runs of ``gz stats`` while gzserver is loading [s]."""
EMPTY_WORLD = '<?xml version="1.0"?><sdf version="1.6"><world name="empty"><physics type="ode"/></world></sdf>\n'
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
JOINED_BY_COLON = ("LD_LIBRARY_PATH", "AMENT_PREFIX_PATH")


class GazeboServer:
    """One server in a process group of its own, with a runtime folder for its world, home and log.

    Attributes:
        simulator: The installation that it belongs to.
        process: The process.
        log: File with all that it prints; kept where the caller named it or an error quotes it, else removed on close.
    """

    def __init__(
        self, simulator: Installation, world: str, environment: dict[str, str], log: Path | None = None, tied: bool = False
    ) -> None:
        """Start it; it may not be ready yet.

        Args:
            simulator: The installation.
            world: The world, as SDF text.
            environment: Variables besides those of the installation and the caller's, such as ROS 2's and its domain.
            log: File that its output is added to; None keeps it in the runtime folder.
            tied: End the server with the thread that calls this. Only a world without the plug-in needs it: the plug-in does
                it itself.

        Raises:
            InvalidArgumentError: The ROS domain in ``environment`` is not one from 0 to 101.
            BackendError: The log or the runtime folder cannot be written, or the program cannot be started.
        """
        if (domain := environment.get("ROS_DOMAIN_ID")) is not None:
            check_domain(int(domain) if domain.isdigit() else domain)
        self.simulator, self._owner = simulator, Owner()
        try:
            with contextlib.ExitStack() as undo:
                self._folder = OwnedFolder(Path(tempfile.gettempdir()), PREFIX)
                undo.callback(self._folder.remove)
                self.log = log or self._folder.path / "server.log"
                self._ready, ready = os.pipe()
                undo.callback(os.close, self._ready)
                with os.fdopen(ready, "wb"):
                    self.environment = self._make_environment(environment, ready)
                    self.process = self._launch(world, ready, tie_to_thread("KILL") if tied else [])
                    undo.callback(_kill, self.process)
                work_in_batches(self.process.pid)
                undo.pop_all()
        except OSError as error:
            raise BackendError(
                f"{simulator.server_name} cannot be started: {error}. Check that {simulator.program} is executable, and that "
                "the log and the temporary folder (TMPDIR) are writable and have space."
            ) from error
        self._end = weakref.finalize(self, _end, self.process, self._ready, self._folder, self._owner)

    def _make_environment(self, environment: dict[str, str], ready: int) -> dict[str, str]:
        home = self._folder.path / "home"
        home.mkdir()
        own = {
            "HOME": str(home),
            "PULSE_RUNTIME_PATH": str(home / "pulse"),  # else libpulse leaves a folder in TMPDIR
            "GYM_GAZEBO2_PARENT": str(os.getpid()),
            "GYM_GAZEBO2_READY_FD": str(ready),
        }
        own |= self.simulator.make_server_environment(self._folder.path.name)
        return _merge(environment, self.simulator.make_environment(), own)

    def _launch(self, world: str, ready: int, before: list[str]) -> subprocess.Popen[bytes]:
        path = self._folder.path / "world.sdf"
        path.write_text(world)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [*before, *self.simulator.make_command(path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
                pass_fds=(ready, self._folder.fileno()),  # the open descriptor marks the folder as in use, so cleanup skips it
            )

    def __enter__(self) -> GazeboServer:
        """Return the server."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self.close()

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until the plug-in accepts commands.

        Args:
            timeout: Longest wait [s].

        Raises:
            BackendError: The server died, or is not ready in time; the message quotes its log.
        """
        if not select.select([self._ready], [], [], timeout)[0]:
            raise self.blame(
                f"{self.simulator.server_name} did not report ready within {timeout:g} s. The machine may be too busy, or the "
                "world does not load."
            )
        if os.read(self._ready, 6) != b"ready\n":
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(EXIT_TIMEOUT_S)
            self.check_alive()
            name = self.simulator.server_name
            raise self.blame(f"{name} closed the pipe to its supervisor, but did not end within {EXIT_TIMEOUT_S:g} s.")

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the process dies, for ``select`` beside other waits."""
        return self._ready

    def check_alive(self) -> None:
        """Check that the process runs.

        Raises:
            BackendError: It has ended; the message quotes its log.
        """
        code = self.process.poll()
        if code is not None:
            how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
            settings = f" Settings of the middleware here: {list_settings()}." if code == CANNOT_SERVE else ""
            raise self.blame(f"{self.simulator.server_name} ended {how}.{settings} The cause is usually in its log.")

    def blame(self, what: str) -> BackendError:
        """Return an error that quotes the log, and keep the log file, so that people can read it after everything has ended."""
        if self.log.parent == self._folder.path and self.log.exists():
            self.log = self.log.rename(self._folder.path.with_suffix(".log"))
        return BackendError(f"{what} {self.quote_log()}")

    def quote_log(self, lines: int = 12) -> str:
        """Return the log's path and its last lines, for error messages."""
        if not self.log.exists():
            return f"Its log {self.log} was removed when it was closed."
        text = self.log.read_text(errors="replace")
        tail = [line for line in COLOUR.sub("", text).splitlines() if line.strip()][-lines:]
        return f"The end of its log {self.log}:\n  " + "\n  ".join(tail)

    def close(self) -> int:
        """End the process and return its exit status; closing twice is fine."""
        self._end()
        return self.process.returncode


def _end(process: subprocess.Popen[bytes], ready: int, folder: OwnedFolder, owner: Owner) -> None:
    """Send SIGINT, and kill the process if it does not end. Does nothing in a forked child: the server is its parent's."""
    if not owner.is_here:
        return
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _kill(process)
    os.close(ready)
    folder.remove()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(EXIT_TIMEOUT_S)


def tie_to_thread(signal_name: str) -> list[str]:
    """Return words to put before a command, so that it gets a signal when the thread that started it ends or is killed."""
    return ["setpriv", "--pdeathsig", signal_name] if shutil.which("setpriv") else []


def _merge(*layers: dict[str, str]) -> dict[str, str]:
    """Return the caller's environment with the layers on top; search paths are joined, the first layer's entries first."""
    merged = dict(os.environ)
    for layer in layers:
        merged.update({key: value for key, value in layer.items() if key not in JOINED_BY_COLON})
    for key in JOINED_BY_COLON:
        parts = [layer[key] for layer in (*layers, dict(os.environ)) if layer.get(key)]
        if parts:
            merged[key] = os.pathsep.join(parts)
    return merged


def check_gazebo(gazebo: Gazebo, timeout: float = START_TIMEOUT) -> None:
    """Check an installation: start a gzserver with an empty world, wait until its time advances, and end it.

    Args:
        gazebo: The installation.
        timeout: Longest wait [s].

    Raises:
        GazeboError: It cannot be started, dies, its time stands still, or it does not end on SIGINT.
    """
    try:
        with GazeboServer(gazebo, EMPTY_WORLD, {}, tied=True) as server:
            _wait_advance(server, gazebo, time.monotonic() + timeout)
            code = server.close()
    except BackendError as error:
        raise GazeboError(str(error)) from error
    if code != 0:
        raise GazeboError(f"gzserver ended with status {code} on SIGINT, expected 0.")


def _wait_advance(server: GazeboServer, gazebo: Gazebo, deadline: float) -> None:
    """Run ``gz stats`` until two rows of one run show that time advances. It ends at once if the server is still loading."""
    program = gazebo.gzserver.with_name(gazebo.gzserver.name.replace("gzserver", "gz"))
    command = [str(program), "stats", "-p", "-d", "1"]
    printed = "nothing yet"
    while (left := deadline - time.monotonic()) > 0:
        try:
            answer = subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=left, check=False)
        except subprocess.TimeoutExpired:
            break
        except OSError as error:
            raise server.blame(f"{program} cannot be started: {error}.") from error
        times = [float(line.split(",")[1]) for line in answer.stdout.splitlines() if line.count(",") == 3 and line[0] != "#"]
        if len(times) > 1 and times[-1] > times[0]:
            return
        printed = repr((answer.stdout + answer.stderr).strip())
        if select.select([server], [], [], min(STATS_INTERVAL_S, max(0.0, deadline - time.monotonic())))[0]:
            server.process.wait(EXIT_TIMEOUT_S)
            server.check_alive()
    raise server.blame(f"The simulated time of gzserver does not advance. {program} printed {printed}.")
