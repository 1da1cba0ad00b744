"""gz-sim's own control service beside the plug-in: a reset or a pause by another program is an error, and a reset mends it.

Only ``make test-gz-sim`` collects this file.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from gym_gazebo2.backends import make_backend
from gym_gazebo2.errors import BackendError
from gym_gazebo2.gazebo.gz_locate import FORTRESS
from gym_gazebo2.robots import make_robot

from .gazebo_client import serve
from .scenes import SCENE, make_panda
from .test_gazebo_objects import connect_objects, make_placement

ONE = np.ones(1, dtype=bool)


@pytest.fixture
def backend() -> Iterator[Any]:
    with closing(make_backend("gz_sim", make_robot("scara"), timeout=4.0)) as made:
        made.reset(ONE, made.robot.home[None])
        yield made


def control(server: Any, request: str) -> None:
    gz = server.simulator
    package = "ignition.msgs" if gz.major == FORTRESS else "gz.msgs"
    service = ["-s", "/world/gym_gazebo2/control", "--reqtype", f"{package}.WorldControl", "--reptype", f"{package}.Boolean"]
    command = [str(gz.program), "service", *service, "--timeout", "5000", "--req", request]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=30, check=True)
    assert "data: true" in done.stdout, "it answers at once, also while the plug-in waits for a command"


def check_steps(backend: Any) -> None:
    state = backend.reset(ONE, (backend.robot.home + 0.3)[None])
    np.testing.assert_array_equal(state.q[0], backend.robot.home + 0.3)
    for k in range(1, 4):
        state = backend.step(state.q_setpoint + 0.02)
        assert state.time[0] == k * 50_000_000
    np.testing.assert_allclose(state.q[0], backend.robot.home + 0.36, atol=2e-3)


def test_a_reset_of_the_world_interrupts_the_episode_only(backend: Any) -> None:
    control(backend.server, "reset: {all: true}")
    with pytest.raises(BackendError, match="no answer|advanced time"):  # the second in Fortress, where time alone is reset
        backend.step(backend.robot.home[None])
    check_steps(backend)


def test_a_pause_is_an_error_until_it_ends(backend: Any) -> None:
    control(backend.server, "pause: true")
    with pytest.raises(BackendError, match="no answer"):
        backend.step(backend.robot.home[None])
    control(backend.server, "pause: false")
    check_steps(backend)


def test_a_reset_of_the_world_parks_the_objects() -> None:
    """Otherwise they would fall from their shelf onto the arm. In Fortress time alone is reset."""
    with serve(make_panda(), scene=SCENE, real_time_factor=1.0) as (server, client):
        publisher, seen = connect_objects(client)
        publisher.publish(make_placement("base_link", ball0=(0.6, 0.0, 0.5)))
        assert client.spin_until(lambda: seen and seen[-1].joint_names == ["ball0"])
        control(server, "reset: {all: true}")
        left = ["ball0"] if server.simulator.major == FORTRESS else []
        assert client.spin_until(lambda: seen[-1].joint_names == left)


def test_fingers_that_are_driven_are_told() -> None:
    robot = make_robot("panda", gripper=True)
    with closing(make_backend("gz_sim", robot)) as made:
        state = made.reset(ONE, robot.home[None])
        assert made.link.provider.fingers == robot.joint_names[robot.chain_dof :] and made.link.provider.fingers
        # Without the fingers' set-points, they stay where they are while the arm moves.
        state = made.step(state.q_setpoint[:, : robot.chain_dof] + 0.01)
        np.testing.assert_array_equal(state.q_setpoint[0, robot.chain_dof :], robot.home[robot.chain_dof :])
        np.testing.assert_allclose(state.q[0, robot.chain_dof :], robot.home[robot.chain_dof :], atol=1e-4)


def test_only_the_written_systems_are_loaded(backend: Any) -> None:
    """gz-sim's default systems would cost a third of a physics step. Where they are not installed, its log complains."""
    command = [str(backend.server.simulator.program), "topic", "-l"]
    listed = subprocess.run(command, env=backend.server.environment, capture_output=True, text=True, timeout=30, check=True)
    assert "/world/gym_gazebo2/clock" in listed.stdout and "/world/gym_gazebo2/scene/info" not in listed.stdout
    assert "Failed to load" not in backend.server.log.read_text()
