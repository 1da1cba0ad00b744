"""The meanings of actions: one row of ``CONTROLS`` per meaning, each with a pure function from action to joint targets.

The environment limits every target in the same way (``setpoint.compute_setpoint``). A new meaning is therefore one new row,
and no row can drive an arm too fast or out of its limits.

Rows know the arm without its fingers. Where the task uses the gripper, an action has one more component, which
``compute_command`` turns into commands of the fingers, the same for all rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.checks import add_row
from gym_gazebo2.errors import UnknownNameError
from gym_gazebo2.inverse_kinematics import compute_tool_step
from gym_gazebo2.kinematics import Kinematics, TcpState
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.state import ArmState

__all__ = [
    "CONTROLS",
    "TOOL_SPEED",
    "TURN_SPEED",
    "Control",
    "compute_command",
    "compute_delta_target",
    "compute_position_target",
    "compute_tool_target",
    "compute_torque",
    "get_control",
    "register_control",
]

Array = NDArray[np.float64]
ComputeTarget = Callable[[Array, ArmState, TcpState, Kinematics, Array], Array]

TURN_SPEED = 2.0
"""Speed at which a tool turns at an action of 1 [rad/s]: 0.1 rad in a control period of 0.05 s."""
TOOL_SPEED = 0.6
"""Speed of the tool along each axis at an action of 1 [m/s]: 30 mm in a control period of 0.05 s."""

# The steps of the measured_… rows are those of panda-gym 3.0.7, per control period.
MEASURED_TOOL_STEP = 0.05
"""Distance of the tool's target from the measured position at an action of 1 [m], along each axis."""
MEASURED_JOINT_STEP = 0.05
"""Distance of a joint's target from its measured position at an action of 1 [rad]."""
MEASURED_FINGER_STEP = 2.5
"""Distance of the gripper's target from its measured opening at an action of 1 [strokes]: 0.2 m for the Panda's 0.08 m."""


@dataclasses.dataclass(frozen=True)
class Control:
    """One meaning of actions. Every component of an action lies between −1 and 1.

    Attributes:
        description: The meaning of an action, in one sentence.
        compute_target: (action (n, size), arm, tcp, kinematics, travel (dof,)) → joint targets (n, dof) [rad], before any
            limit; or efforts [N·m]. travel is the distance of each joint in one control period at full speed, v_max · dt [rad].
            All of them are without the fingers.
        compute_size: Number of components of an action for a robot without its fingers.
        is_effort: Whether ``compute_target`` returns efforts, for ``Backend.step_effort``.
        finger_step: How far the gripper's target is from its measured opening at an action of 1, in strokes; None: the action
            is the target itself, −1 closed to 1 open.
    """

    description: str
    compute_target: ComputeTarget
    compute_size: Callable[[RobotSpec], int] = lambda robot: robot.dof
    is_effort: bool = False
    finger_step: float | None = None


def compute_delta_target(action: Array, arm: ArmState, tcp: TcpState, kinematics: Kinematics, travel: Array) -> Array:
    """Return the set-point, moved by a share of the travel of one control period: q_setpoint + action · travel."""
    # Relative to the set-point, not to the measured q: with action 0 an arm that sags or bends does not drift.
    return arm.q_setpoint + action * travel


def compute_position_target(action: Array, arm: ArmState, tcp: TcpState, kinematics: Kinematics, travel: Array) -> Array:
    """Return absolute joint positions: −1 is the lower limit, 1 the upper limit. Continuous joints span one turn."""
    robot = kinematics.robot
    return robot.range_lower + 0.5 * (action + 1.0) * (robot.range_upper - robot.range_lower)


def compute_tool_target(action: Array, arm: ArmState, tcp: TcpState, kinematics: Kinematics, travel: Array) -> Array:
    """Return set-points that move the tool by action · TOOL_SPEED · dt along the base's axes, with its orientation held.

    Joint speed and joint limits may allow a part of the way only, see ``inverse_kinematics.compute_tool_step``.
    """
    # travel is v_max · dt, so the control period is their quotient.
    control_dt = travel[0] / kinematics.robot.control_speed[0]
    return compute_tool_step(kinematics, arm.q_setpoint, TOOL_SPEED * control_dt * action, travel)


def _make_turning_target(turns: tuple[str, ...]) -> ComputeTarget:
    """Return a function like ``compute_tool_target`` whose action goes on with turns of the tool.

    Args:
        turns: "yaw", about the base's z axis, and "pitch", about the tool's own y axis: a gripper that looks down and opens
            along y swings forward and back.
    """

    def compute_turning_target(action: Array, arm: ArmState, tcp: TcpState, kinematics: Kinematics, travel: Array) -> Array:
        control_dt = travel[0] / kinematics.robot.control_speed[0]
        step = TURN_SPEED * control_dt * action[:, 3:]
        turn = np.zeros((len(action), 3))
        for i, name in enumerate(turns):
            if name == "yaw":
                turn[:, 2] += step[:, i]
            else:
                turn += step[:, i, None] * tcp.rotation[:, :, 1]
        return compute_tool_step(kinematics, arm.q_setpoint, TOOL_SPEED * control_dt * action[:, :3], travel, turn=turn)

    return compute_turning_target


