"""Pictures, windows and films show objects, boxes, zones and the goal; the wrist camera looks between the fingers."""

import io
import os
import subprocess
import sys
from contextlib import closing

import numpy as np
from PIL import Image

from gym_gazebo2.algos.play.film import FilmWriter
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import ObjectState

from .conftest import ROOT
from .scenes import KINDS, SCENE, TABLE, make, make_panda, place, reset

ONE_OF_EACH = Scene(KINDS, 3, (TABLE,), SCENE.zones)
RED, GREEN, PURPLE, YELLOW = (1, -1, -1), (-1, 1, -1), (1, -1, 1), (1, 1, -1)
"""Colours as signs of the three channels."""


def count(picture, color):
    """Return the number of pixels whose channels are clearly above or below the mean of all, as a colour asks for."""
    channels = picture.astype(int)
    bright = [channels[..., i] for i in range(3) if color[i] > 0]
    dark = [channels[..., i] for i in range(3) if color[i] < 0]
    return int((np.minimum.reduce(bright) - np.maximum.reduce(dark) > 50).sum())


def make_table(**options):
    backend = make(1, ONE_OF_EACH, **options)
    return backend, reset(backend, place(backend, [0, 4, 8], [[0.55, -0.15], [0.6, 0.0], [0.55, 0.15]]))


def test_pictures_show_objects_zones_and_the_goal_and_no_parked_object():
    backend, state = make_table()
    with closing(backend):
        before = backend.render("rgb_array", 320, 240)
        for color in (RED, GREEN, PURPLE, YELLOW):
            assert count(before, color) > 15, color
        backend.step(state.q_setpoint, np.array([[True, False, True]]))
        after = backend.camera("overview", 320, 240)[0]
        assert count(after, RED) == 0 and count(after, PURPLE) == 0 and count(after, GREEN) > 15
        backend.show_goal(np.array([[0.4, 0.0, 0.3, 1, 0, 0, 0]]))
        assert count(backend.render("rgb_array", 320, 240), RED) > 50


def test_a_larger_member_of_the_pool_is_drawn_larger():
    backend, _ = make_table()
    with closing(backend):
        sizes = ONE_OF_EACH.pool.half_size[:4, 0]
        areas = []
        for member in (int(sizes.argmin()), int(sizes.argmax())):
            reset(backend, place(backend, [member, 4, 8], [[0.6, 0.0], [0.5, -0.2], [0.5, 0.2]]))
            areas.append(count(backend.render("rgb_array", 640, 480), RED))
        assert areas[1] > 1.2 * areas[0]


def test_the_wrist_camera_sees_what_the_fingers_grip():
    backend, _ = make_table()
    with closing(backend):
        placement = place(backend, [0, 4, 8], [[0.3, 0.0], [0.6, 0.0], [0.55, 0.15]])
        placement.pose[0, 0, :3] = Kinematics(backend.robot).compute_tcp_pose(backend.robot.home[None])[0, :3, 3]
        reset(backend, placement)
        picture = backend.camera("wrist", 96, 96)[0]
        assert count(picture, RED) > 300
        middle = np.argwhere(picture[..., 0].astype(int) - picture[..., 1] > 50).mean(axis=0)
        assert abs(middle[1] - 48) < 8 and 30 < middle[0] < 75
        fingers = picture.astype(int).max(axis=2) < 80  # they are nearly black, on both sides
        assert fingers[:, :40].sum() > 50 and fingers[:, 56:].sum() > 50


def test_a_film_shows_objects(tmp_path):
    robot, path = make_panda(), tmp_path / "film.gif"
    backend, state = make_table()
    with closing(backend), closing(FilmWriter(path, robot, 0.05, ONE_OF_EACH)) as film:
        film.add(state.q[0], None, state.objects)
        film.add(state.q[0], None, _hide(state.objects))
    frames = Image.open(io.BytesIO(path.read_bytes()))
    pictures = []
    for i in range(frames.n_frames):
        frames.seek(i)
        pictures.append(np.asarray(frames.convert("RGB")))
    assert count(pictures[0], PURPLE) > 50 and count(pictures[1], PURPLE) == 0


def _hide(objects):
    pose = objects.pose.copy()
    pose[..., 2] = -10.0
    return ObjectState(objects.index, pose, objects.twist, objects.is_parked)


def test_a_window_opens_with_objects(display):
    code = (
        "from tests.scenes import PANDA, WatchTask\n"
        "from gym_gazebo2.env import ArmEnv\n"
        "env = ArmEnv(PANDA, WatchTask(), render_mode='human')\n"
        "env.reset(seed=0)\n"
        "for _ in range(6): env.step(env.action_space.sample())\n"
        "env.close()\n"
        "print('done')"
    )
    environment = os.environ | {"DISPLAY": display}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0 and "done" in done.stdout, done.stderr
