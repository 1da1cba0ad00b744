"""The errors of gym_gazebo2: one small tree, each with a built-in second parent and its values as attributes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BackendError",
    "GymGazebo2Error",
    "InvalidArgumentError",
    "MissingDependencyError",
    "NonFiniteError",
    "RenderError",
    "RobotError",
    "RosError",
    "RunError",
    "UnknownEnvError",
    "UnknownNameError",
    "UnsupportedError",
    "UsageError",
]


class GymGazebo2Error(Exception):
    """Base class of every error that gym_gazebo2 raises on purpose."""


class InvalidArgumentError(GymGazebo2Error, ValueError):
    """An argument has a value that cannot work.

    Attributes:
        name: Name of the argument.
        actual: The value that came.
        expected: What was expected, in words.
    """

    def __init__(self, name: str, actual: object, expected: str) -> None:
        """Store the values and compose the message."""
        super().__init__(f"{name} is {actual!r}, expected {expected}.")
        self.name, self.actual, self.expected = name, actual, expected

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        """Pickle by the arguments, so that the error crosses process boundaries."""
        return type(self), (self.name, self.actual, self.expected)


class UnknownNameError(GymGazebo2Error, ValueError):
    """A name stands in none of the rows of a table.

    Attributes:
        kind: What the table holds, such as "robot".
        name: The name that came.
        available: The names that exist.
        advice: What else to do about it.
    """

    def __init__(self, kind: str, name: object, available: Iterable[str], advice: str = "") -> None:
        """Store the values and compose the message, with the nearest name where there is one."""
        self.kind, self.name, self.available, self.advice = kind, name, tuple(sorted(available)), advice
        near = difflib.get_close_matches(str(name), self.available, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"There is no {kind} {name!r}.{hint} Available: {', '.join(self.available)}. {advice}".rstrip())

    def __reduce__(self) -> tuple[type, tuple[str, object, tuple[str, ...], str]]:
        """Pickle by the arguments."""
        return type(self), (self.kind, self.name, self.available, self.advice)


class UnknownEnvError(UnknownNameError):
    """An environment id is not registered, or the module that registers it cannot be imported."""


class RobotError(GymGazebo2Error, ValueError):
    """A URDF is missing, malformed, or describes something that is not a serial arm."""


class UsageError(GymGazebo2Error, RuntimeError):
    """A call came in an order that cannot work, such as a step before the first reset."""


class UnsupportedError(GymGazebo2Error, NotImplementedError):
    """A backend cannot do an optional thing, such as rendering without physics."""


class BackendError(GymGazebo2Error, RuntimeError):
    """A simulator or robot died, hangs, or answers something absurd."""


class RosError(GymGazebo2Error, RuntimeError):
    """ROS 2 is not installed, or this machine has no free domain."""


class RenderError(GymGazebo2Error, RuntimeError):
    """No picture can be drawn on this machine as it is."""


class RunError(GymGazebo2Error, ValueError):
    """A run folder or model file is missing, incomplete, corrupt, or belongs to something else."""


class NonFiniteError(GymGazebo2Error, FloatingPointError):
    """A training met NaN or infinity.

    Attributes:
        what: What held it, such as "rewards".
        steps: Environment steps until then.
    """

    def __init__(self, what: str, steps: int, advice: str) -> None:
        """Store the values and compose the message."""
        super().__init__(f"Expected finite {what}, got NaN or infinity among them after {steps} steps. {advice}")
        self.what, self.steps, self.advice = what, steps, advice

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        """Pickle by the arguments."""
        return type(self), (self.what, self.steps, self.advice)


class MissingDependencyError(GymGazebo2Error, ImportError):
    """An optional package is not installed.

    Attributes:
        package: The package that is missing.
        extra: The extra of gym_gazebo2 that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        """Store the values and compose the message with the install command."""
        super().__init__(f"The package {package!r} is not installed. Install it with: pip install 'gym_gazebo2[{extra}]'")
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle by the arguments."""
        return type(self), (self.package, self.extra)
