"""Merge links that are fixed to each other into one link of the model: DART then has one body for each rigid body.

Fewer bodies cost less time. And gz-sim has only 16 bits for the pairs of links that collide. Pairs inside one link need no bit.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gym_gazebo2.gazebo.collide_bits import Pair
from gym_gazebo2.gazebo.links import Array, Inertial, ModelLink, RobotModel

if TYPE_CHECKING:
    import yourdfpy

__all__ = ["MergedModel", "merge_rigid"]


@dataclasses.dataclass(frozen=True)
class MergedModel:
    """A robot's model with one link for each rigid body, or a few where shapes could not collide otherwise.

    Links that are fixed to the ground become two: the link that carries the first joint, and all others.

    Attributes:
        links: Links of the model.
        joints: Joints between them, as (joint, parent, child).
        owners: Name of a link → the URDF's links that its collision shapes belong to, in their order.
        ignoring_floor: Always empty: in gz-sim, bit masks exclude contacts with the floor.
    """

    links: list[ModelLink]
    joints: list[tuple[yourdfpy.Joint, str, str]]
    owners: dict[str, list[str]]
    ignoring_floor: frozenset[str] = frozenset()

    @property
    def jointed(self) -> set[Pair]:
        """Pairs of links that a joint connects, between which DART finds no collisions."""
        return {frozenset((parent, child)) for _, parent, child in self.joints}

    @property
    def body_of(self) -> dict[str, str]:
        """Link of the URDF with collision shapes → link of the model."""
        return {owner: body for body, owners in self.owners.items() for owner in owners}


def merge_rigid(model: RobotModel) -> MergedModel:
    """Return the model with the links of each rigid body merged into its first one.

    DART finds no collisions between two links that a joint connects. In the URDF that is one pair of links, but of merged links
    it is more pairs. So a link stays apart where such a pair must collide.
    """
    apart: set[str] = set()
    while True:
        merged = _merge_all(model, apart)
        more = set(_find_apart(model, merged))
        if not more:
            return merged
        apart |= more


def _find_apart(model: RobotModel, merged: MergedModel) -> Iterator[str]:
    """Yield links that must stay apart: one of each pair that should collide, but is in links that a joint connects."""
    neighbours = {frozenset((parent, child)) for _, parent, child in model.joints}
    carriers = {child: parent for _, parent, child in model.joints}
    body_of, jointed, ignored = merged.body_of, merged.jointed, {frozenset(pair) for pair in model.excluded} | neighbours
    for pair in itertools.combinations(body_of, 2):
        if frozenset(pair) in ignored or frozenset(body_of[name] for name in pair) not in jointed:
            continue
        # Split off a link that was merged into another one. If neither of the pair was merged, a third link was: the parent of
        # the joint that connects their bodies. Then split off this one.
        candidates = [name for name in pair if body_of[name] != name]
        candidates += [carriers[name] for name in pair if name in carriers and carriers[name] not in pair]
        yield candidates[0]


def _merge_all(model: RobotModel, apart: set[str]) -> MergedModel:
    top = {child: parent for joint, parent, child in model.joints if joint.type == "fixed" and child not in apart}
    carriers = {parent for joint, parent, _ in model.joints if joint.type != "fixed"}
    others = [link.name for link in model.links if link.is_fixed and link.name not in carriers]
    top |= {name: others[0] for name in others[1:]}
    bodies: dict[str, list[ModelLink]] = {}
    for link in sorted(model.links, key=lambda link: link.name in top):  # the first link of each body comes first
        bodies.setdefault(_find_top(link.name, top), []).append(link)
    joints = [(joint, _find_top(parent, top), child) for joint, parent, child in model.joints if child not in top]
    owners = {name: [part.name for part in parts for _ in part.collisions] for name, parts in bodies.items()}
    return MergedModel([_merge(parts) for parts in bodies.values()], joints, owners)


def _find_top(name: str, top: dict[str, str]) -> str:
    while name in top:
        name = top[name]
    return name


def _merge(parts: list[ModelLink]) -> ModelLink:
    first = parts[0]
    to_first = {part.name: np.linalg.inv(first.T_in_base) @ part.T_in_base for part in parts}
    collisions = [
        dataclasses.replace(shape, origin=to_first[part.name] @ (np.eye(4) if shape.origin is None else shape.origin))
        for part in parts
        for shape in part.collisions
    ]
    visuals = [(to_first[part.name] @ T, visual) for part in parts for T, visual in part.visuals]
    return dataclasses.replace(first, collisions=tuple(collisions), visuals=tuple(visuals), inertial=_add(parts, to_first))


def _add(parts: list[ModelLink], to_first: dict[str, Array]) -> Inertial | None:
    """Return the masses of links as one, in a frame with the first link's axes at their common centre."""
    given = [(to_first[part.name] @ part.inertial.T_com_in_link, part.inertial) for part in parts if part.inertial is not None]
    mass = sum(inertial.mass for _, inertial in given)
    if not mass:
        return None
    T_com, inertia = np.eye(4), np.zeros((3, 3))
    T_com[:3, 3] = sum(inertial.mass * T[:3, 3] for T, inertial in given) / mass
    for T, inertial in given:
        d = T[:3, 3] - T_com[:3, 3]  # Steiner's theorem
        inertia += T[:3, :3] @ inertial.inertia @ T[:3, :3].T + inertial.mass * (d @ d * np.eye(3) - np.outer(d, d))
    return Inertial(mass, T_com, inertia)
