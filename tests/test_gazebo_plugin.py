"""The physics behind the plug-in in a real simulator: fidelity, placements, contacts. test_plugin_core.py tests the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.robots import RobotSpec, make_robot

from .gazebo_client import Client, contact_force, get_q, serve, walk
from .simulator import SIMULATOR

ALL = np.ones(1, dtype=bool)
TOO_FAST = {"gazebo": 0.0, "gz_sim": 0.15}[SIMULATOR]
"""Share of the placements in contact after which a joint is faster than its limit. In gz-sim contacts do not feel the rotors:
docs/modern_gazebo.md."""
BOX = """<model name="box"><pose>0.6 0 0.05 0 0 0</pose><link name="box"><collision name="c">
<geometry><box><size>.1 .1 .1</size></box></geometry></collision></link></model><plugin name="gym"""


@pytest.fixture(scope="module")
def mara() -> RobotSpec:
    return make_robot("mara")


@pytest.fixture(scope="module")
def served(mara: RobotSpec) -> Iterator[tuple[GazeboServer, Client]]:
    with serve(mara, edit=lambda world: world.replace('<plugin name="gym', BOX)) as both:
        yield both


@pytest.fixture
def client(served: tuple[GazeboServer, Client]) -> Client:
    served[0].check_alive()
    return served[1]


def test_agrees_with_embedded_physics(client: Client, mara: RobotSpec) -> None:
    mujoco = pytest.importorskip("gym_gazebo2.backends.mujoco")
    errors = []
    for seed in range(5):
        embedded, rng = mujoco.MujocoBackend(mara, physics_dt=0.001), np.random.default_rng(seed)
        start = rng.uniform(-0.5, 0.5, mara.dof)
        client.place(start)
        embedded.reset(ALL, start[None])
        for setpoint in walk(mara, rng, start, 40):
            state, other = client.step(setpoint), embedded.step(setpoint[None])
            if other.in_collision[0]:
                break
            errors.append(get_q(state) - other.q[0])
    assert len(errors) > 150
    assert np.sqrt(np.mean(np.square(errors))) < 0.001


def test_places_exactly_out_of_motion(client: Client, mara: RobotSpec) -> None:
    rng = np.random.default_rng(3)
    for trial in range(150):
        q = rng.uniform(mara.lower, mara.upper)
        if trial % 3 == 0:
            q = np.sign(q) * np.minimum(mara.upper, np.pi - rng.uniform(0, 0.05, mara.dof))
        placed = client.place(q)
        assert np.abs(get_q(placed) - q).max() < 1e-9 and not np.any(placed.velocity)
        is_free = contact_force(client, placed) == 0
        held = client.step(q)
        if is_free:
            assert np.abs(get_q(held) - q).max() < 1e-6 and np.abs(held.velocity).max() < 1e-3
        client.step(np.clip(q + rng.uniform(-0.07, 0.07, mara.dof), mara.lower, mara.upper))


def test_comes_out_of_what_it_was_placed_in_no_faster_than_it_may_turn(client: Client, mara: RobotSpec) -> None:
    rng, touching, too_fast = np.random.default_rng(3), 0, 0
    for _ in range(200):
        q = rng.uniform(mara.lower, mara.upper)
        touching += contact_force(client, client.place(q)) > 0
        too_fast += bool(np.any(np.abs(client.step(q).velocity) > mara.velocity_limit))
    assert touching > 20
    assert too_fast <= TOO_FAST * touching


def test_contacts_tell_touching_from_free(client: Client, mara: RobotSpec) -> None:
    free, floor = np.zeros(mara.dof), np.array([0, 2.3, 0, 0, 0, 0])
    folded = np.array([0, 0, 2.6, 0, 2.5, 0])
    assert [contact_force(client, client.place(q)) > 0 for q in (free, floor, folded)] == [False, True, True]
    client.place([0, 1.35, 0, 0, 0, 0])
    forces = [contact_force(client, client.step([0, 1.35 + 0.05 * k, 0, 0, 0, 0])) for k in range(1, 13)]
    assert forces[0] == 0 and max(forces) > 10


def test_nothing_grows(client: Client, served: tuple[GazeboServer, Client], mara: RobotSpec) -> None:
    def count() -> tuple[int, int]:
        status = Path(f"/proc/{served[0].process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["VmRSS"].split()[0]), int(fields["Threads"])

    rng = np.random.default_rng(5)
    sizes = []
    for _ in range(3):
        for _ in range(300):
            client.step(get_q(client.place(rng.uniform(-1, 1, mara.dof))))
        sizes.append(count())
    assert sizes[2][0] - sizes[1][0] < 1000 and sizes[2][1] == sizes[0][1], sizes
