"""The pose at which episodes start, where the row does not give one: the SRDF's, else the best-conditioned of random poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.robots.collisions import CollisionModel
from gym_gazebo2.robots.motion import JointMotion
from gym_gazebo2.robots.spec import RobotSpec

__all__ = ["choose_home"]

Array = NDArray[np.float64]

SAMPLES = 2048
"""Random poses among which the best-conditioned is searched."""
BEST = 256
"""The best-conditioned poses, which are tested for collisions."""
NEIGHBOURS, NEAR, FAR = 32, 0.4, 1.0
"""Poses around a candidate, and how far away they are [rad, or share of the stroke]. All near poses must be free of collision.
A candidate is better if more of the far ones are free, too."""
CANDIDATES = 24
"""Poses with free space around them, of which the best is taken."""
CLEARANCE = 5e-3
"""Smallest allowed distance between links, and between links and the floor, at the home pose [m]."""
SMALL_MOTION = 0.2
"""A pose of the SRDF is not used if so small motions make links touch [rad, or share of the stroke]: episodes start there."""
FEWEST_FREE = 0.9
"""Smallest share of small motions that must be free of collision. Measured: 0.79 for xArm 7's folded "home", 0.98 or more for
the other poses of makers."""
NO_WORSE = 0.95
"""A joint is moved to the middle of its range where at least this part of the pose's rating remains."""
MARGIN = 0.4
"""A pose counts less where a joint is nearer to its limit than this [rad, or share of the stroke]."""


def choose_home(
    robot: RobotSpec, model: CollisionModel, named: Sequence[tuple[str, Mapping[str, float]]]
) -> tuple[Array, list[str]]:
    """Return a home pose (dof,), and sentences about where it comes from.

    The result depends on the arm alone: the random poses have a fixed seed.

    Args:
        robot: The arm.
        model: Its shapes, without the pairs that may touch.
        named: Poses of the SRDF that have all joints, the best first.
    """
    refused: list[str] = []
    for name, pose in named:
        q = np.array([pose[joint] for joint in robot.joint_names])
        reason = _find_fault(robot, model, q)
        if reason is None:
            return q, [*refused, f"Home is the pose {name!r} of the SRDF."]
        refused.append(f"The pose {name!r} of the SRDF is not used as home: {reason}.")
    q = _draw(robot, np.random.default_rng(0), SAMPLES)
    rating = _rate(robot, q)
    order = np.argsort(-rating, kind="stable")[:BEST]
    best = _find_free(robot, model, q[order], rating[order])
    if best is None:
        zero = np.clip(np.zeros(robot.dof), robot.lower, robot.upper)
        return zero, [*refused, "Home is zero: no pose without collision was found."]
    return _centre(robot, model, best), [*refused, "Home is the best-conditioned of random poses without collision."]


def _centre(robot: RobotSpec, model: CollisionModel, q: Array) -> Array:
    """Return a pose (dof,) with joints moved to the middle of their ranges, where that costs next to nothing.

    The condition of the Jacobian does not depend on the first joint, and hardly on the last one. Random values of these would
    let episodes start at one side of the workspace, such as with the base of the SO-101 turned by 1.3 of its 1.9 rad.
    """
    for i in range(robot.dof):
        moved = q.copy()
        moved[i] = 0.5 * (robot.range_lower[i] + robot.range_upper[i])
        now, then = _rate(robot, np.stack([q, moved]))
        if then >= NO_WORSE * now and _has_room(robot, model, moved):
            q = moved
    return q


def _find_fault(robot: RobotSpec, model: CollisionModel, q: Array) -> str | None:
    """Return why a pose (dof,) of the SRDF is no home pose: it may be meant for a robot without a floor, or be folded."""
    if not np.all((q >= robot.lower) & (q <= robot.upper)):  # NaN is outside, too
        return "it is outside the joint limits"
    if not model.is_free(q)[0]:
        return "links touch there"
    share = model.is_free(_surround(robot, q, SMALL_MOTION)).mean()
    return None if share >= FEWEST_FREE else f"motions of {SMALL_MOTION:g} rad make links touch"


def _draw(robot: RobotSpec, rng: np.random.Generator, count: int) -> Array:
    """Return random poses, at most half a turn from zero where the limits allow it."""
    lower, upper = np.maximum(robot.range_lower, -np.pi), np.minimum(robot.range_upper, np.pi)
    lower, upper = np.where(lower < upper, lower, robot.lower), np.where(lower < upper, upper, robot.upper)
    return rng.uniform(lower, upper, (count, robot.dof))


def _rate(robot: RobotSpec, q: Array) -> Array:
    """Return how good poses are, (n,): the inverse condition of the Jacobian, less near a joint limit.

    The angular rows are multiplied by a length, half of the arm's, so that the condition does not depend on the unit.
    """
    J = JointMotion(robot).compute_jacobian(q)
    length = max(float(np.linalg.norm(J[:, :3], axis=1).max()) / 2.0, 1e-6)
    J = J * robot.scale
    rows = J if robot.dof >= 6 else J[:, :3]
    rows = np.concatenate([rows[:, :3], rows[:, 3:] * length], axis=1)
    sizes = np.linalg.svd(rows, compute_uv=False)
    # A planar arm moves its tool in two directions only: directions in which no pose moves it are not counted.
    rank = max(1, int((sizes.max(axis=0) > 1e-6 * sizes.max()).sum()))
    distance = np.minimum(q - robot.lower, robot.upper - q) / robot.scale
    return sizes[:, rank - 1] / np.maximum(sizes[:, 0], 1e-12) * np.clip(distance / MARGIN, 0.0, 1.0).min(axis=1)


def _find_free(robot: RobotSpec, model: CollisionModel, q: Array, rating: Array) -> Array | None:
    """Return the best pose with free space around it; else the first that is free itself; None if all collide.

    Args:
        robot: The arm.
        model: Its shapes.
        q: (n, dof) poses, the best-conditioned first.
        rating: (n,) how good they are.
    """
    candidates = np.flatnonzero(model.is_free(q, CLEARANCE)).tolist()
    found = []
    for i in candidates:
        if _has_room(robot, model, q[i]):
            far = model.is_free(_surround(robot, q[i], FAR))
            found.append((rating[i] * far.mean() ** 2, i))
        if len(found) == CANDIDATES:
            break
    if found:
        return q[max(found)[1]]
    return q[candidates[0]] if candidates else None


def _surround(robot: RobotSpec, q: Array, distance: float) -> Array:
    """Return poses (NEIGHBOURS, dof) around a pose (dof,), the same directions for every pose."""
    noise = np.random.default_rng(1).uniform(-1.0, 1.0, (NEIGHBOURS, robot.dof)) * robot.scale
    return np.clip(q + distance * noise, robot.lower, robot.upper)


def _has_room(robot: RobotSpec, model: CollisionModel, q: Array) -> bool:
    """Return whether a pose (dof,) keeps its clearance, and all poses near it are free of collision."""
    return bool(model.is_free(q, CLEARANCE)[0] and model.is_free(_surround(robot, q, NEAR)).all())
