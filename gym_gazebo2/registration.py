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
