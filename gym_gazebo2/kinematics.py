"""Forward kinematics and geometric Jacobian of a serial arm: pure NumPy, batched over poses.

Frames: "base" is the robot's root link, "tcp" (tool centre point) its tool frame. The damped least squares below measure
how far a goal is out of reach; ``inverse_kinematics`` has those for control.

Sources: Craig, "Introduction to Robotics", chapters 3 (transforms along the chain) and 5 (Jacobian); Khalil and Dombre,
"Modeling, Identification and Control of Robots", for transforms of joints with arbitrary axes.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.robots.motion import LEVI_CIVITA, JointMotion

__all__ = ["Kinematics", "TcpState", "compute_rotation", "compute_rotation_vector"]

Array = NDArray[np.float64]

REACHED = 1e-5
"""The search for a pose stops when a tool is this near to the goal [m]."""
REACH_SEARCHES = ((16, 20), (256, 100))
"""Number of start poses, and of steps from each, of the two searches. The first is cheap, and finds most goals within reach."""
DAMPING = 1e-4
"""λ² of the damped least squares [m²]: small against the arm's lever of about 1 m, large enough near a singularity."""
LARGEST_STEP = 0.5
"""Largest change of a joint in one step of the search [rad]; the Jacobian is a good model only for small steps."""


@dataclasses.dataclass(frozen=True, slots=True)
class TcpState:
    """Pose and velocity of the tool centre point of n arms.

    Attributes:
        position: (n, 3) position in the base frame [m].
        rotation: (n, 3, 3) rotation matrix from tcp to base.
        velocity: (n, 3) linear velocity in the base frame, J(q)·dq [m/s].
        angular_velocity: (n, 3) angular velocity along the base's axes [rad/s].
    """

    position: Array
    rotation: Array
    velocity: Array
    angular_velocity: Array


