"""Where the overview camera stands: such that the whole arm is in the picture, and not hidden behind its base."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import RobotSpec

__all__ = ["FIELD_OF_VIEW_DEG", "OVERVIEW", "look_at", "place_overview"]

Array = NDArray[np.float64]

OVERVIEW = "overview"
"""Name of the camera."""
FIELD_OF_VIEW_DEG = 50.0
"""Its vertical field of view."""
EYE, TARGET = np.array([-0.9, -0.9, 0.8]), np.array([-0.05, 0.0, 0.38])
"""Where it stands and looks for an arm of about a metre, in the base frame [m]. For others it moves away or nearer."""
ENOUGH = 0.75
"""Share of the moving shapes that must be seen from there, with the whole robot in the picture. Otherwise the camera goes where
most of them are seen."""
MARGIN = 1.2
"""Distance from which an arm fits into the picture → distance that is taken."""
SHADOWS = 3.0
"""How much farther than by default shadows reach, where the camera was moved."""
TURNS = (0.0, -np.pi / 2, np.pi / 2, np.pi)
"""Turns about the vertical that are tried [rad]."""


def place_overview(model: mujoco.MjModel, robot: RobotSpec) -> None:
    """Move the overview camera to the place from which the arm is seen at its home pose.

    Args:
        model: The model to draw. It has the camera, and is changed.
        robot: The arm.
    """
    data = mujoco.MjData(model)
    data.qpos[:] = robot.home
    mujoco.mj_kinematics(model, data)
    usual, *others = _list_views(model, data, robot)
    eye, target = usual
    is_whole = all(_is_in_picture(model, data, geom, usual) for geom in _list_shapes(model))
    if not is_whole or _measure_seen(model, data, usual) < ENOUGH:
        eye, target = max(others, key=lambda view: _measure_seen(model, data, view))  # the first of equal ones
        # Shadows end at a distance from the model's centre. There the floor has dark dots, so the end goes far behind the arm.
        model.vis.map.shadowclip *= SHADOWS
    camera = model.camera(OVERVIEW)
    camera.pos[:], camera.quat[:] = eye, look_at(eye, target)


def look_at(eye: Array, target: Array) -> Array:
    """Return the quaternion wxyz of a level camera at ``eye`` that looks at ``target``, both (3,) [m]."""
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, _make_axes(eye, target).ravel())
    return quat


def _make_axes(eye: Array, target: Array) -> Array:
    """Return the axes (3, 3) of a level camera, as columns: x to the right, y up, and −z to the target, as MuJoCo has them."""
    backward = np.subtract(eye, target) / np.linalg.norm(np.subtract(eye, target))
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    return np.column_stack([right, np.cross(backward, right), backward])


def _list_views(model: mujoco.MjModel, data: mujoco.MjData, robot: RobotSpec) -> list[tuple[Array, Array]]:
    """Return places to stand and to look at: the usual one, then those around the arm from which it fits into the picture."""
    size = Kinematics(robot).compute_reach()
    factor = 1.0 if 0.75 < size < 1.5 else size / 1.1
    boxes = np.array([_compute_box(model, data, geom) for geom in _list_shapes(model)])
    lower, upper = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
    lower[2] = max(lower[2], -robot.mount_height)  # what is in the floor is not seen
    centre, radius = (lower + upper) / 2.0, np.linalg.norm(upper - lower) / 2.0
    direction = (EYE - TARGET) / np.linalg.norm(EYE - TARGET)
    distance = MARGIN * radius / np.sin(np.radians(FIELD_OF_VIEW_DEG / 2.0))
    around = [centre + distance * _turn(direction, angle) for angle in TURNS]
    return [(factor * EYE, factor * TARGET), *((eye, centre) for eye in around)]


def _turn(direction: Array, angle: float) -> Array:
    x, y, z = direction
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([cos * x - sin * y, sin * x + cos * y, z])


def _list_shapes(model: mujoco.MjModel) -> list[int]:
    """Return the shapes of the robot: all except the floor and the marker of the goal."""
    return [
        geom
        for geom in range(model.ngeom)
        if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_PLANE and model.body_mocapid[model.geom_bodyid[geom]] < 0
    ]


def _compute_box(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> tuple[Array, Array]:
    """Return the lower and the upper corner (3,) of a box around a shape [m]."""
    rotation = data.geom_xmat[geom].reshape(3, 3)
    centre = data.geom_xpos[geom] + rotation @ model.geom_aabb[geom, :3]
    half = np.abs(rotation) @ model.geom_aabb[geom, 3:]
    return centre - half, centre + half


def _measure_seen(model: mujoco.MjModel, data: mujoco.MjData, view: tuple[Array, Array]) -> float:
    """Return the share of the moving shapes that are seen from a place; 1 if nothing moves."""
    moving = [geom for geom in _list_shapes(model) if model.body_weldid[model.geom_bodyid[geom]] != 0]
    return float(np.mean([_is_in_front(model, data, geom, view) for geom in moving])) if moving else 1.0


def _is_in_picture(model: mujoco.MjModel, data: mujoco.MjData, geom: int, view: tuple[Array, Array]) -> bool:
    """Return whether the box around a shape is in a picture that is at least as wide as high."""
    eye, target = view
    corners = np.array(list(itertools.product(*np.transpose(_compute_box(model, data, geom)))))
    right, up, backward = _make_axes(eye, target).T @ (corners - eye).T
    return bool(np.all(np.maximum(abs(right), abs(up)) < -backward * np.tan(np.radians(FIELD_OF_VIEW_DEG / 2.0))))


def _is_in_front(model: mujoco.MjModel, data: mujoco.MjData, geom: int, view: tuple[Array, Array]) -> bool:
    """Return whether the first link on the line to a shape is its own, or one that a joint connects with it."""
    eye, _ = view
    hit = np.zeros(1, dtype=np.int32)
    mujoco.mj_ray(model, data, eye, _find_centre(model, data, geom) - eye, None, 1, -1, hit)
    if hit[0] < 0:
        return True
    first, own = int(model.geom_bodyid[hit[0]]), int(model.geom_bodyid[geom])
    return first in (own, model.body_parentid[own]) or model.body_parentid[first] == own


def _find_centre(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> Array:
    centre: Array = np.mean(_compute_box(model, data, geom), axis=0)
    return centre
