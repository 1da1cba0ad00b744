"""The supervisor, with real servers: how they start, how they die, and that none is left."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.errors import BackendError, InvalidArgumentError, RosError
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.folders import OwnedFolder
from gym_gazebo2.gazebo.locate import Gazebo, find_gazebo
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.gazebo.ports import find_port
from gym_gazebo2.gazebo.server import PREFIX, GazeboServer, check_gazebo
from gym_gazebo2.robots import make_robot
from gym_gazebo2.ros.discovery import DOMAINS, Domain, check_domain

from .gazebo_client import Client, start_server
from .processes import is_running, run_process, wait_gone

ROBOT = make_robot("scara")
START = """
import os, sys, threading, time
sys.path.insert(0, {tests!r})
from tests.gazebo_client import start_server
from gym_gazebo2.robots import make_robot
from gym_gazebo2.ros import Domain
servers = []
def start():
    servers.append(start_server(make_robot("scara"), {domain}))
thread = threading.Thread(target=start)
thread.start(); thread.join()
print(servers[0].process.pid, flush=True)
{then}
"""

CHECK = """
import dataclasses, sys
from pathlib import Path
from gym_gazebo2.gazebo.locate import find_gazebo
from gym_gazebo2.gazebo.server import check_gazebo
check_gazebo(dataclasses.replace(find_gazebo(), gzserver=Path(sys.argv[1])))
"""


@pytest.fixture
def domain() -> Iterator[int]:
    taken = Domain()
    yield taken.id
    taken.release()


def test_ends_when_closed_and_twice_is_fine(domain: int) -> None:
    server = start_server(ROBOT, domain)
    folder = server.log.parent
    assert is_running(server.process.pid) and folder.exists()
    assert server.close() == 0
    assert server.close() == 0
    assert not is_running(server.process.pid) and not folder.exists()


def test_ends_on_an_exception(domain: int) -> None:
    with pytest.raises(ZeroDivisionError), start_server(ROBOT, domain) as server:
        raise ZeroDivisionError
    assert not is_running(server.process.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_while_it_waits_for_a_command(domain: int, number: int) -> None:
    with start_server(ROBOT, domain) as server:
        os.kill(server.process.pid, number)
        assert server.process.wait(5) == 0


def test_death_is_noticed_at_once(domain: int) -> None:
    with start_server(ROBOT, domain) as server:
        server.check_alive()
        os.kill(server.process.pid, signal.SIGKILL)
        started = time.monotonic()
        assert select.select([server], [], [], 5)[0] and time.monotonic() - started < 3.0
        server.process.wait(5)
        with pytest.raises(BackendError, match=r"by signal SIGKILL.*end of its log"):
            server.check_alive()


def test_a_stopped_one_is_ended_by_force(domain: int) -> None:
    server = start_server(ROBOT, domain)
    os.kill(server.process.pid, signal.SIGSTOP)
    assert server.close() == -signal.SIGKILL
    assert not is_running(server.process.pid)


@pytest.mark.parametrize("then", ["os.kill(os.getpid(), 9)", "raise RuntimeError", "sys.exit(0)", "os.abort()"])
def test_nothing_is_left_when_the_interpreter_ends(domain: int, then: str) -> None:
    code = START.format(tests=str(Path(__file__).parents[1]), domain=domain, then=then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip().isdigit(), done.stderr
    assert wait_gone(int(done.stdout), 5)


@pytest.mark.gazebo11
def test_nothing_is_left_when_the_interpreter_ends_during_the_start(domain: int) -> None:
    """A gzserver that still loads keeps its folder, whoever clears up after the dead meanwhile."""
    code = f"""
