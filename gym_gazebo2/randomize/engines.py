"""Check which parts an engine can vary, as soon as an environment is made and not only at its first reset."""

from __future__ import annotations

import dataclasses
from typing import Any

from gym_gazebo2.errors import InvalidArgumentError, UnsupportedError
from gym_gazebo2.randomize.ranges import FACTORS, Randomize
from gym_gazebo2.scene import Scene

__all__ = ["check_engine"]

OF_OBJECTS = (*FACTORS, "size")
"""Parts that need objects."""


def check_engine(randomize: Randomize | None, scene: Scene | None, engine: Any) -> None:
    """Check that a scene and an engine have what is to be varied.

    Args:
        randomize: The ranges; None: nothing varies.
        scene: The task's scene.
        engine: A backend, its class, or a factory. A factory without ``object_factors`` is not checked: check the backend that
            it makes.

    Raises:
        InvalidArgumentError: Properties of objects vary, and the task has no objects.
        UnsupportedError: The engine cannot change a property of objects from one episode to the next.
    """
    if randomize is None:
        return
    asked = [name for name in OF_OBJECTS if name in randomize.parts]
    if asked and (scene is None or not scene.num_objects):
        sentence = f"randomize has {_join(asked)}, but the task has no objects. Leave {_join(asked)} out."
        raise InvalidArgumentError("randomize", asked, sentence=sentence)
    can = getattr(engine, "object_factors", FACTORS)
    refused = [name for name in FACTORS if name in asked and name not in can]
    if not refused:
        return
    name = engine.__name__ if isinstance(engine, type) else type(engine).__name__
    possible = [field.name for field in dataclasses.fields(Randomize) if field.name not in FACTORS or field.name in can]
    raise UnsupportedError(
        f"The backend {name} cannot change the {_join(refused)} of objects from one episode to the next. "
        f"There, randomize can have: {', '.join(possible)}. Backend 'mujoco' can change all."
    )


def _join(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
