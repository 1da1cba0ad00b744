"""Differential inverse kinematics: which small motion of the joints moves the tool as asked. Pure NumPy, batched over arms.

**One linear step.** ``compute_joint_step`` returns the dq that minimises

    ‖J dq − d‖² + λ² ‖dq − h‖²     inside the joint limits,

with J (rows, dof) the tool's Jacobian [m/rad, rad/rad], d the wanted displacement of the tool [m, rad], λ the damping and h a
motion of the joints towards a posture [rad]. Without limits this is dq = h + Jᵀ (J Jᵀ + λ² I)⁻¹ (d − J h): damped least
squares, with the posture in the null space of the Jacobian. Far from singularities the tool follows d with a relative error of
at most λ²/(σ² + λ²), with σ the smallest singular value of J. Near them the joints stay slow, and the tool lags behind.

**One control period.** ``compute_tool_step`` moves the tool along a straight displacement and keeps its orientation. It repeats
the linear step until the tool is there, and makes a part of the way where speed, limits or a singularity do not allow more.

Sources: Wampler, "Manipulator inverse kinematic solutions based on vector formulations and damped least-squares methods" (IEEE
Trans. SMC, 1986); Nakamura and Hanafusa, "Inverse kinematic solutions with singularity robustness" (J. Dyn. Sys., 1986);
Siciliano, "Kinematic control of redundant robot manipulators: a tutorial" (J. Intell. Robot. Syst., 1990). Joints are held at
their limits by an active-set method: Stark and Parker, "Bounded-variable least-squares" (Computational Statistics, 1995).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.kinematics import Kinematics, compute_rotation, compute_rotation_vector

__all__ = ["DAMPING", "TILT_TOLERANCE", "compute_joint_step", "compute_tool_step"]

Array = NDArray[np.float64]

DAMPING = 0.02
"""λ of the damped least squares [m, rad]. In directions with a singular value above 0.1, the error after one step is
below 4 %."""
TILT_TOLERANCE = 2e-5
"""Largest change of the tool's orientation in one call of ``compute_tool_step`` [rad]: 0.002 rad in 100 control periods."""
POSITION_TOLERANCE = 1e-5
"""Corrections stop when the tool is this near to the end of its displacement [m]."""
ATTEMPTS = (1.0, 0.4, 0.1)
"""Parts of a displacement that are tried, until one keeps the orientation."""
HEADROOM = 0.8
"""Part of the joints' travel that the first linear step may use. The corrections need the rest."""
CORRECTIONS, TURNS = 3, 3
"""Largest number of corrections in one attempt: of position and orientation together, then of the orientation alone."""
CORRECTION_DAMPING = 0.005
"""λ of the corrections [m, rad]. They are short, so that less damping is enough."""
ROUNDS_PER_JOINT = 3
"""Largest number of rounds of the active-set method, per joint. Nearly all arms need one round in all, and one or two more per
joint at a limit."""
RELEASE = 1e-12
"""A joint is released from its limit where the slope is steeper than this [m²/rad, rad]: above the rounding of the sums."""
POSTURE_GAIN = 0.1
"""Part of the way to the posture that the null space covers in one control period."""
POSTURE_SHARE = 0.3
"""Largest part of a joint's travel that the posture may use, so that the tool's own motion is not slowed down."""


def compute_joint_step(
    kinematics: Kinematics,
    q: ArrayLike,
    displacement: ArrayLike,
    posture: ArrayLike | None = None,
    damping: float = DAMPING,
) -> Array:
    """Return the joint motions that move the tools best, to first order, inside the joint limits.

    Args:
        kinematics: The arm.
        q: (n, dof) joint positions inside the limits [rad].
        displacement: Wanted motion of the tool in the base frame: (n, 3) translation [m], any rotation will do; or (n, 6) with
            the rotation vector (axis · angle) [rad] behind it.
        posture: (n, dof) motion towards a preferred pose, such as 0.1 (q_rest − q) [rad]. It is used where the tool leaves the
            joints free. None: zero.
        damping: λ, positive [m, rad].

    Returns:
        (n, dof) joint motions [rad]; q plus these is inside the limits.

    Raises:
        InvalidArgumentError: ``displacement`` has neither 3 nor 6 columns, or the damping is not positive.
    """
    q, displacement = np.asarray(q, dtype=float), np.asarray(displacement, dtype=float)
    if displacement.shape not in ((len(q), 3), (len(q), 6)):
        raise InvalidArgumentError("shape of displacement", displacement.shape, f"({len(q)}, 3) or ({len(q)}, 6)")
    if not damping > 0.0:
        raise InvalidArgumentError("damping", damping, "a positive number: zero divides by zero at a singularity")
    h = None if posture is None else np.asarray(posture, dtype=float)
    return _step_linearly(kinematics, q, kinematics.compute_joint_poses(q), displacement, h, damping)