import os
from gym_gazebo2.gazebo import find_gazebo, find_ros
from gym_gazebo2.gazebo.build import build_plugin
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.robots import make_robot
gazebo, ros = find_gazebo(), find_ros()
world = make_world(make_robot("scara"), build_plugin(gazebo, ros))
server = GazeboServer(gazebo, world, {{**ros.make_environment(), "ROS_DOMAIN_ID": "{domain}"}})
print(server.process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip().isdigit(), done.stderr
    OwnedFolder(Path(tempfile.gettempdir()), PREFIX).remove()
    assert wait_gone(int(done.stdout), 5)


@pytest.mark.gazebo11
def test_an_interrupted_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(pid: int) -> None:
        started.append(pid)
        raise KeyboardInterrupt

    started: list[int] = []
    gazebo = put_gazebo(tmp_path, "exec sleep 60")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("gym_gazebo2.gazebo.server.work_in_batches", interrupt)
    with pytest.raises(KeyboardInterrupt):
        GazeboServer(gazebo, "<sdf/>", {})
    assert len(started) == 1 and not is_running(started[0]) and not list((tmp_path / "tmp").iterdir())


def test_a_thread_that_started_it_may_end(domain: int) -> None:
    servers: list[GazeboServer] = []
    thread = threading.Thread(target=lambda: servers.append(start_server(ROBOT, domain)))
    thread.start()
    thread.join(60)
    with contextlib.closing(servers[0]) as server:
        client = Client(domain, ROBOT.name, ROBOT.joint_names)
        client.connect()
        client.place(ROBOT.home)
        client.close()
        server.check_alive()


def test_a_forked_child_leaves_it_alone(domain: int) -> None:
    with start_server(ROBOT, domain) as server:
        child = os.fork()
        if child == 0:
            server.close()
            os._exit(0)
        assert wait_gone(child, 20)
        os.waitpid(child, os.WNOHANG)
        server.check_alive()


def test_broken_world_is_said_with_the_log(domain: int) -> None:
    with pytest.raises(BackendError, match="has no model 'nobody'"):
        start_server(ROBOT, domain, edit=lambda w: w.replace("<model>scara</model>", "<model>nobody</model>"))


@pytest.mark.parametrize("domain", [-1, 102, "seven"])
def test_bad_ros_domain_is_refused_before_anything_starts(domain: object) -> None:
    with pytest.raises(InvalidArgumentError, match="from 0 to 101"):
        start_server(ROBOT, domain)


@pytest.mark.gazebo11
def test_not_ready_in_time() -> None:
    gazebo = find_gazebo()
    if gazebo is None:
        pytest.skip("Gazebo 11 is not installed: gym-gazebo2 install-gazebo")
    empty = '<sdf version="1.6"><world name="w"><physics type="ode"/></world></sdf>'
    with GazeboServer(gazebo, empty, {}) as server, pytest.raises(BackendError, match="did not report ready within 1 s"):
        server.wait_ready(1.0)


def put_gazebo(folder: Path, line: str) -> Gazebo:
    """Return the installation with a gzserver that does something first."""
    gazebo = find_gazebo()
    if gazebo is None:
        pytest.skip("Gazebo 11 is not installed: gym-gazebo2 install-gazebo")
    (folder / "gz").symlink_to(gazebo.gzserver.with_name(gazebo.gzserver.name.replace("gzserver", "gz")))
    program = folder / "gzserver"
    program.write_text(f'#!/bin/sh\n{line}\nexec {gazebo.gzserver} "$@"\n')
    program.chmod(0o755)
    return dataclasses.replace(gazebo, gzserver=program)


@pytest.mark.gazebo11
def test_check_waits_for_a_gzserver_that_loads_slowly(tmp_path: Path) -> None:
    check_gazebo(put_gazebo(tmp_path, "sleep 2"))


@pytest.mark.gazebo11
def test_check_notices_a_gzserver_that_ends(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(GazeboError, match="with exit status 3"):
        check_gazebo(put_gazebo(tmp_path, "exit 3"))
    assert time.monotonic() - started < 30.0


@pytest.mark.gazebo11
def test_check_gives_up_at_its_deadline(tmp_path: Path) -> None:
    with pytest.raises(GazeboError, match="does not advance.*not running"):
        check_gazebo(put_gazebo(tmp_path, "sleep 60"), timeout=2.0)


@pytest.mark.gazebo11
def test_the_checks_gzserver_ends_when_the_interpreter_is_killed(tmp_path: Path) -> None:
    put_gazebo(tmp_path, f"echo $$ > {tmp_path}/pid")
    with run_process([sys.executable, "-c", CHECK, str(tmp_path / "gzserver")]) as child:
        deadline = time.monotonic() + 20.0
        while not (pid := (tmp_path / "pid").read_text().strip() if (tmp_path / "pid").exists() else ""):
            assert child.poll() is None and time.monotonic() < deadline
        child.kill()
        child.wait(5)
    assert wait_gone(int(pid), 5)


def test_missing_plugin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GazeboError, match="does not exist"):
        make_world(ROBOT, tmp_path / "libnothing.so")


@pytest.mark.gazebo11
def test_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    gazebo = find_gazebo()
    if gazebo is None:
        pytest.skip("Gazebo 11 is not installed: gym-gazebo2 install-gazebo")
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match="log and the temporary folder"):
        GazeboServer(gazebo, "", {}, log=tmp_path / "file" / "gzserver.log")


