"""Contacts of an arm in given poses, without a simulator, and the pairs of links whose contacts do not count."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_gazebo2.robots.convex import find_touching
from gym_gazebo2.robots.meshes import read_stl_vertices
from gym_gazebo2.robots.motion import JointMotion
from gym_gazebo2.robots.source import read_xml
from gym_gazebo2.robots.spec import FLOOR, ExcludedPair, RobotSpec
from gym_gazebo2.robots.urdf import find_joint, parse_urdf

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["AT_HOME", "CollisionModel", "list_neighbours", "list_shape_points"]

Array = NDArray[np.float64]

CYLINDER_SIDES = 32
"""A cylinder is replaced by the prism with this many sides around it. Its edges are 0.5 % of the radius outside the
cylinder."""
CHUNK = 4096
"""Pairs of shapes that are compared at once: some 30 MB."""
ALWAYS = 0.95
"""Links that touch in this share of random poses touch by design, as in MoveIt's setup assistant."""
AT_HOME = "in touch at home"
"""Reason of pairs of links that touch at the home pose."""
RANDOM_POSES = 100
HOME_MARGIN = 1e-3
"""Links that are this near at the home pose count as in touch there [m]."""


@dataclasses.dataclass(frozen=True)
class _Shape:
    """A convex shape: the hull of points (p, 3) in the frame of a joint (−1 is the base), and a radius around it [m]."""

    link: str
    joint: int
    points: Array
    radius: float


class CollisionModel:
    """The collision shapes of one arm, and the floor.

    Attributes:
        pairs: Pairs of links that can touch: at least one of them moves relative to the other. ``FLOOR`` comes first in a pair.
    """

    def __init__(self, robot: RobotSpec, urdf: yourdfpy.Robot | None = None) -> None:
        """Collect the shapes.

        Args:
            robot: The arm. Its ``excluded_pairs`` are left out of ``pairs``.
            urdf: Its parsed URDF; None: it is read from the robot's file.
        """
        if urdf is None:
            urdf = parse_urdf(read_xml(Path(robot.urdf)), Path(robot.urdf))
        self.robot, self._motion = robot, JointMotion(robot)
        self._shapes = list(_list_shapes(robot, urdf))
        excluded = {frozenset((pair.link1, pair.link2)) for pair in robot.excluded_pairs}
        moving = {shape.link: shape.joint for shape in self._shapes}
        possible = [(FLOOR, link) for link, joint in moving.items() if joint >= 0]
        possible += [(a, b) for a, b in itertools.combinations(moving, 2) if moving[a] != moving[b]]
        self.pairs = [pair for pair in possible if frozenset(pair) not in excluded]
        index = {pair: i for i, pair in enumerate(self.pairs)}
        self._tests = [
            (i, j, index[a.link, b.link])
            for (i, a), (j, b) in itertools.combinations(enumerate(self._shapes), 2)
            if (a.link, b.link) in index
        ]
        self._floor_tests = [(i, index[FLOOR, a.link]) for i, a in enumerate(self._shapes) if (FLOOR, a.link) in index]
        self._prepare()

    def _prepare(self) -> None:
        """Pad the shapes' points to one array: the first point is repeated, which does not change the hull."""
        most = max((len(shape.points) for shape in self._shapes), default=1)
        rows = [np.concatenate([s.points, np.repeat(s.points[:1], most - len(s.points), axis=0)]) for s in self._shapes]
        self._points = np.array(rows).reshape(-1, most, 3)
        self._radius = np.array([shape.radius for shape in self._shapes])
        self._joint = np.array([shape.joint for shape in self._shapes], dtype=int)
        # Spheres around the shapes leave out most pairs before the exact test.
        self._centre = (self._points.min(axis=1) + self._points.max(axis=1)) / 2
        self._ball = np.linalg.norm(self._points - self._centre[:, None], axis=2).max(axis=1, initial=0.0) + self._radius

    def find_contacts(self, q: ArrayLike, margin: float = 0.0) -> NDArray[np.bool_]:
        """Return which pairs of links touch in which poses.

        Args:
            q: (n, dof) joint positions [rad or m].
            margin: Distance up to which links count as in touch [m].

        Returns:
            (n, len(pairs)) bool.
        """
        q = np.atleast_2d(np.asarray(q, dtype=float))
        touching = np.zeros((len(q), len(self.pairs)), dtype=bool)
        if not self._shapes:
            return touching
        joints = self._motion.compute_joint_poses(q)
        base = np.tile(np.eye(4), (1, len(q), 1, 1))
        T = np.concatenate([joints, base])[self._joint]  # (shapes, n, 4, 4); joint −1 is the last entry: the base
        for shape, pair in self._floor_tests:
            points = T[shape][:, 2, :3] @ self._points[shape].T + T[shape][:, 2, 3:]
            touching[:, pair] |= points.min(axis=1) - self._radius[shape] + self.robot.mount_height <= margin
        self._test_shapes(T, margin, touching)
        return touching

    def is_free(self, q: ArrayLike, margin: float = 0.0) -> NDArray[np.bool_]:
        """Return in which poses (n, dof) nothing touches, (n,)."""
        free: NDArray[np.bool_] = np.logical_not(np.any(self.find_contacts(q, margin), axis=1))
        return free

    def _test_shapes(self, T: Array, margin: float, touching: NDArray[np.bool_]) -> None:
        """Mark the pairs of links of which two shapes touch, given the shapes' poses (shapes, n, 4, 4)."""
        tests = np.array(self._tests, dtype=int).reshape(-1, 3)
        centre = np.einsum("snij,sj->sni", T[..., :3, :3], self._centre) + T[..., :3, 3]
        gap = np.linalg.norm(centre[tests[:, 0]] - centre[tests[:, 1]], axis=2)
        near = gap <= (self._ball[tests[:, 0]] + self._ball[tests[:, 1]] + margin)[:, None]
        which, pose = np.nonzero(near)
        for start in range(0, len(which), CHUNK):
            part = slice(start, start + CHUNK)
            a, b, pair = tests[which[part]].T
            T_a, T_b = T[a, pose[part]], T[b, pose[part]]
            distance = self._radius[a] + self._radius[b] + margin
            found = find_touching(self._points[a], self._points[b], _invert(T_a) @ T_b, distance)
            touching[pose[part][found], pair[found]] = True

    def list_always_touching(self) -> list[ExcludedPair]:
        """Return the pairs that touch in nearly every random pose."""
        return [
            ExcludedPair(*pair, f"in touch in {100 * value:.0f} % of random poses")
            for pair, value in zip(self.pairs, self._compute_shares(0.0), strict=True)
            if value >= ALWAYS
        ]

    def find_always_near(self, margin: float) -> NDArray[np.bool_]:
        """Return which pairs (len(pairs),) are nearer than a distance [m] in nearly every random pose."""
        return self._compute_shares(margin) >= ALWAYS

    def _compute_shares(self, margin: float) -> Array:
        """Return the share of random poses in which each pair (len(pairs),) is in touch, or nearer than a margin [m]."""
        robot = self.robot
        q = np.random.default_rng(0).uniform(robot.range_lower, robot.range_upper, (RANDOM_POSES, robot.dof))
        shares: Array = self.find_contacts(q, margin).mean(axis=0)
        return shares

    def compute_lowest_of_base(self) -> float:
        """Return the lowest point of the shapes that never move, in the base frame; 0 without such shapes [m]."""
        return min((float(s.points[:, 2].min()) - s.radius for s in self._shapes if s.joint < 0), default=0.0)

    def list_touching_at(self, q: Array) -> list[ExcludedPair]:
        """Return the pairs that touch at one pose (dof,)."""
        touching = self.find_contacts(q, HOME_MARGIN)[0]
        return [ExcludedPair(*pair, AT_HOME) for pair, hit in zip(self.pairs, touching, strict=True) if hit]


