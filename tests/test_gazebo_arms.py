"""Real arms in Gazebo 11: the same motion and the same contacts as in MuJoCo, with meshes, held fingers and excluded pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import yourdfpy

from gym_gazebo2.backends import Backend, make_backend
from gym_gazebo2.errors import RobotError
from gym_gazebo2.gazebo.collisions import BITS, cover, find_hosts, make_bitmasks
from gym_gazebo2.gazebo.model import make_world
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.robots.collisions import CollisionModel
from gym_gazebo2.robots.spec import FLOOR, ExcludedPair
from gym_gazebo2.testing import drive_smoothly

from .arms import ARMS, make_arm

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

NAMES = ("ur5", "panda", "xarm7", "so101")
ONE = np.ones(1, dtype=bool)


@pytest.fixture(scope="module", params=NAMES)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Backend, Backend]]:
    """One arm in MuJoCo and in Gazebo."""
    robot = make_arm(request.param)
    with closing(make_backend("mujoco", robot)) as mujoco, closing(make_backend("gazebo", robot)) as gazebo:
        yield mujoco, gazebo


def test_moves_as_in_mujoco(pair: tuple[Backend, Backend]) -> None:
    """Free of contact, within 0.01 rad RMS. The first contact comes in the same control step, plus or minus one."""
    mujoco, gazebo = pair
    differences, first = [], [10**6, 10**6]
    for seed in range(3):
        for k, expected in enumerate(drive_smoothly(mujoco, seed, periods=60)):
            state = gazebo.step(expected.q_setpoint) if k else gazebo.reset(ONE, expected.q)
            first = [min(f, k) if s.in_collision[0] else f for f, s in zip(first, (expected, state), strict=True)]
            if min(first) < k - 1:
                break
            if min(first) > k:
                differences.append(state.q[0] - expected.q[0])
        assert abs(first[0] - first[1]) <= 1
        first = [10**6, 10**6]
    assert len(differences) > 10
    assert np.sqrt(np.mean(np.square(differences), axis=0)).max() < 0.01


def test_touches_what_it_touches_in_mujoco(pair: tuple[Backend, Backend]) -> None:
    robot = pair[0].robot
    poses = np.random.default_rng(3).uniform(robot.range_lower, robot.range_upper, (100, 1, robot.dof))
    hits = np.array([[backend.reset(ONE, q).in_collision[0] for backend in pair] for q in poses])
    assert 0 < hits[:, 0].sum() < 100 and (hits[:, 0] == hits[:, 1]).mean() >= 0.98


def test_an_excluded_pair_does_not_touch() -> None:
    """With and without one more excluded pair, in a pose in which only this pair touches."""
    robot = make_arm("so101")
    model = CollisionModel(robot)
    q = np.random.default_rng(0).uniform(robot.lower, robot.upper, (2000, robot.dof))
    hits = model.find_contacts(q)
    among_links = np.array([FLOOR not in pair for pair in model.pairs])
    pose = np.flatnonzero((hits.sum(axis=1) == 1) & (hits & among_links).any(axis=1))[0]
    pair = model.pairs[int(np.argmax(hits[pose]))]
    excluded = dataclasses.replace(robot, excluded_pairs=(*robot.excluded_pairs, ExcludedPair(*pair, "test")))
    for spec, touches in ((robot, True), (excluded, False)):
        for backend in ("mujoco", "gazebo"):
            with closing(make_backend(backend, spec)) as arm:
                assert arm.reset(ONE, q[pose][None]).in_collision[0] == touches


@pytest.fixture(params=[name for name in ARMS if name != "tiago"])
def arm(request: pytest.FixtureRequest) -> RobotSpec:
    return make_arm(request.param)


def test_bits_say_what_the_pairs_say(arm: RobotSpec) -> None:
    urdf = yourdfpy.URDF.load(arm.urdf, load_meshes=False).robot
    hosts = find_hosts(urdf, arm)
    masks = make_bitmasks(urdf, arm, hosts)
    joined = {frozenset((hosts[joint.parent], hosts[joint.child])) for joint in urdf.joints}
    excluded = {frozenset((p.link1, p.link2)) for p in arm.excluded_pairs}
    links = [link.name for link in urdf.links if link.collisions]
    assert not masks or max(masks.values()) < 2**BITS
    for one in links if masks else ():
        for two in links:
            if hosts[one] != hosts[two] and frozenset((hosts[one], hosts[two])) not in joined:
                assert bool(masks[one] & masks[two]) == (frozenset((one, two)) not in excluded), (one, two)


def test_cover_of_a_circle() -> None:
    names = "abcde"
    together = {frozenset((names[i], names[(i + 1) % 5])) for i in range(5)}
    apart = {frozenset((names[i], names[(i + 2) % 5])) for i in range(5)}
    groups = cover(together, apart, names)
    assert all(any(pair <= group for group in groups) for pair in together)
    assert not any(pair <= group for group in groups for pair in apart)


def test_prismatic_joints_are_refused(tmp_path) -> None:
    (tmp_path / "libplugin.so").touch()
    with pytest.raises(RobotError, match="torso_lift_joint.*revolute joints only"):
        make_world(make_arm("tiago"), tmp_path / "libplugin.so")
