"""Scenes over ROS 2 without Gazebo: ``gym-gazebo2 sim --scene``, in lock-step and real time, and clients with another scene."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from gym_gazebo2.backends import make_backend
from gym_gazebo2.errors import BackendError, InvalidArgumentError
from gym_gazebo2.scene import FixedBox, Scene
from gym_gazebo2.sim import SimConfig, simulate
from gym_gazebo2.testing import CHECKS, OBJECT_CHECKS

from .sim_process import Sim, run_sim

ENV = "PandaSort-v0"
ONE = np.ones(1, dtype=bool)


def make_sort(**options):
    return gym.make(ENV, num_objects=2, blocker=0.05, **options)


def connect(sim: Sim, **options):
    return make_sort(backend="ros2", backend_options={"domain_id": sim.domain, "timeout": 10.0, **options})


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with run_sim("--scene", "sort", "--env.num_objects", "2", "--env.blocker", "0.05") as running:
        yield running


@pytest.fixture(scope="module")
def core():
    env = make_sort(backend="fake")
    yield env.unwrapped.core
    env.close()


def test_sorting_over_ros_is_sorting_embedded_to_the_bit(sim: Sim) -> None:
    assert "/panda/objects" in sim.shown and "num_objects=2, blocker=0.05" in sim.shown
    with closing(connect(sim)) as far, closing(make_sort()) as near:
        for episode in range(3):
            starts = [env.reset(seed=episode)[0] for env in (far, near)]
            np.testing.assert_array_equal(*starts)
            rng = np.random.default_rng(episode)
            for _ in range(30):
                action = rng.uniform(-1, 1, far.action_space.shape)
                one, two = far.step(action), near.step(action)
                np.testing.assert_array_equal(one[0], two[0])
                assert one[1:4] == two[1:4]


ALONE = [name for name in OBJECT_CHECKS if name != "objects_determinism"]
"""Checks for which one client is enough; two clients of one provider disturb each other."""


@pytest.mark.parametrize("check", ["state", "time", "reset", "misuse", *ALONE])
def test_the_client_keeps_the_contract(sim: Sim, core, check: str) -> None:
    def factory(num_envs: int):
        options = {"scene": core.task.scene, "domain_id": sim.domain, "timeout": 10.0}
        return make_backend("ros2", core.robot, num_envs=num_envs, **options)

    (CHECKS | OBJECT_CHECKS)[check](factory, 1)


def test_an_object_without_a_place_is_an_error(sim: Sim) -> None:
    with closing(connect(sim)) as env:
        env.reset(seed=0)
        link = env.unwrapped.core.backend.link
        take, link.on_objects = link.on_objects, lambda reading: take(reading._replace(pose=reading.pose * np.nan))
        with pytest.raises(BackendError, match="reports the pose .*nan"):
            env.step(np.zeros(env.action_space.shape))
        link.on_objects = take
        env.reset(seed=0)
        env.step(np.zeros(env.action_space.shape))


def change_box(scene: Scene) -> Scene:
    return dataclasses.replace(scene, boxes=(dataclasses.replace(scene.boxes[0], friction=0.2), *scene.boxes[1:]))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda scene: dataclasses.replace(scene, pool_seed=7), "half_size of 'cube0' is"),
        (lambda scene: dataclasses.replace(scene, num_objects=3), "It can show 2 objects at once, expected 3"),
        (lambda scene: dataclasses.replace(scene, kinds=scene.kinds[:2]), "Its pool has"),
        (lambda scene: dataclasses.replace(scene, boxes=(FixedBox("wall", (1, 1, 1), (0.1, 0.1, 0.1)),)), "Its boxes has"),
        (change_box, "friction of '"),
    ],
)
def test_another_scene_is_refused(sim: Sim, core, change, text: str) -> None:
    with pytest.raises(BackendError, match=f"has another scene than the task. {text}"):
        make_backend("ros2", core.robot, scene=change(core.task.scene), domain_id=sim.domain, timeout=10.0)


def test_a_provider_without_a_scene_is_refused(core) -> None:
    refused = pytest.raises(BackendError, match=r"the provider of /panda has none. Start it with .* gym-gazebo2 sim --scene")
    with run_sim("panda", "--gripper", "--mount-height", "0.4") as plain, refused:
        make_backend("ros2", core.robot, scene=core.task.scene, domain_id=plain.domain, timeout=10.0)


def test_a_client_without_a_scene_moves_the_arm_among_parked_objects(sim: Sim, core) -> None:
    with closing(make_backend("ros2", core.robot, domain_id=sim.domain, timeout=10.0)) as backend:
        state = backend.reset(ONE, core.robot.home[None])
        assert state.objects is None and backend.step(state.q_setpoint).time[0] == 50_000_000


@pytest.fixture
def free(core):
    arguments = ("--scene", "sort", "--env.num_objects", "2", "--env.blocker", "0.05", "--real-time")
    with contextlib.ExitStack() as stack:
        options = {"domain_id": stack.enter_context(run_sim(*arguments)).domain, "timeout": 10.0, "stale_after": 2.0}
        yield stack.enter_context(closing(make_backend("ros2", core.robot, scene=core.task.scene, **options)))


def test_real_time_places_and_parks(core, free) -> None:
    placement = core._make_placement()
    placement.index[0], placement.pose[0] = core.task.place(np.random.default_rng(0), core.goal[0])
    state = free.reset(ONE, core.robot.home[None], placement)
    assert not free.lock_step
    np.testing.assert_array_equal(state.objects.index, placement.index)
    np.testing.assert_allclose(state.objects.pose[..., :3], placement.pose[..., :3], atol=2e-3)
    for k in range(10):
        state = free.step(state.q_setpoint, np.array([[k >= 4, False]]))
    assert state.objects.is_parked.tolist() == [[True, False]]
    np.testing.assert_allclose(state.objects.pose[0, 1, :3], placement.pose[0, 1, :3], atol=2e-3)
    again = free.reset(ONE, core.robot.home[None], placement)
    assert not again.objects.is_parked.any()


def test_names_of_scenes_are_checked() -> None:
    with pytest.raises(InvalidArgumentError, match="scene is 'reach', expected the name of a task with a scene: .*sort"):
        simulate(SimConfig(scene="reach"))
    with pytest.raises(InvalidArgumentError, match="none with --robot-only"):
        simulate(SimConfig(scene="sort", real_time=True, robot_only=True))
