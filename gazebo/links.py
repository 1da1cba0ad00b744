"""Choose the links and joints of a robot's model in Gazebo, and the pairs of links that must not collide.

Every body costs time in Gazebo, and a body without mass cannot be solved. So links that are only frames are left out, and
links that are fixed to the ground need no joint.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.robots.spec import FLOOR

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["Array", "Inertial", "ModelLink", "RobotModel"]

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Inertial:
    """A mass with its inertia.

    Attributes:
        mass: Mass [kg].
        T_com_in_link: (4, 4) pose of the frame at the centre of mass in which the inertia is given.
        inertia: (3, 3) inertia about the centre of mass [kg·m²].
    """

    mass: float
    T_com_in_link: Array
    inertia: Array


@dataclasses.dataclass(frozen=True)
class ModelLink:
    """A link of the model.

    Attributes:
        name: Its name.
        T_in_base: (4, 4) pose in the base frame, all joints at zero.
        is_fixed: Whether it is fixed to the ground.
        inertial: Its mass; None where it has none of its own.
        collisions: Its collision shapes.
        visuals: Its visual shapes, each with its pose (4, 4) in the link.
    """

    name: str
    T_in_base: Array
    is_fixed: bool
    inertial: Inertial | None
    collisions: tuple[yourdfpy.Collision, ...]
    visuals: tuple[tuple[Array, yourdfpy.Visual], ...]


class RobotModel:
    """The links and joints of a robot's model in Gazebo.

    Attributes:
        links: Links of the model: every link with collision shapes, every parent and child of a moving joint, and the tool
            frame. Also moving links with mass, and links with visual shapes that are fixed to the ground.
        joints: Joints between them, as (joint, parent, child). A joint between links that are fixed to the ground is left out.
        excluded: Pairs of links that Gazebo must not collide, beside those that a joint connects.
        ignoring_floor: Names of moving links whose contacts with the floor do not count.
    """

    def __init__(self, robot: RobotSpec) -> None:
        """Read the URDF of a robot."""
        import yourdfpy

        urdf = yourdfpy.URDF.load(robot.urdf, load_meshes=False, build_collision_scene_graph=False)
        urdf.update_cfg(np.zeros(robot.dof))  # SDF describes the model in its zero pose
        self._T = {link.name: urdf.get_transform(link.name) for link in urdf.robot.links}
        self._by_child = {joint.child: joint for joint in urdf.robot.joints}
        self._moving_ends = {end for j in urdf.robot.joints if j.type != "fixed" for end in (j.parent, j.child)}
        kept = [link for link in urdf.robot.links if self._is_kept(link, robot.tool_frame)]
        self._names = {link.name for link in kept}
        visuals, inertials = self._gather_visuals(urdf.robot.links), self._gather_inertials(kept)
        self.links = [
            ModelLink(
                link.name,
                self._T[link.name],
                self._is_fixed(link.name),
                inertials.get(link.name),
                tuple(link.collisions),
                tuple(visuals[link.name]),
            )
            for link in kept
        ]
        self.joints = [
            (joint, self._find_kept(joint.parent), joint.child)
            for joint in urdf.robot.joints
            if joint.child in self._names and not self._is_fixed(joint.child)
        ]
        self.excluded = list(self._list_excluded(robot))
        self.ignoring_floor = {pair.link2 for pair in robot.excluded_pairs if pair.link1 == FLOOR}

    def _is_kept(self, link: yourdfpy.Link, tool_frame: str) -> bool:
        if link.collisions or link.name in self._moving_ends or link.name == tool_frame:
            return True
        # A moving link is kept if it has mass. A link that is fixed to the ground is kept if it has visual shapes, because no
        # other link could carry them.
        return bool(link.visuals) if self._is_fixed(link.name) else link.inertial is not None

    def _is_fixed(self, name: str) -> bool:
        return self._find_top(name) not in self._by_child

    def _find_top(self, name: str) -> str:
        """Return the first link of a link's rigid body: the root, or the link that a moving joint carries."""
        while name in self._by_child and self._by_child[name].type == "fixed":
            name = self._by_child[name].parent
        return name

    def _find_kept(self, name: str) -> str:
        """Return the nearest link of the model, on the way from a moving link to its rigid body's first link."""
        while name not in self._names:
            name = self._by_child[name].parent
        return name

    def _gather_visuals(self, links: list[yourdfpy.Link]) -> dict[str, list[tuple[Array, yourdfpy.Visual]]]:
        """Return link → visual shapes with their poses in it: its own, and those of links that are left out."""
        visuals: dict[str, list[tuple[Array, yourdfpy.Visual]]] = {name: [] for name in self._names}
        for link in links:
            for shape in link.visuals:
                name = self._find_kept(link.name)
                T = np.eye(4) if shape.origin is None else shape.origin
                visuals[name].append((T if name == link.name else self._move(T, link.name, name), shape))
        return visuals

    def _gather_inertials(self, links: list[yourdfpy.Link]) -> dict[str, Inertial]:
        """Return link → mass. The mass of a rigid body is divided equally among its first link and its links with shapes.

        `fuse` put the mass of a rigid body into its first link. In Gazebo, each link of that body with shapes needs mass. The
        shares have the same centre of mass, so the body as a whole keeps mass, centre and inertia exactly. Giving the other
        links a very small mass instead would be inexact, and the solver loses precision if a light body is fixed to a heavy
        one.
        """
        inertials = {link.name: _read_inertial(link.inertial) for link in links if link.inertial is not None}
        sharing: dict[str, list[str]] = {}
        for link in links:
            if link.inertial is None and link.collisions and not self._is_fixed(link.name):
                sharing.setdefault(self._find_top(link.name), []).append(link.name)
        for top, others in sharing.items():
            whole, count = inertials[top], 1 + len(others)
            for name in (top, *others):
                T = self._move(whole.T_com_in_link, top, name) if name != top else whole.T_com_in_link
                inertials[name] = Inertial(whole.mass / count, T, whole.inertia / count)
        return inertials

    def _move(self, T: Array, source: str, target: str) -> Array:
        """Return a pose in one link (4, 4) as a pose in another, all joints at zero."""
        moved: Array = np.linalg.inv(self._T[target]) @ self._T[source] @ T
        return moved

    def _list_excluded(self, robot: RobotSpec) -> Iterator[tuple[str, str]]:
        """Yield the robot's excluded pairs, and the pairs of one rigid body, which no engine collides."""
        shapes = [link.name for link in self.links if link.collisions]
        listed = {frozenset((pair.link1, pair.link2)) for pair in robot.excluded_pairs}
        connected = {frozenset((parent, child)) for _, parent, child in self.joints}
        for pair in itertools.combinations(shapes, 2):
            is_rigid = self._find_top(pair[0]) == self._find_top(pair[1])
            if (is_rigid or frozenset(pair) in listed) and frozenset(pair) not in connected:
                yield pair


def _read_inertial(inertial: yourdfpy.Inertial) -> Inertial:
    T = np.eye(4) if inertial.origin is None else inertial.origin
    return Inertial(float(inertial.mass), T, inertial.inertia)
