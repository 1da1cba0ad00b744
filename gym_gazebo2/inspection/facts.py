"""The facts of a robot that a user wants to see before a training, as plain data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from gym_gazebo2.contract import OMEGA
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.robots.collisions import CollisionModel
from gym_gazebo2.robots.drive import SPEED_CHANGE
from gym_gazebo2.robots.source import read_xml
from gym_gazebo2.robots.spec import ExcludedPair, Gripper
from gym_gazebo2.robots.urdf import find_chain, parse_urdf

__all__ = ["JointFacts", "RobotFacts", "collect_facts"]

RANDOM_POSES = 2000
"""Poses that are drawn for the reach and for the share of poses that are free of collision."""


@dataclasses.dataclass(frozen=True)
class JointFacts:
    """A driven joint. Units are rad, N·m and kg·m², or m, N and kg for a joint that slides.

    Attributes:
        name: Its name.
        kind: "revolute", "continuous" or "prismatic".
        lower: Lower limit.
        upper: Upper limit.
        home: Position at home.
        velocity_limit: Largest speed.
        control_speed: Largest speed that the environment commands.
        effort_limit: Largest torque or force.
        drive_inertia: Apparent inertia that the drive assumes, M̂.
        natural_frequency: Highest natural frequency of a drive that follows the set-point without reaching its effort limit
            [rad/s]. All drives have 40 rad/s, so a smaller number means that the joint lags behind.
    """

    name: str
    kind: str
    lower: float
    upper: float
    home: float
    velocity_limit: float
    control_speed: float
    effort_limit: float
    drive_inertia: float
    natural_frequency: float


@dataclasses.dataclass(frozen=True)
class RobotFacts:
    """An arm, as the environment sees it.

    Attributes:
        name: Name, also the ROS namespace.
        base_link: Root link.
        tool_frame: Link whose origin is the tool centre point.
        chain: The links from the root to the tool.
        joints: The driven joints; the fingers come last.
        gripper: The fingers; None: there are none.
        masses: Link → mass [kg], with the links that were fused into it.
        reach: Largest distance of the tool from the base's origin in random poses that are free of collision [m]; 0: none is.
        home_tool: Position of the tool at home, in the base frame [m].
        mount_height: Height of the base above the floor [m].
        free_share: Share of uniformly drawn poses that are free of collision.
        checked_pairs: Pairs of links, or of a link and the floor, whose collisions count.
        excluded_pairs: Pairs whose collisions do not count, with reasons.
        assumptions: What was assumed because the file does not say it.
    """

    name: str
    base_link: str
    tool_frame: str
    chain: tuple[str, ...]
    joints: tuple[JointFacts, ...]
    gripper: Gripper | None
    masses: dict[str, float]
    reach: float
    home_tool: tuple[float, float, float]
    mount_height: float
    free_share: float
    checked_pairs: tuple[tuple[str, str], ...]
    excluded_pairs: tuple[ExcludedPair, ...]
    assumptions: tuple[str, ...]


def collect_facts(robot: RobotSpec) -> RobotFacts:
    """Return the facts of a robot. It takes up to a second: random poses are tested for collisions.

    Args:
        robot: The robot, with its gripper if it has one.
    """
    path = Path(robot.urdf)
    urdf = parse_urdf(read_xml(path), path)
    arm, kinematics, model = robot.chain, Kinematics(robot), CollisionModel(robot, urdf)
    q = np.random.default_rng(0).uniform(robot.range_lower, robot.range_upper, (RANDOM_POSES, robot.dof))
    free = model.is_free(q)
    distances = np.linalg.norm(kinematics.compute_tcp_pose(q[free])[:, :3, 3], axis=1)
    x, y, z = kinematics.compute_tcp_pose(robot.home[None])[0, :3, 3].tolist()
    return RobotFacts(
        name=robot.name,
        base_link=robot.base_link,
        tool_frame=robot.tool_frame,
        chain=(arm.base_link, *(joint.child for joint in find_chain(urdf, robot.tool_frame, path))),
        joints=_list_joints(robot),
        gripper=robot.gripper,
        masses={link.name: link.inertial.mass for link in urdf.links if link.inertial is not None and link.inertial.mass},
        reach=float(distances.max(initial=0.0)),
        home_tool=(x, y, z),
        mount_height=robot.mount_height,
        free_share=float(free.mean()),
        checked_pairs=tuple(model.pairs),
        excluded_pairs=robot.excluded_pairs,
        assumptions=robot.assumptions,
    )


def _list_joints(robot: RobotSpec) -> tuple[JointFacts, ...]:
    # A jump Δv of the set-point's speed makes a drive of natural frequency ω ask for 2ωM̂Δv, as in robots.drive.
    most = robot.effort_limit / (2.0 * robot.drive_inertia * SPEED_CHANGE * robot.control_speed)
    kinds = np.where(robot.is_continuous, "continuous", np.where(robot.is_prismatic, "prismatic", "revolute"))
    columns = (robot.lower, robot.upper, robot.home, robot.velocity_limit, robot.control_speed, robot.effort_limit)
    rows = zip(robot.joint_names, kinds.tolist(), *(c.tolist() for c in (*columns, robot.drive_inertia, most)), strict=True)
    return tuple(JointFacts(*row) for row in rows)


def is_slow(joint: JointFacts) -> bool:
    """Return whether a joint's effort limit is too small for the drive at the control speed."""
    # 1e-9: the default speeds are chosen such that the frequency is exactly OMEGA.
    return joint.natural_frequency < OMEGA * (1.0 - 1e-9)
