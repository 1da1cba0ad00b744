"""The errors of gym_gazebo2: one small tree, each class with a built-in second parent and its values as attributes.

The second parent lets a caller catch ``ValueError`` or ``RuntimeError`` without knowing this package. A message has two
short sentences: what is wrong, with the value, and what to do.

Python pickles an exception as its class and ``args``, and ``args`` is the finished message. Classes whose constructor takes
other arguments define ``__reduce__``, so that they reach the parent process from a worker unchanged.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "BackendError",
    "GymGazebo2Error",
    "InvalidArgumentError",
    "MiddlewareError",
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
    "WorkerError",
    "WriteError",
]


class GymGazebo2Error(Exception):
    """Base class of every error that gym_gazebo2 raises on purpose."""


class InvalidArgumentError(GymGazebo2Error, ValueError):
    """An argument has an invalid value.

    The message is "{name} is {actual}, expected {expected}." where a noun phrase describes the valid values, else a
    free sentence:

        InvalidArgumentError("steps", 0, "a whole number of at least 1")
        InvalidArgumentError("shards", 4, sentence="shards=4 needs workers. Give --workers, too.")

    Attributes:
        name: Name of the argument.
        actual: The invalid value.
        expected: Description of the valid values; empty where the message is a free sentence.
    """

    def __init__(self, name: str, actual: object, expected: str = "", sentence: str = "") -> None:
        """Store the values and compose the message.

        Args:
            name: Name of the argument.
            actual: The invalid value.
            expected: Noun phrase that describes the valid values.
            sentence: The whole message, in place of the one composed from the other arguments.
        """
        super().__init__(sentence or f"{name} is {actual!r}, expected {expected}.")
        self.name, self.actual, self.expected = name, actual, expected

    def __reduce__(self) -> tuple[type, tuple[str, object, str, str]]:
        """Pickle by the arguments, so that the error crosses process boundaries."""
        return type(self), (self.name, self.actual, self.expected, str(self))


class UnknownNameError(GymGazebo2Error, ValueError):
    """A table has no row of this name.

    Attributes:
        kind: The kind of the table's rows, such as "robot".
        name: The unknown name.
        available: The names that exist.
        advice: A further sentence on what to do.
    """

    def __init__(self, kind: str, name: object, available: Iterable[str], advice: str = "") -> None:
        """Store the values and compose the message, with the nearest name if one is similar."""
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
    """Calls came in an invalid order, such as a step before the first reset."""


class UnsupportedError(GymGazebo2Error, NotImplementedError):
    """A backend does not support an optional operation, such as rendering."""


class BackendError(GymGazebo2Error, RuntimeError):
    """A simulator or robot died, hangs, or reports impossible values."""


class WorkerError(GymGazebo2Error, RuntimeError):
    """Workers of a distributed training cannot be reached, do not start, or are lost again and again."""


class RosError(GymGazebo2Error, RuntimeError):
    """ROS 2 is not installed or cannot start, or this machine has no free domain."""


class MiddlewareError(RosError):
    """A variable of the shell names a middleware of ROS 2 that is not installed, or settings of it that cannot be read."""


class RenderError(GymGazebo2Error, RuntimeError):
    """This machine cannot render: it has no display, or no OpenGL."""


class RunError(GymGazebo2Error, ValueError):
    """A run folder or model file is missing, incomplete, corrupt, or belongs to something else."""


class WriteError(RunError):
    """A file cannot be written.

    Attributes:
        path: The file.
        reason: The problem, in the operating system's words.
        advice: What to do, in sentences.
    """

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        """Store the values and compose the message."""
        super().__init__(f"Cannot write {path}: {reason}. {advice}")
        self.path, self.reason, self.advice = path, reason, advice

    def __reduce__(self) -> tuple[type, tuple[Path, str, str]]:
        """Pickle by the arguments."""
        return type(self), (self.path, self.reason, self.advice)


class NonFiniteError(GymGazebo2Error, FloatingPointError):
    """A training met NaN or infinity.

    Attributes:
        what: The values that are not finite, such as "rewards".
        steps: Environment steps until then.
        advice: Likely causes, and what to do.
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
        extra: The extra of gym_gazebo2 that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        """Store the values and compose the message with the install command."""
        super().__init__(f"The package {package!r} is not installed. Install it with: pip install 'gym_gazebo2[{extra}]'")
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle by the arguments."""
        return type(self), (self.package, self.extra)
