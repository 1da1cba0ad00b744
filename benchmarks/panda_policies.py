"""Scripted policies for panda-gym's tasks: closed-loop, and functions of the observation alone.

They need NumPy only, so the same file also runs in the peers' environment, against panda-gym itself. All of them move the tool;
the variants with joint displacements have none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["POLICIES"]

Array = NDArray[np.float64]

STEP = 0.05
"""Displacement of the tool at an action of 1 [m]."""
ABOVE = 0.10
"""Height at which the tool passes over objects [m]."""
OPEN, CLOSE = 1.0, -1.0


def move(tool: Array, target: Array) -> Array:
    """Return the action (3,) that brings the tool to a point."""
    return np.clip((target - tool) / STEP, -1.0, 1.0)


def push_from(tool: Array, thing: Array, contact: Array, way: Array, height: float, gain: float) -> Array:
    """Return the action (3,) that goes down behind an object, and pushes it.

    Args:
        tool: (3,) position of the tool [m].
        thing: (3,) position of the object [m].
        contact: (2,) where to go down [m].
        way: (2,) unit vector along which to push.
        height: Height of the tool while it pushes [m].
        gain: Action along ``way``.
    """
    offset = tool[:2] - contact
    along = offset @ way
    aside = np.abs(offset - along * way).max()
    if tool[2] < height + 0.02 and aside < 0.015 and along < np.linalg.norm(thing[:2] - contact):
        aim = move(tool, np.array([*(contact + along * way), height]))
        return np.clip(aim + gain * np.array([*way, 0.0]), -1.0, 1.0)
    if np.abs(offset).max() < 0.01:
        return move(tool, np.array([*contact, height]))
    if tool[2] < ABOVE - 0.03:
        return move(tool, np.array([tool[0], tool[1], ABOVE]))
    return move(tool, np.array([*contact, ABOVE]))


def carry(tool: Array, width: float, cube: Array, goal: Array, rise: float = 0.0) -> Array:
    """Return the action (4,) that takes a cube and brings it to a goal.

    Args:
        tool: (3,) position of the tool [m].
        width: Distance of the fingers [m].
        cube: (3,) position of the cube [m].
        goal: (3,) position to bring it to [m].
        rise: Height above the goal at which it is brought there [m].
    """
    aside, height = np.abs(tool[:2] - cube[:2]).max(), abs(tool[2] - cube[2])
    is_lifted = cube[2] > 0.022 and max(aside, height) < 0.012 and width < 0.06  # held by its corners
    if is_lifted or (aside < 0.02 and height < 0.03 and width < 0.043):
        far = np.abs(cube[:2] - goal[:2]).max() > 0.03
        target = goal + np.array([0.0, 0.0, rise if far else 0.0])
        if far and cube[2] < target[2] - 0.03:
            target = np.array([*cube[:2], target[2]])
        return np.append(move(cube, target), CLOSE)
    if (aside < 0.008 and height < 0.01) or (aside < 0.02 and height < 0.02 and width < 0.07):
        return np.append(0.5 * move(tool, cube), CLOSE)
    if aside < 0.016 and width > 0.05:
        return np.append(move(tool, cube), OPEN)
    if tool[2] < cube[2] + 0.05:
        return np.array([0.0, 0.0, 1.0, OPEN])
    return np.append(move(tool, np.array([*cube[:2], cube[2] + 0.08])), OPEN)


def reach(observation: Array, goal: Array) -> Array:
    """Go to the goal."""
    return move(observation[:3], goal)


def push(observation: Array, goal: Array) -> Array:
    """Push the cube along the line to its goal."""
    tool, cube = observation[:3], observation[6:9]
    way = (goal - cube)[:2] / max(float(np.linalg.norm((goal - cube)[:2])), 1e-6)
    return push_from(tool, cube, cube[:2] - 0.055 * way, way, 0.012, 0.5)


def slide(observation: Array, goal: Array) -> Array:
    """Push the disc along x as fast as the arm can, and let it slide. The goal must be straight ahead.

    The fingers are flat and the friction is low: whatever way they move, they push the disc along x.
    """
    tool, disc = observation[:3], observation[6:9]
    if observation[12] > 0.35 and tool[0] > -0.05:  # it is fast enough, or soon out of reach
        return np.array([-0.2, 0.0, 0.0])
    return push_from(tool, disc, disc[:2] - np.array([0.07, 0.0]), np.array([1.0, 0.0]), 0.012, 1.0)


def pick_and_place(observation: Array, goal: Array) -> Array:
    """Take the cube, and bring it to the goal."""
    return carry(observation[:3], observation[6], observation[7:10], goal)


def stack(observation: Array, goal: Array) -> Array:
    """Bring the heavy cube to its goal, then the other one on top of it."""
    tool, width, first, second = observation[:3], observation[6], observation[7:10], observation[19:22]
    if np.abs(first - goal[:3]).max() > 0.03:
        return carry(tool, width, first, goal[:3], rise=0.06)
    if np.abs(tool - first).max() < 0.03:  # it still holds the first one: let go, straight up
        return np.array([0.0, 0.0, 1.0 if width > 0.06 else 0.0, OPEN])
    return carry(tool, width, second, goal[3:], rise=0.04)


def flip(observation: Array, goal: Array) -> Array:
    """Turn the cube about the vertical by pushing a side near a corner along y; other rotations are not tried."""
    tool, cube = observation[:3], observation[7:10]
    contact = cube[:2] + np.array([0.024, -0.06])
    return np.append(push_from(tool, cube, contact, np.array([0.0, 1.0]), 0.012, 0.4), CLOSE)


POLICIES: Mapping[str, Callable[[Array, Array], Array]] = {
    "Reach": reach, "Push": push, "Slide": slide, "PickAndPlace": pick_and_place, "Stack": stack, "Flip": flip,
}  # fmt: skip
"""Name of a task in ids → policy: (observation (size,), desired goal (g,)) → action."""