def compute_torque(action: Array, arm: ArmState, tcp: TcpState, kinematics: Kinematics, travel: Array) -> Array:
    """Return joint efforts: a share of the effort limits. The joints are damped (``RobotSpec.effort_damping``)."""
    return action * kinematics.robot.effort_limit


def compute_measured_tool_target(action: Array, arm: ArmState, tcp: TcpState, kinematics: Kinematics, travel: Array) -> Array:
    """Return set-points that bring the tool 50 mm · action away from where it is, not below the base, in its orientation."""
    goal = tcp.position + MEASURED_TOOL_STEP * action
    goal[:, 2] = np.maximum(goal[:, 2], 0.0)
    # The motion starts at the set-point, whose orientation is exact: contacts would tilt the measured tool more and more.
    start = kinematics.compute_tcp_pose(arm.q_setpoint)[:, :3, 3]
    return compute_tool_step(kinematics, arm.q_setpoint, goal - start, travel)


def compute_measured_joint_target(action: Array, arm: ArmState, tcp: TcpState, kinematics: Kinematics, travel: Array) -> Array:
    """Return the measured positions, moved by 0.05 rad · action."""
    return arm.q + MEASURED_JOINT_STEP * action


CONTROLS: dict[str, Control] = {
    "delta": Control("Moves each joint's set-point, at most at the joint's control speed.", compute_delta_target),
    "position": Control("Sets each joint's target: −1 is its lower limit, 1 its upper limit.", compute_position_target),
    "tool": Control("Moves the tool along the base's axes and holds its orientation.", compute_tool_target, lambda robot: 3),
    "tool_yaw": Control(
        "As tool; the tool also turns about the base's z axis.", _make_turning_target(("yaw",)), lambda robot: 4
    ),
    "tool_pitch": Control(
        "As tool; the tool also turns about its own y axis.", _make_turning_target(("pitch",)), lambda robot: 4
    ),
    "tool_yaw_pitch": Control(
        "As tool; the tool also turns about the base's z axis and about its own y axis.",
        _make_turning_target(("yaw", "pitch")),
        lambda robot: 5,
    ),
    "torque": Control(
        "Sets each joint's torque, as a share of its effort limit; joints are damped.", compute_torque, is_effort=True
    ),
    "measured_tool": Control(
        "Sets the tool's target up to 50 mm away from its measured position along each axis of the base.",
        compute_measured_tool_target,
        lambda robot: 3,
        finger_step=MEASURED_FINGER_STEP,
    ),
    "measured_joints": Control(
        "Sets each joint's target up to 0.05 rad away from its measured position.",
        compute_measured_joint_target,
        finger_step=MEASURED_FINGER_STEP,
    ),
}


def compute_command(
    control: Control, action: Array, arm: ArmState, tcp: TcpState, kinematics: Kinematics, travel: Array
) -> Array:
    """Return the targets, or the efforts, of all joints, fingers included.

    Args:
        control: The meaning of the action.
        action: (n, size), or (n, size + 1) where the task uses the gripper. The last component is then its position, −1 closed
            to 1 open; in torque control the share of the grip force, negative to close.
        arm: State of the arms.
        tcp: State of the tools.
        kinematics: Kinematics of the arm.
        travel: (dof,) distance of each joint in one control period at full speed [rad or m].

    Returns:
        (n, dof) targets [rad or m], or efforts [N·m or N]. Without the additional component, the fingers' set-points stay.
    """
    robot = kinematics.robot
    gripper, n = robot.gripper, robot.chain_dof
    if gripper is None:
        return control.compute_target(action, arm, tcp, kinematics, travel)
    chain = dataclasses.replace(arm, q=arm.q[:, :n], dq=arm.dq[:, :n], q_setpoint=arm.q_setpoint[:, :n])
    size = control.compute_size(robot.chain)
    target = control.compute_target(action[:, :size], chain, tcp, kinematics.chain, travel[:n])
    if action.shape[1] == size:
        fingers = np.zeros_like(arm.q[:, n:]) if control.is_effort else arm.q_setpoint[:, n:]
    elif control.is_effort:
        fingers = gripper.compute_effort(action[:, size])
    else:
        fingers = gripper.compute_positions(_compute_opening(control, action[:, size], gripper.compute_opening(arm.q[:, n:])))
    return np.concatenate([target, fingers], axis=1)


def _compute_opening(control: Control, action: Array, opening: Array) -> Array:
    """Return the gripper's targets (n,), −1 closed to 1 open, of actions (n,) and measured openings (n,)."""
    if control.finger_step is None:
        return action
    return np.clip(opening + 2.0 * control.finger_step * action, -1.0, 1.0)  # a stroke is 2 long on this scale


def register_control(name: str, control: Control) -> None:
    """Add a meaning of actions to the table. Adding an equal row again changes nothing.

    Raises:
        InvalidArgumentError: Another row has this name.
    """
    add_row(CONTROLS, name, control)


def get_control(name: str) -> Control:
    """Return the row of a name.

    Raises:
        UnknownNameError: The table has no such row.
    """
    if name not in CONTROLS:
        raise UnknownNameError("control", name, CONTROLS)
    return CONTROLS[name]
