"""Batched rotation errors: rotation matrices and unit quaternions. Quaternions are wxyz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["compute_angle", "compute_quat_error", "compute_roll_pitch_yaw", "make_rotation"]

Array = NDArray[np.float64]


def make_rotation(quat: Array) -> Array:
    """Return the rotation matrices of unit quaternions.

    Args:
        quat: (..., 4) quaternions wxyz.

    Returns:
        (..., 3, 3) rotation matrices.
    """
    quat = np.asarray(quat, dtype=float)
    w, x, y, z = (quat[..., i] for i in range(4))
    # Written in place: np.stack of nine small arrays takes as long as all the products.
    R = np.empty((*quat.shape[:-1], 3, 3))
    R[..., 0, 0], R[..., 0, 1], R[..., 0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    R[..., 1, 0], R[..., 1, 1], R[..., 1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    R[..., 2, 0], R[..., 2, 1], R[..., 2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
    return R


def compute_quat_error(R_tcp: Array, R_goal: Array) -> Array:
    """Return the rotation from goal to tool, in base axes, as quaternions with w ≥ 0.

    The quaternion is taken from the row of the largest component, so that the division is well-conditioned for every pose:
    S. W. Shepperd, "Quaternion from rotation matrix", Journal of Guidance and Control 1(3), 1978.

    Args:
        R_tcp: (n, 3, 3) rotations of the tool in the base frame.
        R_goal: (n, 3, 3) rotations of the goal in the base frame.

    Returns:
        (n, 4) unit quaternions wxyz.
    """
    # The table 4·q qᵀ is built from R: its diagonal are 4w², 4x², 4y², 4z², its other entries sums and differences of the
    # off-diagonal entries of R. Any row, normalised, is the quaternion up to its sign.
    R = R_tcp @ R_goal.swapaxes(-1, -2)
    diagonal = R[:, [0, 1, 2], [0, 1, 2]]
    trace = diagonal.sum(axis=1)
    four_squares = np.column_stack([1.0 + trace, 1.0 - trace[:, None] + 2.0 * diagonal])
    wx, wy, wz = R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]
    xy, xz, yz = R[:, 0, 1] + R[:, 1, 0], R[:, 0, 2] + R[:, 2, 0], R[:, 1, 2] + R[:, 2, 1]
    products = np.empty((len(R), 4, 4))
    products[:, [0, 1, 2, 3], [0, 1, 2, 3]] = four_squares
    for i, j, product in ((0, 1, wx), (0, 2, wy), (0, 3, wz), (1, 2, xy), (1, 3, xz), (2, 3, yz)):
        products[:, i, j] = products[:, j, i] = product
    quat = products[np.arange(len(R)), np.argmax(four_squares, axis=1)]
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    return np.where(quat[:, :1] < 0.0, -quat, quat)  # q and −q are one rotation; observations must not jump between them


def compute_angle(quat_error: Array) -> Array:
    """Return the angles of quaternions with w ≥ 0.

    Args:
        quat_error: (n, 4) unit quaternions wxyz.

    Returns:
        (n,) angles from 0 to π [rad].
    """
    # arctan2 is accurate for small angles, where arccos(w) loses half of its digits.
    return 2.0 * np.arctan2(np.linalg.norm(quat_error[:, 1:], axis=1), quat_error[:, 0])


def compute_roll_pitch_yaw(quat: Array) -> Array:
    """Return rotations as three turns: by the roll about x, then by the pitch about y, then by the yaw about z.

    Args:
        quat: (..., 4) unit quaternions wxyz.

    Returns:
        (..., 3) angles [rad]: roll and yaw from −π to π, pitch from −π/2 to π/2. At a pitch of ±π/2 only the sum or the
        difference of roll and yaw is defined.
    """
    w, x, y, z = np.moveaxis(np.asarray(quat, dtype=float), -1, 0)
    roll = np.arctan2(2.0 * (y * z + w * x), w * w - x * x - y * y + z * z)
    pitch = np.arcsin(np.clip(2.0 * (w * y - x * z), -1.0, 1.0))  # rounding passes 1 by 1e-16
    yaw = np.arctan2(2.0 * (x * y + w * z), w * w + x * x - y * y - z * z)
    return np.stack([roll, pitch, yaw], axis=-1)
