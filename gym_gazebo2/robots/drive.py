"""What the drives need and a maker's URDF seldom says: the rotors' inertias, and the speed at which they follow a set-point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.contract import OMEGA
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.robots.limits import read_per_joint
from gym_gazebo2.robots.rows import RobotRow
from gym_gazebo2.robots.spec import RobotSpec

__all__ = ["choose_rotors", "choose_speed"]

Array = NDArray[np.float64]

TOP_SPEED = 2.0
"""Fastest default speed [rad/s]. Forces grow with the square of the speed. At 2 rad/s, the makers' arms in the tests
(simulated) stay within 2 mrad of a simulation with 1 ms steps, also where a joint stops at its limit. At 3.2 rad/s they differ
by up to 4 mrad."""
SPEED_CHANGE = 0.2
"""Change of the speed per control period that the drives must follow, as a share of the full speed."""


def choose_rotors(
    row: RobotRow, names: Sequence[str], rotors: Mapping[str, float], coupling: Array, scale: Array
) -> tuple[Array, list[str]]:
    """Return the rotors' inertias as seen at the joints, and what was assumed.

    For each joint, the first value that exists is taken: the row's by joint name; the URDF's; the row's for all joints.
    Otherwise the inertia is assumed: the sum of the entries of this joint's row of the mean mass matrix. So the links are at
    most about half of the apparent inertia, and the drive's constant M̂ is wrong by at most about a half, in any pose. Gears
    of real robots are chosen in this way for the joint's own links ("inertia matching": Pasch and Seering, "On the drive
    systems for high-performance machines", 1984).

    Args:
        row: The robot's row.
        names: Names of the joints.
        rotors: The URDF's rotor inertias, by joint.
        coupling: (dof, dof) mean size of the entries of the links' mass matrix.
        scale: (dof,) 1 rad, or the stroke of a prismatic joint [m].
    """
    given = read_per_joint("rotor_inertia", row.rotor_inertia, names)
    known = {**given, **rotors, **(given if isinstance(row.rotor_inertia, tuple) else {})}
    assumed = [name for name in names if name not in known]
    sums = (coupling * scale).sum(axis=1) / scale
    rotor = np.array([known.get(name, value) for name, value in zip(names, sums, strict=True)])
    values = ", ".join(f"{name} {rotor[names.index(name)]:.3g}" for name in assumed)
    return rotor, [f"Assumed rotor inertias (set rotor_inertia to change them): {values}."] if assumed else []


def choose_speed(speed: float | None, spec: RobotSpec) -> tuple[Array, list[str]]:
    """Return the control speed of each joint, and what was assumed.

    Args:
        speed: The row's speed [rad/s; strokes/s of a prismatic joint]; None: as fast as limits and drives allow.
        spec: The arm.

    Raises:
        InvalidArgumentError: The speed is not positive, or above a velocity limit.
    """
    limit = spec.velocity_limit
    if speed is not None:
        most = limit.min(initial=np.inf, where=~spec.is_prismatic)
        if not 0 < speed <= most:
            raise InvalidArgumentError(
                "control_speed", speed, f"a positive speed of at most {most} rad/s, the joints' smallest limit"
            )
        return np.where(spec.is_prismatic, np.minimum(speed * spec.scale, limit), speed), []
    # A jump Δv of the set-point's speed makes the drive ask for 2ωM̂Δv.
    by_effort = spec.effort_limit / (2.0 * OMEGA * spec.drive_inertia * SPEED_CHANGE)
    chosen = np.minimum(limit, np.minimum(by_effort, TOP_SPEED * spec.scale))
    slower = [f"{spec.joint_names[i]} {chosen[i]:.2g} of {limit[i]:.3g}" for i in np.flatnonzero(chosen < limit)]
    return chosen, [
        f"Speeds below the velocity limits (set control_speed to change them): {', '.join(slower)}."
    ] if slower else []
