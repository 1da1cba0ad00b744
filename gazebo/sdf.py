"""Write SDF: elements with texts, numbers and poses."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

__all__ = ["add", "fill", "format_bool", "format_numbers", "format_pose"]


def add(parent: ET.Element, tag: str, /, **attributes: str) -> ET.Element:
    """Add an element to another, and return it."""
    return ET.SubElement(parent, tag, attributes)


def fill(element: ET.Element, /, **texts: str) -> None:
    """Add one element per text."""
    for tag, text in texts.items():
        ET.SubElement(element, tag).text = text


def format_bool(value: bool) -> str:
    """Return a truth value as SDF writes it."""
    return "true" if value else "false"


def format_numbers(values: np.ndarray) -> str:
    """Return numbers that read back exactly, separated by blanks."""
    return " ".join(repr(float(value)) for value in values)


def format_pose(T: np.ndarray) -> str:
    """Return a pose (4, 4) as "x y z roll pitch yaw" [m], [rad]; at pitch ±90° roll is set to zero (gimbal lock)."""
    R = T[:3, :3]
    pitch = np.arctan2(-R[2, 0], np.hypot(R[0, 0], R[1, 0]))
    if abs(R[2, 0]) > 1 - 1e-12:
        roll, yaw = 0.0, np.arctan2(-R[0, 1], R[1, 1])
    else:
        roll, yaw = np.arctan2(R[2, 1], R[2, 2]), np.arctan2(R[1, 0], R[0, 0])
    return format_numbers(np.array([*T[:3, 3], roll, pitch, yaw]))
