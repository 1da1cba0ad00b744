"""Masses of bodies, in SDF and in the embedded model, as sums that can be compared."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from gym_gazebo2.robots import RobotSpec

NUMBERS = {"dtype": float, "sep": " "}


def rotate(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Return Rz(yaw) Ry(pitch) Rx(roll)."""
    cos, sin = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    Rx = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    Ry = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    Rz = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return Rz @ Ry @ Rx


def read_pose(element: ET.Element) -> np.ndarray:
    x, y, z, roll, pitch, yaw = np.fromstring(element.findtext("pose") or "0 0 0 0 0 0", **NUMBERS)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotate(roll, pitch, yaw), (x, y, z)
    return T


def add_up(mass: float, com: np.ndarray, inertia: np.ndarray) -> np.ndarray:
    """Return what adds up over the links of a body: mass, mass times centre, and inertia about the base's origin, (13,)."""
    about_origin = inertia + mass * (com @ com * np.eye(3) - np.outer(com, com))
    return np.array([mass, *(mass * com), *about_origin.ravel()])


def sum_link(link: ET.Element) -> np.ndarray:
    """Return the sums of a link, (13,)."""
    inertial = link.find("inertial")
    assert inertial is not None
    T = read_pose(link) @ read_pose(inertial)
    entries = {key.tag: float(key.text or "nan") for key in inertial.findall("inertia/*")}
    inertia = np.array([[entries[f"i{min(a, b)}{max(a, b)}"] for b in "xyz"] for a in "xyz"])
    mass = float(inertial.findtext("mass") or "nan")
    return add_up(mass, T[:3, 3], T[:3, :3] @ inertia @ T[:3, :3].T)


def sum_embedded(robot: RobotSpec) -> dict[str, np.ndarray]:
    """Return the name of the first link of each moving rigid body in MuJoCo → its sums, (13,)."""
    mujoco = pytest.importorskip("mujoco")
    scene = pytest.importorskip("gym_gazebo2.backends.mujoco.scene")
    embedded = scene.make_physics_model(robot, 0.005)
    data = mujoco.MjData(embedded)
    mujoco.mj_kinematics(embedded, data)
    sums = {embedded.body(weld).name: np.zeros(13) for weld in set(embedded.body_weldid) - {0}}
    for body in range(embedded.nbody):
        if weld := embedded.body_weldid[body]:
            R = data.ximat[body].reshape(3, 3)
            moved = R @ np.diag(embedded.body_inertia[body]) @ R.T
            sums[embedded.body(weld).name] += add_up(embedded.body_mass[body], data.xipos[body], moved)
    return sums


def find_top(model: ET.Element, link: str) -> str:
    """Return the first link of a rigid body."""
    parents = {joint.findtext("child"): joint.findtext("parent") for joint in model.findall("joint[@type='fixed']")}
    while link in parents:
        link = parents[link] or ""
    return link
