import faulthandler
import json
import os
import signal
import subprocess
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; small networks want one thread

import pytest

from gym_gazebo2.backends import make_backend
from gym_gazebo2.robots import ROBOTS, make_robot

from .processes import deadline, run_process
from .simulator import SIMULATOR

# A script's background jobs inherit SIGINT as ignored. Tests send it to themselves and to what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
collect_ignore = [] if SIMULATOR == "gz_sim" else ["test_gz_control.py"]
"""Files that need gz-sim: ``make test-gz-sim`` runs them."""
DEADLINE = 600.0
"""Time that a test has, with its fixtures [s]: twenty times what the longest takes on an idle machine."""
LAST_DEADLINE = DEADLINE + 60.0
"""Time after which a test that does not even end by an exception ends the whole process [s]."""


def pytest_addoption(parser):
    parser.addoption("--mutations", type=int, default=100, help="number of mutated URDFs in tests/test_urdf_fuzz.py")


@pytest.fixture(scope="session")
def golden():
    """Oracle values of kinematics and reward, from an implementation of its own."""
    return json.loads((Path(__file__).parent / "golden.json").read_text())


@pytest.fixture(params=sorted(ROBOTS))
def robot(request):
    return make_robot(request.param)


@pytest.fixture(params=["fake", "mujoco"])
def backend_name(request):
    return request.param


@pytest.fixture
def factory(backend_name, robot):
    return lambda num_envs: make_backend(backend_name, robot, num_envs=num_envs)


@pytest.fixture
def display():
    """A virtual display of its own, ended by its handle."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with run_process(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server, os.fdopen(reader) as numbers:
        os.close(writer)
        with deadline(server):
            number = int(numbers.readline())
        yield f":{number}"
        server.terminate()
        server.wait(timeout=10)


def fail_late(signum, frame):
    pytest.fail(f"The test was not done after {DEADLINE:g} s.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Give every test a deadline: it fails where it waits, and its fixtures end what it started."""
    if item.config.getoption("usepdb"):
        return (yield)
    signal.signal(signal.SIGALRM, fail_late)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE, DEADLINE)
    faulthandler.dump_traceback_later(LAST_DEADLINE, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI nothing may be skipped: everything that a test needs is installed by make."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr}"
    return report