@pytest.mark.gazebo11
def test_log_is_kept_where_asked(tmp_path: Path, domain: int) -> None:
    gazebo = find_gazebo()
    if gazebo is None:
        pytest.skip("Gazebo 11 is not installed: gym-gazebo2 install-gazebo")
    log = tmp_path / "logs" / "gzserver.log"
    GazeboServer(gazebo, "<sdf/>", {}, log=log).close()
    assert log.exists()


@pytest.mark.gazebo11
def test_a_log_that_an_error_names_is_kept(tmp_path: Path, domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with start_server(ROBOT, domain) as server, pytest.raises(BackendError, match="end of its log") as caught:
        server.process.kill()
        server.process.wait(5)
        server.check_alive()
    assert f" {server.log}:" in str(caught.value) and list(tmp_path.iterdir()) == [server.log]
    assert "Gazebo multi-robot simulator" in server.log.read_text()


def test_the_folder_for_temporary_files_is_left_as_it_was(tmp_path: Path, domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    start_server(ROBOT, domain).close()
    assert not list(tmp_path.iterdir())


@pytest.mark.gazebo11
def test_a_log_of_ones_own_goes_on_after_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "gzserver.log"
    for line in ("echo first; exit 3", "echo second; exit 3"):
        folder = tmp_path / line[5:10]
        folder.mkdir()
        with GazeboServer(put_gazebo(folder, line), "<sdf/>", {}, log=log) as server:
            server.process.wait(5)
    assert log.read_text() == "first\nsecond\n"


@pytest.mark.gazebo11
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gazebo = put_gazebo(tmp_path, "exit 3")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with pytest.raises(BackendError, match=r"No such file.*TMPDIR"):
        GazeboServer(gazebo, "", {})
    (tmp_path / "tmp").mkdir()
    before, (soft, hard) = len(list(Path("/proc/self/fd").iterdir())), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(BackendError, match="File too large"):
            GazeboServer(gazebo, "x" * 1000, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "tmp").iterdir()) and len(list(Path("/proc/self/fd").iterdir())) == before


def test_domains_are_free_and_never_shared() -> None:
    domains = [Domain() for _ in range(5)]
    assert len({domain.id for domain in domains}) == 5 and all(domain.id in DOMAINS for domain in domains)
    freed = domains[0].id
    for domain in domains:
        domain.release()
        domain.release()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as foreign:
        foreign.bind(("", 7400 + 250 * freed))
        other = Domain()
        assert other.id != freed
        other.release()


def test_a_domain_that_cannot_be_locked_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(RosError, match=r"Cannot write the lock file of a ROS domain: .*missing.* Set TMPDIR"):
        Domain()


@pytest.mark.parametrize("domain", [-1, 102, 233, True, "7", 1.5])
def test_invalid_domains_are_refused(domain: object) -> None:
    with pytest.raises(InvalidArgumentError, match="from 0 to 101"):
        check_domain(domain)


def test_ports_are_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", find_port()))
