"""Forward kinematics and geometric Jacobian of a serial arm: pure NumPy, batched over poses.

Frames: "base" is the robot's root link, "tcp" (tool centre point) its tool frame. The damped least squares below measure
how far a goal is out of reach; ``inverse_kinematics`` has those for control.

Sources: Craig, "Introduction to Robotics", chapters 3 (transforms along the chain) and 5 (Jacobian); Khalil and Dombre,
"Modeling, Identification and Control of Robots", for transforms of joints with arbitrary axes.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.robots import RobotSpec

__all__ = ["Kinematics", "TcpState", "compute_rotation_vector"]

Array = NDArray[np.float64]

REACHED = 1e-5
"""The search for a pose stops when a tool is this near to the goal [m]."""
REACH_SEARCHES = ((16, 20), (256, 100))
"""Poses and steps of each search for a pose. A goal within reach is mostly found by the first, cheap one."""
DAMPING = 1e-4
"""λ² of the damped least squares [m²]: small against the arm's lever of about 1 m, large enough near a singularity."""
LARGEST_STEP = 0.5
"""Largest change of a joint in one step of the search [rad]; the Jacobian is a good model only for small steps."""

# The Levi-Civita tensor ε as a matrix: outer(a, b).reshape(9) @ ε is a × b. Row 3i + j, column k holds ε_ijk.
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

    The pose of joint i in the frame of joint i − 1 is F (I + sin(q) K + (1 − cos(q)) K²): Rodrigues' formula, with K the
    cross-product matrix of the joint's axis and F its constant offset. This is linear in (1, sin q, cos q), so one product
    with a constant table gives the poses of all joints of all arms.
    """

    def __init__(self, robot: RobotSpec) -> None:
        """Prepare the constants.

        Args:
            robot: The arm.
        """
        self.robot = robot
        K = np.zeros((robot.dof, 4, 4))
        K[:, :3, :3] = _make_cross_matrix(robot.axis)
        F = robot.T_joint_to_parent
        # Coefficients of 1, sin q and cos q. The last row of K is zero, so the last row of F stays (0, 0, 0, 1).
        self._table = np.stack([F + F @ K @ K, F @ K, -F @ K @ K], axis=1).reshape(robot.dof, 3, 16)
        self._axis = robot.axis[:, None, :, None]

    def compute_joint_poses(self, q: ArrayLike) -> Array:
        """Return the poses of the joints' frames in the base frame.

        Args:
            q: (n, dof) joint positions [rad].

        Returns:
            (dof, n, 4, 4) homogeneous transforms.
        """
        # Joints come first in these arrays: each step down the chain then multiplies matrices that are contiguous in memory.
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
            (n, 6, dof): rows 0–2 linear velocity per joint velocity [m/rad], rows 3–5 angular velocity [rad/rad].
        """
        # Column i of a revolute joint with axis zᵢ through pᵢ: (zᵢ × (p_tcp − pᵢ), zᵢ).
        T = self.compute_joint_poses(q)
        T_tcp = T[-1] @ self.robot.T_tcp_to_last
        axes, levers = self._compute_axes_and_levers(T, T_tcp)
        return np.concatenate([_cross(axes, levers), axes], axis=2).transpose(1, 2, 0)

    def compute_tcp_state(self, q: ArrayLike, dq: ArrayLike) -> TcpState:
        """Return pose and velocity of the tool.

        Args:
            q: (n, dof) joint positions [rad].
            dq: (n, dof) joint velocities [rad/s].

        Returns:
            The tools' states.
        """
        T = self.compute_joint_poses(q)
        T_tcp = T[-1] @ self.robot.T_tcp_to_last
        axes, levers = self._compute_axes_and_levers(T, T_tcp)
        spins = axes * np.asarray(dq, dtype=float).T[..., None]
        # The velocity is Σ (dqᵢ zᵢ) × (p_tcp − pᵢ). The outer products of all joints are summed by one matrix product, and
        # the cross product, which is linear, is taken once of the sum. Nothing here builds the Jacobian.
        sums = np.matmul(spins.transpose(1, 2, 0), levers.transpose(1, 0, 2))
        velocity = sums.reshape(-1, 9) @ _LEVI_CIVITA
        return TcpState(T_tcp[:, :3, 3], T_tcp[:, :3, :3], velocity)

    def _compute_axes_and_levers(self, T: Array, T_tcp: Array) -> tuple[Array, Array]:
        """Return joint axes and the vectors from joint to tool [m], both (dof, n, 3) in the base frame."""
        return (T[..., :3, :3] @ self._axis)[..., 0], T_tcp[:, :3, 3] - T[..., :3, 3]

    def compute_reach(self) -> float:
        """Return a radius around the base's origin that the tool cannot leave [m]: the sum of the links' lengths."""
        lengths = np.linalg.norm(self.robot.T_joint_to_parent[:, :3, 3], axis=1)
        return float(lengths.sum() + np.linalg.norm(self.robot.T_tcp_to_last[:3, 3]))

    def compute_distance_to_reach(self, p_goal_in_base: ArrayLike, R_goal_in_base: ArrayLike | None = None) -> float:
        """Return how far the nearest reachable tool position is from a goal.

        The search is damped least squares (Levenberg 1944; for arms: Wampler 1986) from up to 256 poses inside the limits. The
        floor and the arm's own links do not count as obstacles.

        Args:
            p_goal_in_base: (3,) goal position [m].
            R_goal_in_base: (3, 3) goal rotation; None: any orientation will do.

        Returns:
            Smallest remaining distance [m]. With an orientation, only poses within 1° of it count; infinite if there is none.
        """
        distance = np.inf
        for num_poses, num_steps in REACH_SEARCHES:
            if distance > REACHED:
                distance = self._search_distance(num_poses, num_steps, p_goal_in_base, R_goal_in_base)
        return distance

    def _search_distance(self, num_poses: int, num_steps: int, p_goal: ArrayLike, R_goal: ArrayLike | None) -> float:
        """Descend from random poses, and return the smallest remaining distance [m]."""
        robot = self.robot
        # A fixed seed: whether a goal warns must not depend on the random numbers that were drawn before.
        q = np.random.default_rng(0).uniform(robot.lower, robot.upper, (num_poses, robot.dof))
        rows = 3 if R_goal is None else 6
        for _ in range(num_steps):
            error = self._compute_pose_error(q, p_goal, R_goal)
            if np.linalg.norm(error, axis=1).min() < REACHED:
                break
            J = self.compute_jacobian(q)[:, :rows]
            damped = J @ J.swapaxes(1, 2) + DAMPING * np.eye(rows)
            dq = (J.swapaxes(1, 2) @ np.linalg.solve(damped, error[..., None]))[..., 0]  # Jᵀ (J Jᵀ + λ² I)⁻¹ e
            q = np.clip(q + np.clip(dq, -LARGEST_STEP, LARGEST_STEP), robot.lower, robot.upper)
        error = self._compute_pose_error(q, p_goal, R_goal)
        distance = np.linalg.norm(error[:, :3], axis=1)
        # Without a goal rotation the error has three columns, error[:, 3:] is empty, and every pose counts as aligned.
        aligned = np.linalg.norm(error[:, 3:], axis=1) < np.deg2rad(1.0)
        return float(np.min(distance, where=aligned, initial=np.inf))

    def _compute_pose_error(self, q: Array, p_goal: ArrayLike, R_goal: ArrayLike | None) -> Array:
        """Return goal minus tool: (n, 3) position [m], or (n, 6) with the rotation vector (axis · angle) [rad] behind it."""
        T = self.compute_tcp_pose(q)
        error = np.asarray(p_goal, dtype=float) - T[:, :3, 3]
        if R_goal is None:
            return error
        turn = compute_rotation_vector(np.asarray(R_goal, dtype=float) @ T[:, :3, :3].swapaxes(1, 2))
        return np.concatenate([error, turn], axis=1)


