"""The frozen specification of an arm: everything that kinematics, controls and engines need to know about it."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FLOOR", "ExcludedPair", "Gripper", "RobotSpec"]

Array = NDArray[np.float64]


FLOOR = "floor"
"""Name of the floor in pairs of links."""
PER_JOINT = (
    "joint_names", "link_names", "lower", "upper", "velocity_limit", "control_speed", "effort_limit", "home", "rotor_inertia",
    "drive_inertia", "T_joint_to_parent", "axis", "is_prismatic", "is_continuous",
)  # fmt: skip
"""Attributes of a specification with one entry per joint."""


@dataclasses.dataclass(frozen=True)
class ExcludedPair:
    """Two links whose collisions do not count.

    Attributes:
        link1: Name of a link, or ``FLOOR``.
        link2: Name of the other link.
        reason: Why, such as "neighbours".
    """

    link1: str
    link2: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Gripper:
    """The fingers of an arm, which one number moves together: −1 is closed, 1 is open.

    Every finger joint has a drive of its own, also one that mimics another in the URDF: its set-point then follows the other's
    by the ratio of their strokes. Values are in the order of ``joint_names``.

    Attributes:
        joint_names: Names of the finger joints.
        closed: Positions when closed [rad or m].
        open: Positions when open [rad or m].
        force: Grip forces, the effort limits of the drives [N·m or N].
    """

    joint_names: tuple[str, ...]
    closed: tuple[float, ...]
    open: tuple[float, ...]
    force: tuple[float, ...]

    @property
    def mimic_ratios(self) -> tuple[float, ...]:
        """How far each finger moves when the first one moves by 1."""
        first = self.open[0] - self.closed[0]
        return tuple((end - start) / first for start, end in zip(self.closed, self.open, strict=True))

    def compute_positions(self, opening: ArrayLike) -> Array:
        """Return finger positions (…, fingers) [rad or m] of openings (…), −1 closed to 1 open."""
        share = 0.5 * (np.asarray(opening, dtype=float)[..., None] + 1.0)
        closed, opened = np.array(self.closed), np.array(self.open)
        return closed + share * (opened - closed)

    def compute_opening(self, q: ArrayLike) -> Array:
        """Return the openings (…), −1 closed to 1 open, of finger positions (…, fingers): the mean of the fingers'."""
        closed, opened = np.array(self.closed), np.array(self.open)
        openings = 2.0 * (np.asarray(q, dtype=float) - closed) / (opened - closed) - 1.0
        opening: Array = np.add.reduce(openings, axis=-1) / len(closed)  # as mean(), whose checks take longer than the sum
        return opening

    def compute_effort(self, share: ArrayLike) -> Array:
        """Return efforts (…, fingers) [N·m or N] of shares (…) of the grip force: −1 closes with all of it, 1 opens."""
        opening = np.sign(np.subtract(self.open, self.closed)) * np.array(self.force)
        effort: Array = np.asarray(share, dtype=float)[..., None] * opening
        return effort


