"""Poses as URDF writes them: xyz [m] and rpy [rad] about fixed axes, and as homogeneous transforms (4, 4)."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["format_numbers", "make_motion", "make_transform", "read_numbers", "read_origin", "write_origin"]

Array = NDArray[np.float64]


def make_transform(xyz: ArrayLike, rpy: ArrayLike) -> Array:
    """Return the transform of a position [m] and of roll, pitch and yaw [rad]: R = Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    T = np.eye(4)
    T[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    T[:3, 3] = xyz
    return T


def compute_rpy(R: Array) -> Array:
    """Return roll, pitch and yaw [rad] of a rotation matrix (3, 3), exact also at a pitch of ±90°."""
    roll = np.arctan2(R[2, 1], R[2, 2])
    pitch = np.arctan2(-R[2, 0], np.hypot(R[2, 1], R[2, 2]))
    # Yaw is computed from the matrix with the roll taken out. At ±90° the roll is arbitrary, and the yaw then fits to it.
    s, c = np.sin(roll), np.cos(roll)
    yaw = np.arctan2(s * R[0, 2] - c * R[0, 1], c * R[1, 1] - s * R[1, 2])
    return np.array([roll, pitch, yaw])


def make_motion(joint_type: str, axis: Array, position: float) -> Array:
    """Return the transform of a joint at a position [rad or m]. The axis (3,) need not have length 1."""
    T = np.eye(4)
    axis = axis / np.linalg.norm(axis)
    if joint_type == "prismatic":
        T[:3, 3] = axis * position
    else:
        x, y, z = axis
        K = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        T[:3, :3] += np.sin(position) * K + (1.0 - np.cos(position)) * K @ K  # Rodrigues' formula
    return T


def read_numbers(element: ET.Element | None, attribute: str, default: str) -> Array:
    """Return the numbers of an attribute; those of ``default`` if the element or the attribute is missing."""
    text = default if element is None else element.get(attribute, default)
    return np.array([float(word) for word in text.split()])


def read_origin(parent: ET.Element) -> Array:
    """Return the pose in the <origin> of an element, (4, 4); identity if it has none."""
    origin = parent.find("origin")
    if origin is None:
        return np.eye(4)
    return make_transform(read_numbers(origin, "xyz", "0 0 0"), read_numbers(origin, "rpy", "0 0 0"))


def write_origin(parent: ET.Element, T: Array) -> None:
    """Replace the <origin> of an element by a pose (4, 4)."""
    for old in parent.findall("origin"):
        parent.remove(old)
    parent.insert(0, ET.Element("origin", xyz=format_numbers(T[:3, 3]), rpy=format_numbers(compute_rpy(T[:3, :3]))))


def format_numbers(values: ArrayLike) -> str:
    """Return numbers as text that reads back to the same bits."""
    return " ".join(repr(float(value)) for value in np.ravel(values))
