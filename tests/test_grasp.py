"""The Panda's gripper holds cube, cylinder and sphere while it lifts, carries, turns and shakes them, at the default step."""

import dataclasses
from contextlib import closing

import numpy as np
import pytest

from gym_gazebo2.controls import compute_command, get_control
from gym_gazebo2.inverse_kinematics import compute_joint_step
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.scene import ObjectKind, Scene
from gym_gazebo2.setpoint import compute_setpoint

from .scenes import TABLE, make, make_panda, place

SHAPES = ("box", "cylinder", "sphere")
HALF_SIZES = (0.015, 0.02, 0.03)
KINDS = tuple(
    ObjectKind(f"{shape}{1000 * half:.0f}mm", shape, (half,) * 3, (half,) * 3) for half in HALF_SIZES for shape in SHAPES
)
SLIP = 2e-3
"""Largest slip in 2 s [m]."""
SHAKE_SPEED, SHAKE_PERIOD, TURN_SPEED = 0.4, 0.8, 1.5
"""The tool goes to and fro at up to this speed [m/s], in this period [s], and turns to and fro [rad/s]."""


class Grasp:
    """All objects at once, one per arm, with the tool around them."""

    def __init__(self, aside=0.004, yaw=0.0, **options):
        self.robot = make_panda()
        self.kinematics, self.chain = Kinematics(self.robot), Kinematics(self.robot.chain)
        self.travel = 0.05 * self.robot.control_speed
        self.backend = make(len(KINDS), Scene(KINDS, 1, (TABLE,)), **options)
        n, height = len(KINDS), self.backend.scene.pool.half_size[:, 2]
        start = self.kinematics.compute_tcp_pose(self.robot.home[None])[0, :3, 3]
        placement = place(self.backend, [0], [start[:2] + [0.0, aside]])
        placement.pose[:, 0, 2] = height + 1e-4
        placement.pose[:, 0, 3:] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
        q = np.tile(self.robot.home, (n, 1))
        for _ in range(200):
            down = np.zeros((n, 6))
            down[:, :3] = (
                np.column_stack([np.tile(start[:2], (n, 1)), height]) - self.chain.compute_tcp_pose(q[:, :7])[:, :3, 3]
            )
            q[:, :7] += compute_joint_step(self.chain, q[:, :7], np.clip(down, -0.02, 0.02))
        members = dataclasses.replace(placement, index=np.arange(n)[:, None])
        self.state = self.backend.reset(np.ones(n, dtype=bool), q, members)

    def move(self, velocity):
        """Close the fingers, and move the tools for a period with a velocity (6,) [m/s, rad/s]."""
        state, step = self.state, np.tile(0.05 * np.asarray(velocity, dtype=float), (len(KINDS), 1))
        target = state.q_setpoint.copy()
        target[:, 7:] = 0.0
        target[:, :7] += compute_joint_step(self.chain, state.q_setpoint[:, :7], step)
        self.state = self.backend.step(compute_setpoint(state.q_setpoint, target, state.q, self.robot, self.travel))
        assert not self.state.in_collision.any()

    def get_offsets(self):
        """Return the objects' positions in the tools' frames, relative to the middle between the fingers (n, 3) [m]."""
        T, p = self.kinematics.compute_tcp_pose(self.state.q), self.state.objects.pose[:, 0, :3]
        offset = np.einsum("nij,ni->nj", T[:, :3, :3], p - T[:, :3, 3])
        offset[:, 1] -= (self.state.q[:, 7] - self.state.q[:, 8]) / 2
        return offset


@pytest.mark.parametrize(("aside", "yaw"), [(0.004, 0.0), (0.0, 0.2)])
def test_objects_slip_by_2_mm_at_most_in_2_s_of_lifting_carrying_turning_and_shaking(aside, yaw):
    grasp = Grasp(aside, yaw)
    with closing(grasp.backend):
        for _ in range(15):
            grasp.move(np.zeros(6))
        first, slips = grasp.get_offsets(), []
        for period in range(40):
            time = 0.05 * period
            wave = SHAKE_SPEED * np.sin(2 * np.pi * (time - 0.25) / SHAKE_PERIOD)
            turn = TURN_SPEED * np.sin(2 * np.pi * time)
            lift = [0, 0, 0.2, 0, 0, 0]
            grasp.move(lift if period < 5 else [wave * (period < 21), wave * (period >= 21), 0, 0, 0, turn])
            slips.append(np.linalg.norm(grasp.get_offsets() - first, axis=1))
        assert grasp.state.objects.pose[:, 0, 2].min() > 0.04  # lifted
        assert np.max(slips) < SLIP, np.max(slips, axis=0)


def test_an_open_gripper_leaves_them_on_the_table():
    grasp = Grasp()
    with closing(grasp.backend):
        for _ in range(10):
            state = grasp.state
            target = state.q_setpoint.copy()
            target[:, :7] += compute_joint_step(grasp.chain, state.q_setpoint[:, :7], np.tile([0, 0, 0.01, 0, 0, 0], (9, 1)))
            grasp.state = grasp.backend.step(target)
        np.testing.assert_allclose(grasp.state.objects.pose[:, 0, 2], grasp.backend.scene.pool.half_size[:, 2], atol=1e-3)


@pytest.mark.parametrize("control", ["tool", "tool_yaw_pitch", "delta", "position", "torque"])
def test_every_control_closes_the_gripper_around_an_object(control):
    grasp, row = Grasp(), get_control(control)
    robot = grasp.robot
    with closing(grasp.backend):
        size = row.compute_size(robot.chain)
        for _ in range(20):
            state = grasp.state
            action = np.zeros((len(KINDS), size + 1))
            if control == "position":
                action[:, :7] = 2.0 * (state.q_setpoint - robot.lower)[:, :7] / (robot.upper - robot.lower)[:7] - 1.0
            action[:, -1] = -1.0
            tcp = grasp.kinematics.compute_tcp_state(state.q, state.dq)
            command = compute_command(row, action, state, tcp, grasp.kinematics, grasp.travel)
            if row.is_effort:
                grasp.state = grasp.backend.step_effort(command)
            else:
                command = compute_setpoint(state.q_setpoint, command, state.q, robot, grasp.travel)
                grasp.state = grasp.backend.step(command)
        width = grasp.state.q[:, 7:].sum(axis=1)
        size = 2.0 * grasp.backend.scene.pool.half_size[:, 1]
        assert ((width > 0.65 * size) & (width < size + 1e-3)).all(), (
            width
        )  # 70 N press the fingers 5 mm into the lightest sphere
