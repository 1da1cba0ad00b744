"""The keywords of an environment, with their defaults and their meaning.

They are defined here once, for ``ArmEnv``, ``ArmVectorEnv`` and the commands alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from gym_gazebo2.backends import BackendFactory
from gym_gazebo2.checks import read_number
from gym_gazebo2.controls import get_control
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.state import CONTROL_DT

__all__ = ["EnvOptions", "make_options"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnvOptions:
    """Keywords that ``gym.make``, ``gym.make_vec`` and ``ArmEnv`` accept for every id of this package.

    Attributes:
        backend: Name of a row of ``BACKENDS``, or a factory of backends.
        control: Meaning of actions, a row of ``CONTROLS``.
        control_dt: Control period [s]: the simulated time of one step.
        goal: Fixed goal in place of the task's own. Reach tasks: position (3,) [m] in the base frame, or (7,) with a
            quaternion wxyz where the task asks for an orientation.
        start_noise: Half-width of the uniform noise on the start pose [rad].
        backend_options: Further keywords of the backend, such as ``physics_dt`` or ``on_failure``.
    """

    backend: str | BackendFactory = "mujoco"
    control: str = "delta"
    control_dt: float = CONTROL_DT
    goal: ArrayLike | None = None
    start_noise: float = 0.0
    backend_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check the values that the backend and the task do not check themselves.

        Raises:
            UnknownNameError: ``CONTROLS`` has no such row.
            InvalidArgumentError: ``start_noise`` or ``backend_options`` has an invalid value.
        """
        get_control(self.control)
        noise = read_number("start_noise", self.start_noise, "a finite half-width of at least 0 rad", lambda x: x >= 0)
        object.__setattr__(self, "start_noise", noise)
        object.__setattr__(self, "backend_options", _check_backend_options(self.backend_options))


def make_options(keywords: Mapping[str, Any]) -> EnvOptions:
    """Return the options of a dictionary of keywords.

    Raises:
        UnknownNameError: There is no such keyword, or no such row of a table.
        InvalidArgumentError: A value is invalid.
    """
    names = [field.name for field in dataclasses.fields(EnvOptions)]
    for name in keywords:
        if name not in names:
            raise UnknownNameError("keyword of the environment", name, [*names, "render_mode"])
    return EnvOptions(**keywords)


def _check_backend_options(options: Any) -> dict[str, Any]:
    is_mapping = isinstance(options, Mapping) and all(isinstance(name, str) for name in options)
    if options is not None and not is_mapping:
        raise InvalidArgumentError("backend_options", options, "a dictionary of the backend's keywords, by name")
    # These two are arguments of the environment. Given twice, the backend and the environment could disagree on them.
    if repeated := sorted({"num_envs", "control_dt"} & set(options or {})):
        sentence = (
            f"backend_options holds {', '.join(repeated)}, which the environment passes to the backend itself. "
            "Give it to gym.make or gym.make_vec instead."
        )
        raise InvalidArgumentError("backend_options", options, sentence=sentence)
    return dict(options or {})