def list_neighbours(urdf: yourdfpy.Robot) -> list[ExcludedPair]:
    """Return the pairs of links with shapes that a joint connects."""
    solid = {link.name for link in urdf.links if link.collisions}
    return [ExcludedPair(j.parent, j.child, "neighbours") for j in urdf.joints if {j.parent, j.child} <= solid]


def list_shape_points(robot: RobotSpec, urdf: yourdfpy.Robot) -> list[tuple[int, Array]]:
    """Return the corners (p, 3) of every collision shape, in the frame of the joint that moves it, and that joint's index."""
    return [(shape.joint, shape.points) for shape in _list_shapes(robot, urdf)]


def _list_shapes(robot: RobotSpec, urdf: yourdfpy.Robot) -> list[_Shape]:
    shapes = []
    for link in urdf.links:
        joint, T = find_joint(link.name, urdf, robot.joint_names)
        for collision in link.collisions:
            points, radius = _make_points(collision.geometry, Path(robot.urdf).parent)
            T_shape = T if collision.origin is None else T @ collision.origin
            shapes.append(_Shape(link.name, joint, points @ T_shape[:3, :3].T + T_shape[:3, 3], radius))
    return shapes


def _make_points(geometry: yourdfpy.Geometry, folder: Path) -> tuple[Array, float]:
    """Return the points of a shape, and the radius around them [m]."""
    if geometry.box is not None:
        return np.array(list(itertools.product([-0.5, 0.5], repeat=3))) * geometry.box.size, 0.0
    if geometry.cylinder is not None:
        angle = np.arange(CYLINDER_SIDES) * 2.0 * np.pi / CYLINDER_SIDES
        radius = geometry.cylinder.radius / np.cos(np.pi / CYLINDER_SIDES)
        ring = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(CYLINDER_SIDES)], axis=1)
        top = np.array([0.0, 0.0, geometry.cylinder.length / 2])
        return np.concatenate([ring + top, ring - top]), 0.0
    if geometry.sphere is not None:
        return np.zeros((1, 3)), float(geometry.sphere.radius)
    return read_stl_vertices(folder / geometry.mesh.filename), 0.0


def _invert(T: Array) -> Array:
    """Return the inverses of transforms (n, 4, 4)."""
    R = T[:, :3, :3].swapaxes(1, 2)
    inverse = np.tile(np.eye(4), (len(T), 1, 1))
    inverse[:, :3, :3] = R
    inverse[:, :3, 3] = -np.einsum("nij,nj->ni", R, T[:, :3, 3])
    return inverse
