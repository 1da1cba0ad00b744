"""Pictures of arms at home: the whole arm is in the picture, in front of its base, and nothing else is."""

from __future__ import annotations

import contextlib
import io

import mujoco
import numpy as np
import pytest
from PIL import Image

from gym_gazebo2.backends.mujoco.framing import EYE, OVERVIEW, TARGET, look_at
from gym_gazebo2.backends.mujoco.rendering import Painter
from gym_gazebo2.backends.mujoco.scene import make_visual_model
from gym_gazebo2.cli.robot import draw
from gym_gazebo2.robots import RobotSpec, make_robot

from .arms import ARMS, make_arm

BUILT_IN = ("mara", "scara", "scara4", "panda", "ur5e")
WIDTH, HEIGHT = 320, 240


def segment(robot: RobotSpec) -> tuple[np.ndarray, mujoco.MjModel]:
    """Return which shape each pixel of the overview shows, (height, width), and the model."""
    with contextlib.closing(Painter(robot, WIDTH, HEIGHT)) as painter:
        flags, scene = mujoco.mjtRndFlag, painter._scene
        scene.flags[flags.mjRND_SEGMENT] = scene.flags[flags.mjRND_IDCOLOR] = 1  # colours are numbers of shapes, plus 1
        number = painter.draw(robot.home, None, OVERVIEW).astype(int) @ [1, 256, 65536] - 1
        shapes = {scene.geoms[i].segid: scene.geoms[i].objid for i in range(scene.ngeom)}
        return np.vectorize(lambda n: shapes.get(n, -1))(number), painter.model


@pytest.mark.parametrize("name", ARMS)
def test_the_whole_arm_is_in_the_picture(name: str) -> None:
    robot = make_arm(name)
    shown, model = segment(robot)
    plane = model.geom("floor").id
    edge = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    assert set(np.unique(edge)) <= {-1, plane}, "a part of the robot is cut off"
    # The links of the arm: each one that has a shape covers some pixels. A link that the arm itself hides does not count.
    chain = [i for i in range(model.nbody) if model.body_weldid[i] != 0 and model.body_geomnum[i]]
    seen = {int(model.geom_bodyid[geom]) for geom in np.unique(shown) if geom >= 0}
    assert len(seen & set(chain)) >= 0.7 * len(chain)
    assert np.isin(shown, [g for g in range(model.ngeom) if model.geom_bodyid[g] in chain]).mean() > 0.005


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_usual_place_stays_that_of_the_built_in_arms(name: str) -> None:
    model = make_visual_model(make_robot(name), WIDTH, HEIGHT)
    camera = model.camera(OVERVIEW)
    np.testing.assert_array_equal(camera.pos, EYE)
    np.testing.assert_array_equal(camera.quat, look_at(EYE, TARGET))


def test_the_marker_of_the_goal_is_hidden_until_there_is_a_goal() -> None:
    """TALOS' shoulder is a metre above the floor, where the marker of an arm on the floor would be seen."""
    picture = np.asarray(Image.open(io.BytesIO(draw(make_arm("talos"))))).astype(int)
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    assert not ((red > 150) & (green < 60) & (blue < 60)).any()
