"""Poses of an arm's joints, batched: the one place with the motion of a revolute and of a prismatic joint."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.robots.spec import RobotSpec

__all__ = ["LEVI_CIVITA", "JointMotion", "cross"]

Array = NDArray[np.float64]

# The Levi-Civita tensor ε as a matrix: outer(a, b).reshape(9) @ ε is a × b. Row 3i + j, column k holds ε_ijk.
LEVI_CIVITA = np.zeros((9, 3))
LEVI_CIVITA[[5, 6, 1], [0, 1, 2]], LEVI_CIVITA[[7, 2, 3], [0, 1, 2]] = 1.0, -1.0


class JointMotion:
    """Forward kinematics of the joints of one arm, with its constants prepared once.

    The pose of joint i in the frame of joint i − 1 is F (I + sin(q) K + (1 − cos(q)) K²) for a revolute joint: Rodrigues'
    formula, with K the cross-product matrix of the joint's axis and F its constant offset. This is linear in (1, sin q, cos q).
    For a prismatic joint it is F (I + q P), with the axis in the last column of P: linear in (1, q). So one product with a
    constant table gives the poses of all joints of all arms.
    """

    def __init__(self, robot: RobotSpec) -> None:
        """Prepare the constants.

        Args:
            robot: The arm.
        """
        self.robot, self._slides = robot, np.flatnonzero(robot.is_prismatic)
        self._axis = robot.axis[:, None, :, None]
        self._is_about_z = bool((robot.axis == (0.0, 0.0, 1.0)).all())
        K = np.zeros((robot.dof, 4, 4))
        K[:, :3, :3] = _make_cross_matrix(robot.axis)
        F = robot.T_joint_to_parent
        # Coefficients of 1, sin q and cos q. The last row of K is zero, so the last row of F stays (0, 0, 0, 1).
        self._table = np.stack([F + F @ K @ K, F @ K, -F @ K @ K], axis=1).reshape(robot.dof, 3, 16)
        for i in self._slides:
            P = np.zeros((4, 4))
            P[:3, 3] = robot.axis[i]
            self._table[i] = np.stack([F[i], F[i] @ P, np.zeros((4, 4))]).reshape(3, 16)

    def compute_joint_poses(self, q: ArrayLike) -> Array:
        """Return the poses of the joints' frames in the base frame.

        Args:
            q: (n, dof) joint positions [rad or m].

        Returns:
            (dof, n, 4, 4) homogeneous transforms.
        """
        # Joints come first in these arrays: each step down the chain then multiplies matrices that are contiguous in memory.
        angle = np.asarray(q, dtype=float).T
        basis = np.empty((*angle.shape, 3))
        basis[..., 0] = 1.0
        np.sin(angle, out=basis[..., 1])
        np.cos(angle, out=basis[..., 2])
        if len(self._slides):
            basis[self._slides, :, 1] = angle[self._slides]
        T_to_parent = (basis @ self._table).reshape(*angle.shape, 4, 4)
        T_to_base = np.empty_like(T_to_parent)
        T = T_to_base[0] = T_to_parent[0]
        for i in range(1, self.robot.chain_dof):
            T = np.matmul(T, T_to_parent[i], out=T_to_base[i])
        for i, parent in enumerate(self.robot.finger_parents, start=self.robot.chain_dof):
            np.matmul(T_to_base[parent], T_to_parent[i], out=T_to_base[i])
        return T_to_base

    def compute_jacobian(self, q: ArrayLike) -> Array:
        """Return the geometric Jacobian of the tool, in the base frame. The arm must have no fingers: use ``RobotSpec.chain``.

        Args:
            q: (n, dof) joint positions [rad or m].

        Returns:
            (n, 6, dof): rows 0–2 linear velocity per joint velocity [m/rad, or m/m], rows 3–5 angular velocity [rad/rad, or 0].
        """
        return self.compute_jacobian_at(self.compute_joint_poses(q))

    def compute_jacobian_at(self, T: Array) -> Array:
        """Return the Jacobian (n, 6, dof) where the joints' poses (dof, n, 4, 4) are known, as ``compute_jacobian`` does."""
        # Column i of a revolute joint with axis zᵢ through pᵢ: (zᵢ × (p_tcp − pᵢ), zᵢ). Of a prismatic joint: (zᵢ, 0).
        T_tcp = T[-1] @ self.robot.T_tcp_to_last
        axes, levers = self.compute_axes_and_levers(T, T_tcp)
        linear, angular = cross(axes, levers), axes
        if len(self._slides):
            slides = self.robot.is_prismatic[:, None, None]
            linear, angular = np.where(slides, axes, linear), np.where(slides, 0.0, axes)
        return np.concatenate([linear, angular], axis=2).transpose(1, 2, 0)

    def compute_axes_and_levers(self, T: Array, T_tcp: Array) -> tuple[Array, Array]:
        """Return joint axes and the vectors from joint to tool [m], both (dof, n, 3) in the base frame."""
        axes = T[..., :3, 2] if self._is_about_z else (T[..., :3, :3] @ self._axis)[..., 0]
        return axes, T_tcp[:, :3, 3] - T[..., :3, 3]


def _make_cross_matrix(v: Array) -> Array:
    """Return the (n, 3, 3) matrices K with K x = v × x of vectors v (n, 3)."""
    K = np.zeros((len(v), 3, 3))
    K[:, [2, 0, 1], [1, 2, 0]] = v
    return K - K.swapaxes(1, 2)


def cross(a: Array, b: Array) -> Array:
    """Return a × b over the last axis of arrays of one shape (…, 3). ``np.cross`` takes several times as long."""
    product = np.empty(a.shape)
    (a0, a1, a2), (b0, b1, b2) = ((v[..., 0], v[..., 1], v[..., 2]) for v in (a, b))
    product[..., 0], product[..., 1], product[..., 2] = a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0
    return product
