"""The inertia that a joint's drive has to move, averaged over the workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.robots.motion import JointMotion
from gym_gazebo2.robots.spec import RobotSpec
from gym_gazebo2.robots.urdf import find_joint

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["compute_mean_coupling", "compute_mean_inertia"]

Array = NDArray[np.float64]

INERTIA_POSES = 32
"""Random poses over which the links' inertia about each joint is averaged."""


def compute_mean_inertia(robot: yourdfpy.Robot, moving: Sequence[yourdfpy.Joint], lower: Array, upper: Array) -> Array:
    """Return the inertia about each joint's axis of all links beyond it, averaged over the workspace, (dof,) [kg·m²].

    For a prismatic joint it is the mass of these links [kg].
    """
    import yourdfpy

    urdf = yourdfpy.URDF(robot, load_meshes=False)
    # A fixed seed: every process, and every engine that is given M̂, must see the same number.
    poses = np.random.default_rng(0).uniform(lower, upper, (INERTIA_POSES, len(moving)))
    parents = {joint.child: joint.parent for joint in robot.joints}
    beyond = [[j.child for j in robot.joints if _is_descendant(parents, j.child, joint.child)] for joint in moving]
    inertia = np.zeros(len(moving))
    for q in poses:
        urdf.update_cfg(q)
        for index, joint in enumerate(moving):
            if joint.type == "prismatic":
                inertia[index] += sum(_get_mass(urdf, link) for link in beyond[index])
                continue
            T_joint = urdf.get_transform(joint.child)
            inertia[index] += sum(_compute_inertia_about(urdf, link, T_joint, joint.axis) for link in beyond[index])
    return inertia / len(poses)


def _is_descendant(parents: Mapping[str, str], link: str, ancestor: str) -> bool:
    """Return whether a link is the ancestor itself, or hangs on it."""
    while link != ancestor and link in parents:
        link = parents[link]
    return link == ancestor


def _get_mass(urdf: yourdfpy.URDF, link: str) -> float:
    inertial = urdf.link_map[link].inertial
    return 0.0 if inertial is None or not inertial.mass else float(inertial.mass)


def _compute_inertia_about(urdf: yourdfpy.URDF, link: str, T_joint: Array, axis: Array) -> float:
    """Return one link's inertia about a joint axis, by the parallel-axis theorem (Steiner) [kg·m²]."""
    inertial = urdf.link_map[link].inertial
    if inertial is None or not inertial.mass:
        return 0.0
    T_com = urdf.get_transform(link) @ (np.eye(4) if inertial.origin is None else inertial.origin)
    a = T_joint[:3, :3] @ axis / np.linalg.norm(axis)
    r = T_com[:3, 3] - T_joint[:3, 3]
    I_base = T_com[:3, :3] @ inertial.inertia @ T_com[:3, :3].T
    # aᵀ I a about the centre of mass, plus the mass times the squared distance of the centre of mass from the axis.
    return float(a @ I_base @ a + inertial.mass * (r @ r - (a @ r) ** 2))


def compute_mean_coupling(spec: RobotSpec, robot: yourdfpy.Robot) -> Array:
    """Return the mean size of the entries of the links' mass matrix over the workspace, (dof, dof).

    Entry (i, j) is the torque at joint i per acceleration of joint j.
    """
    motion = JointMotion(spec)
    q = np.random.default_rng(0).uniform(spec.range_lower, spec.range_upper, (INERTIA_POSES, spec.dof))
    T = motion.compute_joint_poses(q)
    axes = (T[..., :3, :3] @ spec.axis[:, None, :, None])[..., 0]  # (dof, n, 3) in the base frame
    mass_matrix = np.zeros((len(q), spec.dof, spec.dof))
    for link in robot.links:
        joint, T_link = find_joint(link.name, robot, spec.joint_names)
        if joint < 0 or link.inertial is None or not link.inertial.mass:
            continue
        T_com = T[joint] @ T_link @ (np.eye(4) if link.inertial.origin is None else link.inertial.origin)
        R = T_com[:, :3, :3]
        # Columns of the Jacobians of this link's centre of mass: only the joints before the link move it.
        before = np.arange(spec.dof) <= joint
        slides = spec.is_prismatic[:, None, None]
        linear = np.where(slides, axes, np.cross(axes, T_com[:, :3, 3] - T[..., :3, 3])) * before[:, None, None]
        angular = np.where(slides, 0.0, axes) * before[:, None, None]
        turning = np.einsum("nij,jk,nlk->nil", R, link.inertial.inertia, R)
        mass_matrix += link.inertial.mass * np.einsum("ink,jnk->nij", linear, linear)
        mass_matrix += np.einsum("ink,nkl,jnl->nij", angular, turning, angular)
    return np.abs(mass_matrix).mean(axis=0)
