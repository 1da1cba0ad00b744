import json
import os
import subprocess
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; small networks want one thread

import pytest

from gym_gazebo2.backends import make_backend
from gym_gazebo2.robots import ROBOTS, make_robot

ROOT = Path(__file__).parents[1]


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
    server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as numbers:
        yield f":{int(numbers.readline())}"
    server.terminate()
    server.wait(timeout=10)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI nothing may be skipped: everything that a test needs is installed by make."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr}"
    return report
