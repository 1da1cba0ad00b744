"""Real arms, as their makers ship them, in Gazebo: they move as in MuJoCo, touch where they touch there, and go where they
are placed. A gantry shows prismatic joints, and pairs of links that are in touch by design."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from sensor_msgs.msg import JointState

from gym_gazebo2.backends import make_backend
from gym_gazebo2.contract import LIMIT_TOLERANCE
from gym_gazebo2.provider.messages import RefusedError, read_joints
from gym_gazebo2.robots import RobotRow, RobotSpec, make_robot
from gym_gazebo2.robots.collisions import CollisionModel
from gym_gazebo2.robots.spec import FLOOR, ExcludedPair

from .arms import make_row
from .conftest import ROOT
from .gazebo_client import get_q, serve
from .simulator import SIMULATOR

ONE = np.ones(1, dtype=bool)
RMS_TOLERANCE = 0.01
"""Largest RMS difference to MuJoCo that the contract allows, free of contact [rad, or strokes]."""
FAKE_TOLERANCE = 0.02
"""Largest difference to the fake backend [rad, or strokes]."""
PERIODS = 40
"""Periods of a walk."""
GANTRY = RobotRow(str(ROOT / "tests" / "data" / "gantry.urdf"), home=(0.0,) * 4)
ROWS = {name: make_row(name) for name in ("ur5", "panda", "xarm7", "so101", "tiago")} | {
    "gantry": GANTRY,
    "gantry without rotors": dataclasses.replace(GANTRY, rotor_inertia=0.0),
}


@dataclasses.dataclass(frozen=True)
class Engines:
    """One arm in three engines."""

    robot: RobotSpec
    gazebo: Any
    mujoco: Any
    fake: Any

    def reset(self, q: np.ndarray) -> list[Any]:
        return [backend.reset(ONE, q[None]) for backend in (self.gazebo, self.mujoco, self.fake)]

    def step(self, setpoint: np.ndarray) -> list[Any]:
        return [backend.step(setpoint[None]) for backend in (self.gazebo, self.mujoco, self.fake)]


@pytest.fixture(scope="module", params=ROWS)
def engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    robot = make_robot(ROWS[request.param])
    with ExitStack() as stack:
        gazebo = stack.enter_context(closing(make_backend(SIMULATOR, robot)))
        mujoco = stack.enter_context(closing(make_backend("mujoco", robot, physics_dt=0.001)))
        yield Engines(robot, gazebo, mujoco, make_backend("fake", robot))


def draw(robot: RobotSpec, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(robot.range_lower, robot.range_upper)


def walk(robot: RobotSpec, rng: np.random.Generator, q: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """Yield set-points of actions that change by at most 0.2 a period."""
    setpoint, action = q.copy(), np.zeros(robot.dof)
    for _ in range(steps):
        action = np.clip(action + rng.uniform(-0.2, 0.2, robot.dof), -1, 1)
        setpoint = np.clip(setpoint + action * robot.control_speed * 0.05, robot.lower, robot.upper)
        yield setpoint


def move_until_touch(engines: Engines, rng: np.random.Generator) -> tuple[list[np.ndarray], tuple[int, int]]:
    """Move from a random pose until contact.

    Returns:
        The differences of Gazebo to MuJoCo and to the fake backend in each period before it, (2, dof) [rad, or strokes].
        The periods of the first contact in Gazebo and in MuJoCo; one more than there are, if there was none.
    """
    robot, q = engines.robot, draw(engines.robot, rng)
    differences: list[np.ndarray] = []
    touches = {0: PERIODS + 1, 1: PERIODS + 1}
    real, embedded, fake = engines.reset(q)
    for period, setpoint in enumerate([None, *walk(robot, rng, q, PERIODS)]):
        if setpoint is not None:
            real, embedded, fake = engines.step(setpoint)
        for i, state in enumerate((real, embedded)):
            if state.in_collision[0]:
                touches[i] = min(touches[i], period)
        if min(touches.values()) > period:
            differences.append(np.array([real.q[0] - other.q[0] for other in (embedded, fake)]) / robot.scale)
        elif max(touches.values()) <= period or period > min(touches.values()) + 1:
            break
    return differences, (touches[0], touches[1])


def test_moves_and_touches_as_in_mujoco(engines: Engines) -> None:
    rng, differences, num_touches = np.random.default_rng(5), list[np.ndarray](), 0
    for _ in range(100):
        more, (real, embedded) = move_until_touch(engines, rng)
        differences += more
        num_touches += embedded <= PERIODS
        assert abs(real - embedded) <= 1
        if len(differences) > 250 and num_touches > 1:
            break
    from_mujoco, from_fake = np.moveaxis(np.array(differences), 1, 0)
    assert len(differences) > 250 and num_touches > 1
    assert np.sqrt(np.mean(np.square(from_mujoco))) < RMS_TOLERANCE
    assert np.abs(from_fake).max() < FAKE_TOLERANCE


def test_goes_where_it_is_placed_and_touches_there_what_it_touches_in_mujoco(engines: Engines) -> None:
    rng, agree, touching = np.random.default_rng(6), 0, 0
    for _ in range(100):
        q = draw(engines.robot, rng)
        real, embedded, _ = engines.reset(q)
        np.testing.assert_array_equal(real.q[0], q)
        assert not real.dq.any()
        agree += int(real.in_collision[0] == embedded.in_collision[0])
        touching += int(embedded.in_collision[0])
    assert agree >= 99, "a pose in which the shapes just touch may differ"
    assert 0 < touching < 100


def test_the_floor_is_felt_and_home_is_free(engines: Engines) -> None:
    robot = engines.robot
    model = CollisionModel(robot)
    is_floor = np.array([FLOOR in pair for pair in model.pairs])
    q = np.random.default_rng(7).uniform(robot.range_lower, robot.range_upper, (400, robot.dof))
    contacts = model.find_contacts(q, margin=-5e-3)
    only_floor = q[contacts[:, is_floor].any(axis=1) & ~model.find_contacts(q)[:, ~is_floor].any(axis=1)]
    # TIAGo's arm hangs too high to reach the floor.
    assert bool(len(only_floor)) == (robot.name != "tiago_no_hand")
    assert all(engines.gazebo.reset(ONE, pose[None]).in_collision[0] for pose in only_floor[:10])
    assert not engines.gazebo.reset(ONE, robot.home[None]).in_collision[0]


def test_holds_its_pose_without_a_push(engines: Engines) -> None:
    state = engines.gazebo.reset(ONE, engines.robot.home[None])
    for _ in range(10):
        state = engines.gazebo.step(engines.robot.home[None])
        assert not state.in_collision[0]
    np.testing.assert_allclose(state.q[0], engines.robot.home, atol=1e-9, rtol=0.0)


def test_comes_out_of_what_it_was_placed_in_slowly(engines: Engines) -> None:
    robot, rng = engines.robot, np.random.default_rng(3)
    for _ in range(40):
        state = engines.gazebo.reset(ONE, draw(robot, rng)[None])
        state = engines.gazebo.step(state.q_setpoint)
        assert (np.abs(state.dq[0]) <= 2 * robot.velocity_limit).all()


def run_until_touch(backend: Any, q: np.ndarray, setpoints: list[np.ndarray]) -> np.ndarray:
    """Return the positions of every period before the first contact, (k, dof)."""
    state, free = backend.reset(ONE, q[None]), []
    for setpoint in setpoints:
        if state.in_collision[0]:
            break
        free.append(state.q[0])
        state = backend.step(setpoint[None])
    return np.array(free).reshape(-1, len(q))


def test_a_run_repeats_to_the_bit_until_it_touches(engines: Engines) -> None:
    """Beyond that, ODE's comparison of meshes starts from its last result, which the run before has changed."""
    rng, num_free = np.random.default_rng(8), 0
    while num_free < 60:
        q = draw(engines.robot, rng)
        setpoints = list(walk(engines.robot, rng, q, 20))
        first, second = (run_until_touch(engines.gazebo, q, setpoints) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        num_free += len(first)


def test_the_provider_names_its_joints(engines: Engines) -> None:
    assert tuple(engines.gazebo.link.provider.joints) == engines.robot.joint_names


def test_pairs_in_touch_by_design_are_excluded() -> None:
    reasons = {(pair.link1, pair.link2): pair.reason for pair in make_robot(GANTRY).excluded_pairs}
    assert reasons["floor", "carriage"] == "in touch in 100 % of random poses"
    assert reasons["column", "hand"] == "in touch at home"


def test_one_more_excluded_pair_is_one_contact_less() -> None:
    """In a pose in which only one pair of links touches, with and without that pair excluded."""
    robot = make_robot(ROWS["so101"])
    model = CollisionModel(robot)
    q = np.random.default_rng(0).uniform(robot.lower, robot.upper, (2000, robot.dof))
    hits = model.find_contacts(q)
    among_links = np.array([FLOOR not in pair for pair in model.pairs])
    pose = np.flatnonzero((hits.sum(axis=1) == 1) & (hits & among_links).any(axis=1))[0]
    pair = model.pairs[int(np.argmax(hits[pose]))]
    excluded = dataclasses.replace(robot, excluded_pairs=(*robot.excluded_pairs, ExcludedPair(*pair, "test")))
    for spec, touches in ((robot, True), (excluded, False)):
        for backend in ("mujoco", SIMULATOR):
            with closing(make_backend(backend, spec)) as arm:
                assert arm.reset(ONE, q[pose][None]).in_collision[0] == touches


def test_the_floor_is_below_a_mounted_base() -> None:
    low = np.array([0.0, 0.0, -0.3, 0.0])  # the hand reaches the floor on which the rail lies
    with closing(make_backend(SIMULATOR, make_robot(GANTRY))) as backend:
        assert backend.reset(ONE, low[None]).in_collision[0]
    with closing(make_backend(SIMULATOR, make_robot(dataclasses.replace(GANTRY, mount_height=0.05)))) as backend:
        assert not backend.reset(ONE, low[None]).in_collision[0]
        assert backend.reset(ONE, np.array([[0.0, 0.0, -0.3, 0.0]])).q[0, 2] == pytest.approx(-0.3, abs=1e-9)


def test_the_tolerance_of_a_prismatic_joint_is_a_share_of_its_stroke() -> None:
    robot = make_robot(GANTRY)
    stroke = robot.scale[2]
    inside, outside = np.zeros(4), np.zeros(4)
    inside[2], outside[2] = robot.upper[2] + np.array([0.9, 1.1]) * LIMIT_TOLERANCE * stroke
    assert outside[2] - robot.upper[2] < LIMIT_TOLERANCE, "in rad it would be inside"
    np.testing.assert_array_equal(read_joints("placement", robot.joint_names, inside, robot, np.zeros(4)), inside)
    with pytest.raises(RefusedError, match="'slide' is NaN or outside its limits"):
        read_joints("placement", robot.joint_names, outside, robot, np.zeros(4))
    with serve(robot) as (_, client):
        assert get_q(client.place(inside))[2] == pytest.approx(inside[2], abs=1e-12)
        client.states.clear()
        client.places.publish(JointState(name=client.joints, position=outside.tolist()))
        assert not client.spin_until(lambda: client.states, timeout=0.3)
