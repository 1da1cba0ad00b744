"""Real arms for tests: URDFs of ``example-robot-data``, as their makers ship them."""

from __future__ import annotations

import functools
from importlib import metadata
from pathlib import Path

from gym_gazebo2.robots import RobotRow, RobotSpec, make_robot

# Name → file below the robots of the package, tool frame, and what the row has to add.
ARMS: dict[str, tuple[str, str, dict[str, float]]] = {
    "panda": ("panda_description/urdf/panda.urdf", "panda_hand_tcp", {}),
    "ur3": ("ur_description/urdf/ur3_robot.urdf", "tool0", {}),
    "ur5": ("ur_description/urdf/ur5_robot.urdf", "tool0", {}),
    "ur5_limited": ("ur_description/urdf/ur5_joint_limited_robot.urdf", "tool0", {}),
    "ur5_gripper": ("ur_description/urdf/ur5_gripper.urdf", "tool0", {}),
    "ur10": ("ur_description/urdf/ur10_robot.urdf", "tool0", {}),
    "xarm7": ("xarm_description/urdf/xarm7.urdf", "link7", {}),
    "so100": ("so_arm_description/urdf/so100.urdf", "gripper", {}),
    "so101": ("so_arm_description/urdf/so101.urdf", "gripper_frame_link", {}),
    "z1": ("z1_description/urdf/z1.urdf", "link06", {}),
    "jaco2": ("kinova_description/robots/kinova.urdf", "j2s6s200_end_effector", {}),
    "baxter": ("baxter_description/urdf/baxter.urdf", "left_gripper", {}),
    "talos": ("talos_data/robots/talos_left_arm.urdf", "wrist_left_ft_tool_link", {"mount_height": 1.0}),
    "tiago": ("tiago_description/robots/tiago_no_hand.urdf", "arm_tool_link", {}),
}


@functools.cache
def find_robots() -> Path:
    """Return the folder with the packages of all robots."""
    files = metadata.files("example-robot-data") or []
    urdf = next(file for file in files if file.as_posix().endswith(ARMS["ur5"][0]))
    return Path(str(urdf.locate())).resolve().parents[2]


def make_row(name: str) -> RobotRow:
    urdf, tool_frame, more = ARMS[name]
    return RobotRow(str(find_robots() / urdf), tool_frame=tool_frame, **more)


def make_arm(name: str) -> RobotSpec:
    return make_robot(make_row(name))