def compute_tool_step(
    kinematics: Kinematics,
    q: Array,
    displacement: Array,
    travel: Array,
    q_rest: ArrayLike | None = None,
    turn: Array | None = None,
) -> Array:
    """Return joint positions that move the tools along straight displacements, with their orientation held or turned.

    No joint moves farther than its travel, or out of its limits. Where the whole displacement would need more, the tool makes
    a part of it. The orientation has priority over the position: it changes by at most ``TILT_TOLERANCE``. At the border of
    the workspace the tool slides along the border, or stops.

    An arm with fewer joints than six cannot hold every orientation while its tool moves: it makes the motions that it can.
    In a pose where links are aligned (MARA's and SCARA's home pose), the tool cannot start in some directions.

    Args:
        kinematics: The arm.
        q: (n, dof) joint positions inside the limits [rad].
        displacement: (n, 3) displacement of the tool in the base frame [m].
        travel: (dof,) largest motion of each joint [rad].
        q_rest: (dof,) or (n, dof) posture of arms with more joints than the tool needs [rad]; None: the home pose.
        turn: (n, 3) rotation vectors (axis · angle) of the tools in the base frame [rad]; None: the orientation is held. Where
            only a part of the way is made, it is the same part of both.

    Returns:
        (n, dof) new joint positions [rad].
    """
    robot = kinematics.robot
    T_joints = kinematics.compute_joint_poses(q)
    rest = robot.home if q_rest is None else np.asarray(q_rest, dtype=float)
    posture = np.clip(POSTURE_GAIN * (rest - q), -POSTURE_SHARE * travel, POSTURE_SHARE * travel)
    wanted = np.concatenate([displacement, np.zeros_like(displacement) if turn is None else turn], axis=1)
    step = _step_linearly(kinematics, q, T_joints, wanted, posture, DAMPING)
    # One factor for all joints of an arm keeps the direction of the tool; clipping each joint singly would turn and tilt it.
    share = HEADROOM / np.maximum(np.max(np.abs(step) / travel, axis=1, keepdims=True), HEADROOM)
    moved, left, T_tcp = q.copy(), np.arange(len(q)), kinematics.compute_tcp_pose_at(T_joints)
    for part in ATTEMPTS:
        p = part * share[left]
        turned = None if turn is None else p * turn[left]
        goal = _move(T_tcp[left], p * displacement[left], turned)
        moved[left], tilted = _attempt(kinematics, q[left], p * step[left], goal, travel)
        left = left[tilted]
        if not len(left):
            return moved
    moved[left] = q[left]
    return moved


def _step_linearly(
    kinematics: Kinematics, q: Array, T_joints: Array, displacement: Array, posture: Array | None, damping: float
) -> Array:
    """Return the joint motions (n, dof) of one linear step, where the joints' poses (dof, n, 4, 4) are known."""
    robot = kinematics.robot
    J = kinematics.compute_jacobian_at(T_joints)[:, : displacement.shape[1]]
    # A measured q can be slightly outside soft limits. Such a joint may move inwards only.
    low, high = np.minimum(robot.lower - q, 0.0), np.maximum(robot.upper - q, 0.0)
    return _solve_within(J, displacement, posture, damping, low, high)


def _move(T: Array, displacement: Array, turn: Array | None) -> Array:
    """Return poses (n, 4, 4), moved by (n, 3) displacements [m] and turned by (n, 3) rotation vectors [rad]."""
    moved = T.copy()
    moved[:, :3, 3] += displacement
    if turn is not None:
        moved[:, :3, :3] = compute_rotation(turn) @ moved[:, :3, :3]
    return moved


