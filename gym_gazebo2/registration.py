"""The table of environment ids: one row per id."""

from __future__ import annotations

import dataclasses
from typing import Any

from gymnasium.envs.registration import register, registry

from gym_gazebo2.checks import add_row

__all__ = ["ENVIRONMENTS", "EnvRow", "register_env", "register_envs"]

MAX_EPISODE_STEPS = 100
"""Default time limit of an episode [steps]: 5 s at the default control period of 0.05 s."""


@dataclasses.dataclass(frozen=True)
class EnvRow:
    """An environment id.

    Attributes:
        robot: Row of ``robots.ROBOTS``, or path of a URDF or xacro file.
        task: Row of ``tasks.TASKS``.
        kwargs: Further defaults of the environment's keywords.
        max_episode_steps: Steps after which Gymnasium truncates an episode.
    """

    robot: str
    task: str
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    max_episode_steps: int = MAX_EPISODE_STEPS


_PANDA_GYM_TASKS = (
    ("Reach", "reach", 50), ("Push", "push", 50), ("Slide", "slide", 50), ("PickAndPlace", "pick_and_place", 50),
    ("Stack", "stack", 100), ("Flip", "flip", 50),
)  # fmt: skip
"""Tasks of panda-gym: name in ids, name of the row of ``TASKS``, time limit [steps]."""
_PANDA_GYM_KWARGS: dict[str, Any] = {
    "control_dt": 0.04,
    # panda-gym's start pose: the tool looks down, 0.2 m above the table's middle, and the gripper is closed.
    "home": (0.0, 0.41, 0.0, -1.85, 0.0, 2.26, 0.79),
    # The inertia makes the drives of the fingers stiff enough to hold 2 kg: they grip a cube of 4 cm with their full 70 N.
    "robot_options": {
        "held": {"panda_finger_joint1": 0.0, "panda_finger_joint2": 0.0},
        "gripper": {"home": 0.0, "rotor_inertia": 2.2},
    },
    "mount_height": 0.4,  # the arm stands on the table
}


def _list_panda_gym() -> dict[str, EnvRow]:
    """Return the ids of panda-gym's tasks: tool or joint displacements, with a sparse or a dense reward."""
    rows = {}
    for name, task, steps in _PANDA_GYM_TASKS:
        for joints, control in (("", "measured_tool"), ("Joints", "measured_joints")):
            for dense in ("", "Dense"):
                kwargs = {"control": control, **_PANDA_GYM_KWARGS}
                row = f"panda_gym_{task}{'_dense' if dense else ''}"
                rows[f"PandaGym{name}{joints}{dense}-v0"] = EnvRow("panda", row, kwargs, steps)
    return rows


_ON_TABLE = {"control": "tool", "mount_height": 0.4}
"""Keywords of robots on a table: the floor is where objects fall to."""

ENVIRONMENTS: dict[str, EnvRow] = {
    "MARA-v0": EnvRow("mara", "mara_reach"),
    "MARAOrient-v0": EnvRow("mara", "mara_reach_orient"),
    "MARACollision-v0": EnvRow("mara", "mara_reach_collision"),
    "MARACollisionOrient-v0": EnvRow("mara", "mara_reach_collision_orient"),
    "MARACamera-v0": EnvRow("mara", "mara_reach_camera"),
    "MARAReal-v0": EnvRow("mara", "mara_reach_high", {"backend": "ros2"}),
    "MARARandomTarget-v0": EnvRow("mara", "mara_reach_random"),
    "MARAReachGoal-v0": EnvRow("mara", "mara_reach_goal"),
    "SCARA-v0": EnvRow("scara", "scara_reach"),
    "SCARARandomTarget-v0": EnvRow("scara", "scara_reach_random"),
    "SCARA4-v0": EnvRow("scara4", "scara4_reach"),
    # Any arm: gymnasium.make takes robot="…", a name or the path of a URDF.
    "Reach-v0": EnvRow("ur5e", "reach"),
    "ReachGoal-v0": EnvRow("ur5e", "reach_goal"),
    "PandaReach-v0": EnvRow("panda", "reach"),
    **_list_panda_gym(),
    "PandaSort-v0": EnvRow("panda", "sort", _ON_TABLE),
    "PandaSortCamera-v0": EnvRow("panda", "sort_camera", _ON_TABLE),
    "PandaToss-v0": EnvRow("panda", "toss", {**_ON_TABLE, "control": "tool_pitch"}, max_episode_steps=60),
}


def register_env(env_id: str, row: EnvRow) -> None:
    """Add an id to the table and to Gymnasium's registry. Adding an equal row again changes nothing.

    Raises:
        InvalidArgumentError: Another row has this name.
    """
    add_row(ENVIRONMENTS, env_id, row)
    # Gymnasium warns when an id is registered twice, as after importlib.reload; the table above has checked the name.
    registry.pop(env_id, None)
    register(
        id=env_id,
        entry_point="gym_gazebo2.env:ArmEnv",
        vector_entry_point="gym_gazebo2.vector_env:ArmVectorEnv",
        max_episode_steps=row.max_episode_steps,
        kwargs={"robot": row.robot, "task": row.task, **row.kwargs},
    )


def register_envs() -> None:
    """Register every id of the table. ``import gym_gazebo2`` calls this."""
    for env_id, row in list(ENVIRONMENTS.items()):
        register_env(env_id, row)