class Kinematics:
    """Kinematics of the chain from the base to the tool, with its constants prepared once.

    Joint positions and velocities may have columns of fingers behind the chain's. Fingers do not move the tool.
    """

    def __init__(self, robot: RobotSpec) -> None:
        """Prepare the constants.

        Args:
            robot: The arm.
        """
        self.robot, self._chain = robot, robot.chain
        self._motion, self._size = JointMotion(robot.chain), robot.chain_dof
        slides = robot.chain.is_prismatic
        self._slides = slides[:, None, None] if slides.any() else None

    @functools.cached_property
    def chain(self) -> Kinematics:
        """Kinematics of the same arm without its fingers."""
        return self if self.robot.gripper is None else Kinematics(self.robot.chain)

    def compute_joint_poses(self, q: ArrayLike) -> Array:
        """Return the poses of the joints' frames in the base frame.

        Args:
            q: (n, dof) joint positions [rad or m].

        Returns:
            (chain_dof, n, 4, 4) homogeneous transforms.
        """
        return self._motion.compute_joint_poses(np.asarray(q, dtype=float)[..., : self._size])

    def compute_tcp_pose(self, q: ArrayLike) -> Array:
        """Return the pose of the tool in the base frame.

        Args:
            q: (n, dof) joint positions [rad].

        Returns:
            (n, 4, 4) homogeneous transforms.
        """
        return self.compute_tcp_pose_at(self.compute_joint_poses(q))

    def compute_tcp_pose_at(self, T_joints: Array) -> Array:
        """Return the pose of the tool (n, 4, 4) where the joints' poses (chain_dof, n, 4, 4) are known."""
        return T_joints[-1] @ self.robot.T_tcp_to_last

    def compute_jacobian(self, q: ArrayLike) -> Array:
        """Return the geometric Jacobian of the tool, in the base frame.

        Args:
            q: (n, dof) joint positions [rad].

        Returns:
            (n, 6, chain_dof): rows 0–2 linear velocity per joint velocity [m/rad, or m/m], rows 3–5 angular velocity [rad/rad,
            or zero].
        """
        return self._motion.compute_jacobian(np.asarray(q, dtype=float)[..., : self._size])

    def compute_jacobian_at(self, T_joints: Array) -> Array:
        """Return the Jacobian (n, 6, chain_dof) where the joints' poses (chain_dof, n, 4, 4) are known."""
        return self._motion.compute_jacobian_at(T_joints)

    def compute_tcp_state(self, q: ArrayLike, dq: ArrayLike) -> TcpState:
        """Return pose and velocity of the tool.

        Args:
            q: (n, dof) joint positions [rad].
            dq: (n, dof) joint velocities [rad/s].

        Returns:
            The tools' states.
        """
        T = self.compute_joint_poses(q)
        T_tcp = self.compute_tcp_pose_at(T)
        axes, levers = self._motion.compute_axes_and_levers(T, T_tcp)
        spins = axes * np.asarray(dq, dtype=float)[..., : self._size].T[..., None]
        slide = None
        if self._slides is not None:
            slide, spins = np.where(self._slides, spins, 0.0).sum(axis=0), np.where(self._slides, 0.0, spins)
        # The velocity is Σ (dqᵢ zᵢ) × (p_tcp − pᵢ). The outer products of all joints are summed by one matrix product, and
        # the cross product, which is linear, is taken once of the sum. Nothing here builds the Jacobian.
        sums = np.matmul(spins.transpose(1, 2, 0), levers.transpose(1, 0, 2))
        velocity = sums.reshape(-1, 9) @ LEVI_CIVITA
        if slide is not None:
            velocity = velocity + slide
        return TcpState(T_tcp[:, :3, 3], T_tcp[:, :3, :3], velocity, np.add.reduce(spins, axis=0))

    def compute_reach(self) -> float:
        """Return a radius around the base's origin that the tool cannot leave [m]: the sum of the links' lengths."""
        robot = self._chain
        lengths = np.linalg.norm(robot.T_joint_to_parent[:, :3, 3], axis=1)
        strokes = np.where(robot.is_prismatic, np.maximum(np.abs(robot.lower), np.abs(robot.upper)), 0.0)
        return float(lengths.sum() + strokes.sum() + np.linalg.norm(robot.T_tcp_to_last[:3, 3]))

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
        robot = self._chain
        # A fixed seed: whether a goal warns must not depend on the random numbers that were drawn before.
        q = np.random.default_rng(0).uniform(robot.range_lower, robot.range_upper, (num_poses, robot.dof))
        rows, largest = 3 if R_goal is None else 6, LARGEST_STEP * robot.scale
        for _ in range(num_steps):
            error = self._compute_pose_error(q, p_goal, R_goal)
            if np.linalg.norm(error, axis=1).min() < REACHED:
                break
            J = self.compute_jacobian(q)[:, :rows]
            damped = J @ J.swapaxes(1, 2) + DAMPING * np.eye(rows)
            dq = (J.swapaxes(1, 2) @ np.linalg.solve(damped, error[..., None]))[..., 0]  # Jᵀ (J Jᵀ + λ² I)⁻¹ e
            q = np.clip(q + np.clip(dq, -largest, largest), robot.lower, robot.upper)
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
    # Element by element: this is called several times per control period, and np.stack and np.trace take longer than the sums.
    sine = np.empty((len(R), 3))
    sine[:, 0], sine[:, 1], sine[:, 2] = R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]
    sine *= 0.5
    norm = np.sqrt(np.add.reduce(sine * sine, axis=1))
    angle = np.arctan2(norm, 0.5 * (R[:, 0, 0] + R[:, 1, 1] + R[:, 2, 2] - 1.0))
    return sine * (angle / np.maximum(norm, 1e-12))[:, None]


def compute_rotation(vector: Array) -> Array:
    """Return the rotation matrices (n, 3, 3) of rotation vectors (n, 3) [rad]: the inverse of ``compute_rotation_vector``."""
    angle = np.linalg.norm(vector, axis=1)[:, None, None]
    K = np.zeros((len(vector), 3, 3))
    K[:, [2, 0, 1], [1, 2, 0]] = vector
    K -= K.swapaxes(1, 2)
    # Rodrigues' formula. np.sinc(x) is sin(πx)/(πx), which is also right at zero.
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2.0 * np.pi)) ** 2
    R: Array = np.eye(3) + first * K + second * (K @ K)
    return R