def _attempt(kinematics: Kinematics, q: Array, step: Array, T_goal: Array, travel: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return poses (n, dof) after a step and its corrections, and which of them tilt the tool too far (n,).

    The joints' poses take half of the time of a step, so error and Jacobian share them.
    """
    robot = kinematics.robot
    low, high = np.maximum(robot.lower, q - travel), np.minimum(robot.upper, q + travel)
    moved = np.clip(q + step, low, high)
    T_joints = kinematics.compute_joint_poses(moved)
    error = _compute_error(kinematics, T_joints, T_goal)
    # Position and orientation are corrected together first. Where the arm cannot do both, as beyond its reach, the orientation
    # alone is corrected afterwards: three rows are far better conditioned than six.
    for rows in (slice(0, 6),) * CORRECTIONS + (slice(3, 6),) * TURNS:
        tilted, off = _is_longer(error[:, 3:], TILT_TOLERANCE), _is_longer(error[:, :3], POSITION_TOLERANCE)
        # Only arms that need it are corrected: an arm must move in the same way whatever the others of its batch do.
        i = np.flatnonzero(tilted | off) if rows.start == 0 else np.flatnonzero(tilted)
        if not len(i):
            break  # no arm needs this correction, so none needs the later ones
        J = kinematics.compute_jacobian_at(T_joints[:, i])[:, rows]
        moved[i] += _solve_within(J, error[i, rows], None, CORRECTION_DAMPING, low[i] - moved[i], high[i] - moved[i])
        T_joints[:, i] = kinematics.compute_joint_poses(moved[i])
        error[i] = _compute_error(kinematics, T_joints[:, i], T_goal[i])
    return moved, _is_longer(error[:, 3:], TILT_TOLERANCE)


def _is_longer(vectors: Array, length: float) -> NDArray[np.bool_]:
    """Return which vectors (n, m) are longer than a length; np.linalg.norm takes twice as long on small arrays."""
    longer: NDArray[np.bool_] = np.sqrt(np.add.reduce(vectors * vectors, axis=1)) > length
    return longer


def _compute_error(kinematics: Kinematics, T_joints: Array, T_goal: Array) -> Array:
    """Return the motions (n, 6) from tools to goals: translation [m], rotation vector [rad], in the base frame."""
    T = kinematics.compute_tcp_pose_at(T_joints)
    turn = compute_rotation_vector(T_goal[:, :3, :3] @ T[:, :3, :3].swapaxes(1, 2))
    return np.concatenate([T_goal[:, :3, 3] - T[:, :3, 3], turn], axis=1)


def _solve_within(J: Array, d: Array, h: Array | None, damping: float, low: Array, high: Array) -> Array:
    """Minimise ‖J dq − d‖² + λ² ‖dq − h‖² with low ≤ dq ≤ high, where low ≤ 0 ≤ high. None: h is zero."""
    dq = _solve_damped(J, d, h, damping)
    leaves = (dq < low) | (dq > high)
    if leaves.any():
        i = np.flatnonzero(leaves.any(axis=1))
        h_i = np.zeros_like(dq[i]) if h is None else h[i]
        dq[i] = _solve_at_bounds(J[i], d[i], h_i, damping, low[i], high[i])
    return dq


def _solve_at_bounds(J: Array, d: Array, h: Array, damping: float, low: Array, high: Array) -> Array:
    """Return the minimum of ``_solve_within`` where it has joints at their bounds.

    The primal active-set method of Stark and Parker, for n arms at once. dq is inside the bounds after every round, also when
    the rounds are used up.
    """
    dq, held = np.zeros_like(h), np.zeros(h.shape, dtype=bool)
    for _ in range(ROUNDS_PER_JOINT * h.shape[1]):
        J_free = J * ~held[:, None, :]
        fixed = np.where(held, dq, 0.0)
        best = np.where(held, dq, _solve_damped(J_free, d - _multiply(J, fixed), np.where(held, 0.0, h), damping))
        leaves = (best < low) | (best > high)
        if not (leaves | held).any():
            return best
        # Go towards the optimum of the free joints until the first of them is at its bound. It is held from then on.
        way = best - dq
        share = np.where(leaves, (np.where(way > 0.0, high, low) - dq) / np.where(leaves, way, 1.0), 1.0)
        part = share.min(axis=1, keepdims=True)
        stops = leaves & (share <= part)
        dq = np.where(stops, np.where(way > 0.0, high, low), dq + part * way)
        # Where no joint is in the way, dq is the optimum for the held joints. A held joint that the slope pulls back inside is
        # released: only one at a time, the one with the strongest pull, or the method can run in circles.
        slope = _multiply(J.swapaxes(1, 2), _multiply(J, dq) - d) + damping**2 * (dq - h)
        pull = np.where(held, np.where(dq >= high, slope, -slope), 0.0)
        pull = np.where(leaves.any(axis=1, keepdims=True), 0.0, pull)
        released = (pull > RELEASE) & (pull >= pull.max(axis=1, keepdims=True))
        if not (leaves | released).any():
            return dq
        held = (held | stops) & ~released
    return dq


def _multiply(matrix: Array, vector: Array) -> Array:
    """Return the products of matrices (n, i, j) and vectors (n, j)."""
    return (matrix @ vector[..., None])[..., 0]


def _solve_damped(J: Array, d: Array, h: Array | None, damping: float) -> Array:
    """Return h + Jᵀ (J Jᵀ + λ² I)⁻¹ (d − J h)."""
    J_T = J.swapaxes(1, 2)
    rest, A = d if h is None else d - _multiply(J, h), J @ J_T
    diagonal = np.einsum("nii->ni", A)  # a view
    diagonal += damping**2
    dq: Array = (J_T @ np.linalg.solve(A, rest[..., None]))[..., 0]
    return dq if h is None else h + dq
