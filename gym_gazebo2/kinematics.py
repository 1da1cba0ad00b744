"""Forward kinematics and Jacobian of a serial arm: pure NumPy, batched over poses.

Frames: "base" is the robot's root link, "tcp" its tool frame. No inverse kinematics for control lives here; the
damped least squares below only tell how far a goal is out of reach.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.robots import RobotSpec

__all__ = ["Kinematics", "TcpState"]

Array = NDArray[np.float64]

REACHED = 1e-5
"""A goal this near is reached [m]."""
_LEVI_CIVITA = np.zeros((9, 3))
_LEVI_CIVITA[[5, 6, 1], [0, 1, 2]], _LEVI_CIVITA[[7, 2, 3], [0, 1, 2]] = 1.0, -1.0


@dataclasses.dataclass(frozen=True, slots=True)
class TcpState:
    """Pose and velocity of the tool centre point of n arms.

    Attributes:
        position: (n, 3) position in the base frame [m].
        rotation: (n, 3, 3) rotation matrix from tcp to base.
        velocity: (n, 3) linear velocity in the base frame, J(q)·dq [m/s].
    """

    position: Array
    rotation: Array
    velocity: Array


class Kinematics:
    """Kinematics of one robot, with its constants prepared once.

    The transform of joint i is F (I + sin(q) K + (1 − cos(q)) K²), Rodrigues' formula with K the cross-product matrix
    of the axis and F the constant offset from the joint before: linear in (1, sin q, cos q), hence one product with a
    constant table. Joints come first in the arrays, so that each step down the chain multiplies contiguous matrices.
    """

    def __init__(self, robot: RobotSpec) -> None:
        """Prepare the constants of a robot."""
        self.robot = robot
        K = np.zeros((robot.dof, 4, 4))
        K[:, :3, :3] = _make_cross_matrix(robot.axis)
        F = robot.T_joint_to_parent
        self._table = np.stack([F + F @ K @ K, F @ K, -F @ K @ K], axis=1).reshape(robot.dof, 3, 16)
        self._axis = robot.axis[:, None, :, None]

    def compute_joint_poses(self, q: ArrayLike) -> Array:
        """Return the poses of the joints' frames in the base frame.

        Args:
            q: (n, dof) joint positions [rad].

        Returns:
            (dof, n, 4, 4) homogeneous transforms.
        """
        angle = np.asarray(q, dtype=float).T
        basis = np.empty((*angle.shape, 3))
        basis[..., 0] = 1.0
        np.sin(angle, out=basis[..., 1])
        np.cos(angle, out=basis[..., 2])
        T_to_parent = (basis @ self._table).reshape(*angle.shape, 4, 4)
        T_to_base = np.empty_like(T_to_parent)
        T = T_to_base[0] = T_to_parent[0]
        for i in range(1, self.robot.dof):
            T = np.matmul(T, T_to_parent[i], out=T_to_base[i])
        return T_to_base

    def compute_tcp_pose(self, q: ArrayLike) -> Array:
        """Return the pose of the tool in the base frame.

        Args:
            q: (n, dof) joint positions [rad].

        Returns:
            (n, 4, 4) homogeneous transforms.
        """
        return self.compute_joint_poses(q)[-1] @ self.robot.T_tcp_to_last

    def compute_jacobian(self, q: ArrayLike) -> Array:
        """Return the geometric Jacobian of the tool, in the base frame.

        Args:
            q: (n, dof) joint positions [rad].

        Returns:
            (n, 6, dof): rows 0–2 linear velocity [m/rad], rows 3–5 angular velocity.
        """
        T = self.compute_joint_poses(q)
        T_tcp = T[-1] @ self.robot.T_tcp_to_last
        axes, arms = self._compute_axes_and_arms(T, T_tcp)
        return np.concatenate([_cross(axes, arms), axes], axis=2).transpose(1, 2, 0)

    def compute_tcp_state(self, q: ArrayLike, dq: ArrayLike) -> TcpState:
        """Return pose and velocity of the tool.

        Args:
            q: (n, dof) joint positions [rad].
            dq: (n, dof) joint velocities [rad/s].
        """
        T = self.compute_joint_poses(q)
        T_tcp = T[-1] @ self.robot.T_tcp_to_last
        axes, arms = self._compute_axes_and_arms(T, T_tcp)
        spins = axes * np.asarray(dq, dtype=float).T[..., None]
        sums = np.matmul(spins.transpose(1, 2, 0), arms.transpose(1, 0, 2))
        velocity = sums.reshape(-1, 9) @ _LEVI_CIVITA  # Σ (dqᵢ zᵢ) × (p − pᵢ), summed before the cross product
        return TcpState(T_tcp[:, :3, 3], T_tcp[:, :3, :3], velocity)

    def _compute_axes_and_arms(self, T: Array, T_tcp: Array) -> tuple[Array, Array]:
        """Return joint axes and the vectors from joint to tool, both (dof, n, 3) in the base frame."""
        return (T[..., :3, :3] @ self._axis)[..., 0], T_tcp[:, :3, 3] - T[..., :3, 3]

    def compute_reach(self) -> float:
        """Return a radius around the base's origin that the tool cannot leave [m]."""
        lengths = np.linalg.norm(self.robot.T_joint_to_parent[:, :3, 3], axis=1)
        return float(lengths.sum() + np.linalg.norm(self.robot.T_tcp_to_last[:3, 3]))

    def compute_distance_to_reach(self, p_goal_in_base: ArrayLike, R_goal_in_base: ArrayLike | None = None) -> float:
        """Return how far the nearest reachable tool position is from a goal.

        Damped least squares (Levenberg 1944) from up to 256 poses inside the limits; the floor and the arm's own links do
        not count as obstacles.

        Args:
            p_goal_in_base: (3,) goal position [m].
            R_goal_in_base: (3, 3) goal rotation where the orientation counts too.

        Returns:
            Smallest remaining distance [m]; with an orientation, over the poses within 1° of it (infinite: none).
        """
        distance = np.inf
        for num_poses, num_steps in ((16, 20), (256, 100)):  # a goal in reach is mostly found by few
            if distance > REACHED:
                distance = self._search_distance(num_poses, num_steps, p_goal_in_base, R_goal_in_base)
        return distance

    def _search_distance(self, num_poses: int, num_steps: int, p_goal: ArrayLike, R_goal: ArrayLike | None) -> float:
        """Descend from random poses, and return the smallest remaining distance [m]."""
        robot = self.robot
        q = np.random.default_rng(0).uniform(robot.lower, robot.upper, (num_poses, robot.dof))
        rows = 3 if R_goal is None else 6
        for _ in range(num_steps):
            error = self._compute_pose_error(q, p_goal, R_goal)
            if np.linalg.norm(error, axis=1).min() < REACHED:
                break
            J = self.compute_jacobian(q)[:, :rows]
            damped = J @ J.swapaxes(1, 2) + 1e-4 * np.eye(rows)
            dq = (J.swapaxes(1, 2) @ np.linalg.solve(damped, error[..., None]))[..., 0]
            q = np.clip(q + np.clip(dq, -0.5, 0.5), robot.lower, robot.upper)
        error = self._compute_pose_error(q, p_goal, R_goal)
        distance = np.linalg.norm(error[:, :3], axis=1)
        aligned = np.linalg.norm(error[:, 3:], axis=1) < np.deg2rad(1.0)
        return float(np.min(distance, where=aligned, initial=np.inf))

    def _compute_pose_error(self, q: Array, p_goal: ArrayLike, R_goal: ArrayLike | None) -> Array:
        """Return goal minus tool: (n, 3) position or (n, 6) with the rotation as a vector."""
        T = self.compute_tcp_pose(q)
        error = np.asarray(p_goal, dtype=float) - T[:, :3, 3]
        if R_goal is None:
            return error
        R = np.asarray(R_goal, dtype=float) @ T[:, :3, :3].swapaxes(1, 2)
        sine = 0.5 * np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], axis=1)
        norm = np.linalg.norm(sine, axis=1)
        angle = np.arctan2(norm, 0.5 * (np.trace(R, axis1=1, axis2=2) - 1.0))
        return np.concatenate([error, sine * (angle / np.maximum(norm, 1e-12))[:, None]], axis=1)


def _make_cross_matrix(v: Array) -> Array:
    """Return (n, 3, 3) matrices K with K x = v × x."""
    K = np.zeros((len(v), 3, 3))
    K[:, [2, 0, 1], [1, 2, 0]] = v
    return K - K.swapaxes(1, 2)


def _cross(a: Array, b: Array) -> Array:
    """Return a × b over the last axis; on small batches ten times faster than np.cross."""
    outer = a[..., :, None] * b[..., None, :]
    return outer.reshape(*outer.shape[:-2], 9) @ _LEVI_CIVITA
