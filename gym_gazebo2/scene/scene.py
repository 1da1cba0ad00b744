"""A scene: what stands around an arm, as data. A task owns it, and every engine builds it."""

from __future__ import annotations

import dataclasses
import functools

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.scene.parts import FixedBox, ObjectKind, Zone
from gym_gazebo2.scene.pool import Pool, make_pool

__all__ = ["Scene"]


@dataclasses.dataclass(frozen=True)
class Scene:
    """Movable objects, fixed boxes and zones. All positions are in the base frame of the robot.

    Attributes:
        kinds: Kinds of the movable objects; together they make the pool.
        num_objects: Number k of objects in an episode, different members of the pool.
        boxes: Fixed boxes.
        zones: Boxes that are only drawn.
        pool_seed: Seed from which the pool is drawn.
        floor_friction: Coefficient of sliding friction of the floor.
    """

    kinds: tuple[ObjectKind, ...]
    num_objects: int = 1
    boxes: tuple[FixedBox, ...] = ()
    zones: tuple[Zone, ...] = ()
    pool_seed: int = 0
    floor_friction: float = 0.5

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidArgumentError: Two parts have the same name, or there are more objects than members of the pool.
        """
        names = [kind.name for kind in self.kinds] + [box.name for box in self.boxes] + [zone.name for zone in self.zones]
        if len(set(names)) != len(names):
            raise InvalidArgumentError("names of the scene", names, "different names")
        count = sum(kind.count for kind in self.kinds)
        if not 0 <= self.num_objects <= count:
            sentence = f"num_objects is {self.num_objects}, but the scene's pool has {count} members. Use at most {count}."
            raise InvalidArgumentError("num_objects", self.num_objects, sentence=sentence)

    @functools.cached_property
    def pool(self) -> Pool:
        """The members from which an episode chooses."""
        return make_pool(self.kinds, self.pool_seed)
