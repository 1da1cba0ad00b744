"""The meaning of an arm's actions, as it is stored with a model."""

from __future__ import annotations

import dataclasses
from typing import Any

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.settings.env_keywords import find_env_robot

__all__ = ["get_action_meaning"]


def get_action_meaning(config: ResolvedConfig) -> dict[str, Any]:
    """Return the meaning of an arm's actions, as a deployment needs it: control, period [s], speeds [rad/s], joints, robot.

    It is stored with the model, so that a policy can run without the training's configuration. Empty for environments of other
    packages, and for those without a robot of this package.
    """
    robot = None if config.control is None else find_env_robot(config.env, config.make_kwargs)
    if robot is None:
        return {}
    return {
        "control": config.control,
        "control_dt": config.control_dt,
        "control_speed": robot.control_speed.tolist(),
        "joint_names": list(robot.joint_names),
        "robot": robot.name,
        # The name says which robot it was. This entry says whether its fingers were driven.
        **({"gripper": dataclasses.asdict(robot.gripper)} if robot.gripper is not None else {}),
    }
