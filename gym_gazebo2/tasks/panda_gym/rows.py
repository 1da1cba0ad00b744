"""The twelve tasks of panda-gym as data: six tasks, each with a sparse and a dense reward.

The numbers are those of panda-gym 3.0.7. Friction is converted: panda-gym's engine multiplies the coefficients of two bodies,
and the scenes of this package take the smaller one. So the table gets the product of the table's and the object's coefficient,
and the object gets the product of the finger's and its own. Masses are in kg, lengths in m, in panda-gym's world frame.
"""

from __future__ import annotations

import dataclasses

from gym_gazebo2.scene import FixedBox, ObjectKind, Scene
from gym_gazebo2.tasks.base import Task
from gym_gazebo2.tasks.panda_gym.flip import FlipTask
from gym_gazebo2.tasks.panda_gym.task import P_WORLD_IN_BASE, PandaGymTask

__all__ = ["make_panda_gym_tasks"]

FRICTION, TABLE_FRICTION = 0.5, 0.25
"""Friction between finger and cube, 1.0 · 0.5 in panda-gym, and between cube and table, 0.5 · 0.5."""
DISC_FRICTION, SMOOTH_FRICTION = 0.04, 0.02
"""Friction between finger and disc, 1.0 · 0.04 in panda-gym, and between disc and table, 0.04 · 0.5."""
GREEN, BLUE = (0.1, 0.9, 0.1), (0.1, 0.1, 0.9)


def _make_cube(name: str = "cube", mass: float = 1.0, color: tuple[float, float, float] = GREEN) -> ObjectKind:
    half = (0.02, 0.02, 0.02)
    return ObjectKind(name, "box", half, half, mass=mass, friction=FRICTION, color=color)


def _make_scene(*kinds: ObjectKind, length: float = 1.1, center: float = -0.3, friction: float = TABLE_FRICTION) -> Scene:
    """Return a table of a length along x and with a centre x [m], its surface at height zero, and objects."""
    position = (float(P_WORLD_IN_BASE[0]) + center, 0.0, -0.2)
    table = FixedBox("table", position, (length / 2, 0.35, 0.2), friction, (0.95, 0.95, 0.95))
    return Scene(kinds, num_objects=len(kinds), boxes=(table,))


_DISC = ObjectKind("disc", "cylinder", (0.03, 0.03, 0.015), (0.03, 0.03, 0.015), mass=1.0, friction=DISC_FRICTION, color=GREEN)

_TASKS: dict[str, PandaGymTask] = {
    "reach": PandaGymTask("bring the tool to a point", scene=_make_scene()),
    "push": PandaGymTask(
        "push a cube to a point of the table",
        start_heights=(0.02,),
        goal_lower=(-0.15, -0.15, 0.02),
        goal_upper=(0.15, 0.15, 0.02),
        scene=_make_scene(_make_cube()),
    ),
    # The disc is 3 cm high. panda-gym starts it 1.5 cm above the table, and its goals are at that height, too.
    "slide": PandaGymTask(
        "slide a disc to a point out of reach",
        start_heights=(0.03,),
        goal_lower=(0.25, -0.15, 0.03),
        goal_upper=(0.55, 0.15, 0.03),
        scene=_make_scene(_DISC, length=1.4, center=-0.1, friction=SMOOTH_FRICTION),
    ),
    "pick_and_place": PandaGymTask(
        "bring a cube to a point on or above the table",
        start_heights=(0.02,),
        goal_lower=(-0.15, -0.15, 0.02),
        goal_upper=(0.15, 0.15, 0.22),
        ground_share=0.3,
        uses_gripper=True,
        scene=_make_scene(_make_cube()),
    ),
    "stack": PandaGymTask(
        "stack a cube on a heavier one, at a point of the table",
        start_heights=(0.02, 0.06),
        goal_lower=(-0.15, -0.15, 0.02),
        goal_upper=(0.15, 0.15, 0.02),
        threshold=0.1,
        uses_gripper=True,
        scene=_make_scene(_make_cube("heavy_cube", 2.0, BLUE), _make_cube()),
    ),
    "flip": FlipTask(
        "turn a cube to a rotation",
        start_heights=(0.02,),
        threshold=0.2,
        uses_gripper=True,
        scene=_make_scene(_make_cube()),
    ),
}


def make_panda_gym_tasks() -> dict[str, Task]:
    """Return the rows of ``TASKS``: each task with the sparse reward, and with the dense one under "…_dense"."""
    rows: dict[str, Task] = {}
    for name, task in _TASKS.items():
        rows[f"panda_gym_{name}"] = task
        rows[f"panda_gym_{name}_dense"] = dataclasses.replace(task, reward="dense")
    return rows
