"""A table scene with all shapes, a Panda on it, and a task that watches the objects."""

import dataclasses

import numpy as np

from gym_gazebo2.backends import make_backend
from gym_gazebo2.robots import ROBOTS, RobotRow, load_robot
from gym_gazebo2.scene import FixedBox, ObjectKind, Scene, Zone
from gym_gazebo2.state import Placement
from gym_gazebo2.tasks import Advance, Task

TABLE_HEIGHT = 0.4
PANDA: RobotRow = dataclasses.replace(ROBOTS["panda"], mount_height=TABLE_HEIGHT)
TABLE = FixedBox("table", (0.3, 0.0, -0.05), (0.55, 0.4, 0.05))
SMALL, LARGE = (0.015,) * 3, (0.03,) * 3
KINDS = (
    ObjectKind("cube", "box", SMALL, LARGE, count=4, is_cube=True, color=(0.8, 0.1, 0.1)),
    ObjectKind("can", "cylinder", SMALL, LARGE, count=4, color=(0.1, 0.7, 0.1)),
    ObjectKind("ball", "sphere", SMALL, LARGE, count=4, color=(0.9, 0.1, 0.9)),
)
ZONE = Zone("bin", (0.35, 0.2, 0.01), (0.05, 0.1, 0.01), (0.9, 0.8, 0.1, 0.9))
SCENE = Scene(KINDS, 2, (TABLE,), (ZONE,))


def make_panda():
    return load_robot("panda", PANDA, True)


def make(num_envs=1, scene=SCENE, backend="mujoco", **options):
    return make_backend(backend, make_panda(), num_envs=num_envs, scene=scene, **options)


def place(backend, index, xy, height=0.0):
    """Return a placement of members on the table, the same for every arm: index (k,), xy (k, 2), height above it [m]."""
    index, k, n = np.asarray(index), len(index), backend.num_envs
    pose = np.zeros((k, 7))
    pose[:, :2], pose[:, 2], pose[:, 3] = xy, height + backend.scene.pool.half_size[index, 2], 1.0
    return Placement(np.tile(index, (n, 1)), np.tile(pose, (n, 1, 1)).reshape(n, k, 7))


def reset(backend, placement, q=None):
    q = backend.robot.home if q is None else q
    return backend.reset(np.ones(backend.num_envs, dtype=bool), np.tile(q, (backend.num_envs, 1)), placement)


class WatchTask(Task):
    """Two objects fall on the table; the first one is taken away after three periods."""

    uses_gripper = True
    scene = SCENE

    def compute_bounds(self, kinematics):
        return np.full(26, -20.0), np.full(26, 20.0)

    def compute_observation(self, state, goal):
        objects = state.arm.objects
        return np.concatenate([objects.pose, objects.twist], axis=2).reshape(len(objects.pose), -1)

    def compute_reward(self, measures, state):
        return -state.arm.objects.pose[:, 0, 2]

    def start(self, rng):
        return {"count": np.array(0), "drawn": np.array(rng.random()), "first": np.zeros(3)}

    def place(self, rng, goal):
        poses = np.array([[0.55, -0.1, 0.1, 1.0, 0.0, 0.0, 0.0], [0.55, 0.1, 0.1, 0.9, 0.3, 0.1, 0.0]])
        poses[:, :2] += rng.uniform(-0.05, 0.05, (2, 2))
        return rng.choice(len(SCENE.pool), 2, replace=False), poses

    def begin(self, state, goal):
        return {**state.memory, "first": state.arm.objects.pose[:, 0, :3].copy()}

    def advance(self, state, goal):
        count = state.memory["count"] + 1
        park = np.zeros(state.arm.objects.is_parked.shape, dtype=bool)
        park[:, 0] = count >= 3
        reward = self.compute_reward({}, state)
        return Advance({**state.memory, "count": count}, {}, reward, np.zeros(len(reward), dtype=bool), park)