def compute_rotation_vector(R: Array) -> Array:
    """Return the rotation vectors (axis · angle) of rotation matrices.

    Args:
        R: (n, 3, 3) rotations.

    Returns:
        (n, 3) vectors [rad], shorter than π. At an angle of exactly π, where the axis has no unique sign, the result is zero.
    """
    # The skew part of a rotation matrix is sin(angle) · axis, its trace 1 + 2 cos(angle).
    sine = 0.5 * np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], axis=1)
    norm = np.linalg.norm(sine, axis=1)
    angle = np.arctan2(norm, 0.5 * (np.trace(R, axis1=1, axis2=2) - 1.0))
    return sine * (angle / np.maximum(norm, 1e-12))[:, None]


def _make_cross_matrix(v: Array) -> Array:
    """Return the (n, 3, 3) matrices K with K x = v × x of vectors v (n, 3)."""
    K = np.zeros((len(v), 3, 3))
    K[:, [2, 0, 1], [1, 2, 0]] = v
    return K - K.swapaxes(1, 2)


def _cross(a: Array, b: Array) -> Array:
    """Return a × b over the last axis. On small batches this is ten times as fast as ``np.cross``."""
    outer = a[..., :, None] * b[..., None, :]
    return outer.reshape(*outer.shape[:-2], 9) @ _LEVI_CIVITA