@dataclasses.dataclass(frozen=True, eq=False)
class RobotSpec:
    """A serial arm, in the order from base to tool; behind it the fingers, where the environment drives them.

    Arrays are read-only; ``dof`` entries each.

    Joints are revolute [rad, N·m, kg·m²] or prismatic [m, N, kg]. A continuous joint is revolute with limits that are
    four turns away from zero.

    Attributes:
        name: Name, also its ROS namespace.
        urdf: Path of the URDF that every engine reads: the maker's, or its expanded copy in the cache.
        base_link: Root link; "base" in names such as ``p_tcp_in_base``.
        tool_frame: Link whose origin is the tool centre point (tcp).
        joint_names: Names of the joints.
        link_names: Names of the joints' child links.
        lower: Lower position limits [rad].
        upper: Upper position limits [rad].
        velocity_limit: Largest speed of the joints [rad/s]; backends refuse faster set-points.
        control_speed: Largest speed that the environment commands, v_max [rad/s].
        effort_limit: Torque limits [N·m].
        home: Home pose [rad].
        rotor_inertia: Inertia of the rotor as seen at the joint, that is, times the gear reduction squared [kg·m²].
        drive_inertia: Apparent inertia that the drive assumes, M̂ [kg·m²]: the rotor's, plus the links' inertia about the
            joint, averaged over the workspace.
        T_joint_to_parent: (dof, 4, 4) pose of each joint's frame in the frame of the previous joint, all joints at zero. For
            a finger, in the frame of the joint that ``finger_parents`` names.
        axis: (dof, 3) unit joint axes in the joint's frame.
        T_tcp_to_last: (4, 4) pose of the tool in the frame of the chain's last joint.
        is_prismatic: Which joints slide.
        is_continuous: Which joints had no limits in the URDF.
        mount_height: Height of the base above the floor [m].
        default_contacts: Whether MuJoCo's default contacts and limits are used.
        excluded_pairs: Pairs of links whose collisions do not count, each with its reason. Every engine excludes these.
        assumptions: What was assumed because the URDF does not say it, one sentence each.
        gripper: The fingers; None where the environment does not drive them. Their joints come last in all arrays.
        finger_parents: Indices of the joints that carry the fingers.
    """

    name: str
    urdf: str
    base_link: str
    tool_frame: str
    joint_names: tuple[str, ...]
    link_names: tuple[str, ...]
    lower: Array
    upper: Array
    velocity_limit: Array
    control_speed: Array
    effort_limit: Array
    home: Array
    rotor_inertia: Array
    drive_inertia: Array
    T_joint_to_parent: Array
    axis: Array
    T_tcp_to_last: Array
    is_prismatic: NDArray[np.bool_]
    is_continuous: NDArray[np.bool_]
    mount_height: float = 0.0
    default_contacts: bool = False
    excluded_pairs: tuple[ExcludedPair, ...] = ()
    assumptions: tuple[str, ...] = ()
    gripper: Gripper | None = None
    finger_parents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Make every array read-only."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def dof(self) -> int:
        """Number of driven joints: those of the chain to the tool, and the fingers."""
        return len(self.joint_names)

    @property
    def chain_dof(self) -> int:
        """Number of joints of the chain from the base to the tool."""
        return len(self.joint_names) - len(self.finger_parents)

    @functools.cached_property
    def chain(self) -> RobotSpec:
        """The same arm without its fingers: what kinematics and the controls of the arm need."""
        if self.gripper is None:
            return self
        changes = {name: getattr(self, name)[: self.chain_dof] for name in PER_JOINT}
        return dataclasses.replace(self, **changes, gripper=None, finger_parents=())

    def find_movers(self, joint: int) -> NDArray[np.bool_]:
        """Return which joints (dof,) move the link behind a joint: the joint itself and those before it."""
        movers = np.zeros(self.dof, dtype=bool)
        while joint >= self.chain_dof:
            movers[joint] = True
            joint = self.finger_parents[joint - self.chain_dof]
        movers[: joint + 1] = True
        return movers

    @property
    def effort_damping(self) -> Array:
        """(dof,) damping in torque control [N·m·s/rad]: the full effort moves a free joint at its control speed.

        Without it a constant torque accelerates a joint without end, since the drives compensate weight and friction.
        """
        return self.effort_limit / self.control_speed

    @functools.cached_property
    def scale(self) -> Array:
        """(dof,) 1 rad, or the stroke of a prismatic joint [m]: tolerances are written in rad and multiplied by this."""
        scale = np.where(self.is_prismatic, self.upper - self.lower, 1.0)
        scale.setflags(write=False)
        return scale

    @property
    def range_lower(self) -> Array:
        """(dof,) lower ends of the useful range: the limits, but one turn around zero for continuous joints."""
        return np.where(self.is_continuous, -np.pi, self.lower)

    @property
    def range_upper(self) -> Array:
        """(dof,) upper ends of the useful range."""
        return np.where(self.is_continuous, np.pi, self.upper)

    def wrap(self, q: Array) -> Array:
        """Return joint positions (n, dof) with those of continuous joints between −π and π [rad]."""
        return np.where(self.is_continuous, (q + np.pi) % (2.0 * np.pi) - np.pi, q)
