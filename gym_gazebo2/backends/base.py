"""The boundary to simulators and robots: a backend moves a batch of arms by exactly one control period.

Only NumPy arrays and ``ArmState`` cross it, never a type of a simulator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.objects import SceneObjects
from gym_gazebo2.checks import read_number, read_whole
from gym_gazebo2.contract import NANOSECONDS, OMEGA
from gym_gazebo2.errors import BackendError, InvalidArgumentError, UnsupportedError, UsageError
from gym_gazebo2.ownership import Owner
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import CONTROL_DT, ArmState, Placement

__all__ = ["NANOSECONDS", "OMEGA", "Backend", "count_substeps", "read_control_dt", "read_num_envs"]

Array = NDArray[np.float64]

ROUNDING_TOLERANCE = 1e-9
"""Set-points may pass a limit by this much [rad]: the environment's own clipping rounds."""
ABSURD_POSITION = 0.5
"""A joint that is reported this far outside its limits is a failure of the simulator [rad].

The engines' limits act like stiff springs, and give way by less."""
ABSURD_SPEED = 1e3
"""A joint that is reported to be this fast is a failure of the simulator [rad/s]."""


class Backend(ABC):
    """Base class of backends.

    ``FakeBackend`` is the reference for the semantics. ``gym_gazebo2.testing.check_backend`` tests any backend against them.

    Attributes:
        robot: The arm.
        scene: What stands around each arm; None: only the floor.
        num_envs: Number of arms n in the batch.
        control_dt: Control period [s]; every step advances simulated time by exactly this.
        lock_step: Whether time stands still between steps. False for robots and free-running simulators.
        num_restarts: Number of times the simulator was restarted after a failure. Each restart ends the current episodes.
        max_envs: Largest number of arms that one backend moves; None: any number.
        is_shared: Whether a second instance would command the same arm, as with a robot. Training refuses such a backend.
        is_restartable: Whether a new instance starts a simulator of its own, as ``on_failure="restart"`` needs.
        is_tied_to_process: Whether a fork of the process cannot use it: it has threads, sockets or a simulator. Calls in a fork
            are then refused, and ``close`` must leave what belongs to the parent alone.
        object_factors: Properties of objects that a placement can change by a factor: "friction", "mass". The default is none.
        window: Keywords of ``gymnasium.make`` that show the arm in a window; empty if the simulator has its own window.
    """

    lock_step: bool = True
    num_restarts: int = 0
    max_envs: int | None = None
    is_shared: bool = False
    is_restartable: bool = False
    is_tied_to_process: bool = False
    object_factors: tuple[str, ...] = ()
    window: Mapping[str, Any] = MappingProxyType({"render_mode": "human"})

    def __init__(self, robot: RobotSpec, num_envs: int = 1, control_dt: float = CONTROL_DT, scene: Scene | None = None) -> None:
        """Validate and store the sizes.

        Raises:
            InvalidArgumentError: ``num_envs`` is not a positive integer, or more than ``max_envs``; or ``control_dt`` is not
                between 1e-6 and 10 s.
        """
        self.robot, self.num_envs, self.scene = robot, read_num_envs(num_envs, self.max_envs), scene
        self.num_objects = 0 if scene is None else scene.num_objects
        self._objects = (
            SceneObjects(scene, self.num_envs, -robot.mount_height) if scene is not None and self.num_objects else None
        )
        self.control_dt = read_control_dt(control_dt)
        self.control_dt_ns = round(self.control_dt * NANOSECONDS)
        self.is_closed, self._owner = False, Owner()
        # The limits of the checks are computed once: the checks run in every step, for batches of thousands of arms.
        self._was_reset, self._is_ready = np.zeros(self.num_envs, dtype=bool), False
        tolerance = ROUNDING_TOLERANCE * robot.scale
        self._lower, self._upper = robot.lower - tolerance, robot.upper + tolerance
        self._max_step = robot.velocity_limit * self.control_dt + tolerance
        self._middle = (robot.lower + robot.upper) / 2
        self._absurd = (robot.upper - robot.lower) / 2 + ABSURD_POSITION * robot.scale

    @property
    def q_setpoint(self) -> Array:
        """(n, dof) set-points of the drives at the end of their last ramp [rad], as a copy. Unsupported by default."""
        self._refuse("report its set-points")

    @abstractmethod
    def reset(self, mask: NDArray[np.bool_], q: Array, objects: Placement | None = None) -> ArmState:
        """Put the masked arms at ``q``, at rest, set-point there, time zero; leave the others as they are.

        Args:
            mask: (n,) arms to reset.
            q: (n, dof) joint positions inside the limits [rad]; rows outside the mask are ignored. (n, chain_dof): the fingers
                stay where they are.
            objects: Objects to put in place, at rest; rows outside the mask are ignored. None: objects stay where they are.

        Returns:
            The state of all arms.

        Raises:
            InvalidArgumentError: An array has another shape, or a masked row is NaN or outside the limits; an arm has the same
                member of the pool twice; or an object would be inside something.
            UnsupportedError: A factor of ``objects`` is not one of ``object_factors``.
            UsageError: The backend is closed, or an arm's objects were never placed.
            BackendError: The simulator failed.
        """

    @abstractmethod
    def step(self, q_setpoint: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Ramp the set-points to ``q_setpoint`` over one control period and return the state at its end.

        Args:
            q_setpoint: (n, dof) set-points at the end of the period [rad]. (n, chain_dof): the fingers' set-points stay.
            park: (n, k) bool, objects to take away before the period begins, out of reach and at rest; None: none.

        Returns:
            The state of all arms at the end of the period.

        Raises:
            InvalidArgumentError: The set-points have another shape, are NaN, outside the limits, or faster than the joints'
                velocity limits.
            UsageError: The backend is closed, or an arm was never reset.
            BackendError: The simulator died, hangs, or reports impossible values.
        """

    def step_effort(self, effort: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Apply efforts over one control period, with the drives off, and return the state at its end.

        Each joint is damped by ``RobotSpec.effort_damping``. The set-point is the measured position afterwards, inside the
        limits, so that ``step`` can follow.

        Args:
            effort: (n, dof) efforts [N·m or N], at most the effort limits. (n, chain_dof): no effort at the fingers.
            park: As in ``step``.

        Raises:
            UnsupportedError: The backend has no torque control; the default.
            InvalidArgumentError: The efforts have another shape, are NaN, or beyond the limits.
            UsageError: The backend is closed, or an arm was never reset.
            BackendError: The simulator died, hangs, or reports impossible values.
        """
        self._refuse("apply efforts")

    def check_poses(self, q: Array) -> None:
        """Check that arms can be put at poses.

        Args:
            q: (k, dof) joint positions [rad]; (k, chain_dof) without the fingers'.

        Raises:
            InvalidArgumentError: A position is NaN or outside the limits.
        """
        size = q.shape[-1]
        if not _holds_everywhere((q >= self._lower[:size]) & (q <= self._upper[:size])):
            raise InvalidArgumentError("q", q, f"finite positions from {self.robot.lower} to {self.robot.upper} rad")

    def close(self) -> None:
        """Release all resources. Closing twice is fine."""
        self.is_closed = True

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return everything that ``set_state`` needs to continue bit-equally, as arrays by name.

        Raises:
            UnsupportedError: The backend cannot save its state; the default.
        """
        self._refuse("save its state")

    def set_state(self, state: dict[str, NDArray[Any]]) -> ArmState:
        """Continue from a state that ``get_state`` returned.

        Raises:
            UnsupportedError: The backend cannot restore a state; the default.
        """
        self._refuse("restore a state")

    def camera(self, name: str, width: int, height: int, arms: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """Return the pictures of one camera, one per arm, (n, height, width, 3), or those of the given arms only.

        Raises:
            UnsupportedError: The backend has no cameras; the default.
        """
        self._refuse("show a camera")

    def render(self, mode: str, width: int, height: int) -> NDArray[np.uint8] | None:
        """Draw the first arm: "rgb_array" returns a picture (height, width, 3), "human" shows a window.

        Raises:
            UnsupportedError: The backend cannot draw; the default.
        """
        self._refuse("render")

    def show_goal(self, goal: Array) -> None:  # noqa: B027
        """Show goals (n, 7) in pictures. The default implementation is a no-op."""

    def _refuse(self, operation: str) -> NoReturn:
        raise UnsupportedError(f"The backend {type(self).__name__} cannot {operation}. The 'mujoco' backend can.")

    def _check_reset(
        self, mask: NDArray[np.bool_], q: Array, current: Array | None = None, objects: Placement | None = None
    ) -> tuple[NDArray[np.bool_], Array]:
        """Return validated arrays, and note that the masked arms were reset.

        Args:
            mask: (n,) arms to reset.
            q: (n, dof) or (n, chain_dof) positions [rad].
            current: (n, dof) measured positions, where fingers stay if ``q`` has none [rad]; None refuses that.
            objects: The objects to put in place. They are checked here, and noted by ``_place``.
        """
        self._check_open()
        mask, q = np.asarray(mask), np.asarray(q, dtype=float)
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise InvalidArgumentError("mask", mask, f"{self.num_envs} booleans")
        # A finger that holds something, or that is pushed, may be a little outside its limits.
        stay = None if current is None else np.clip(current, self.robot.lower, self.robot.upper)
        q = self._add_fingers("q", q, stay)
        self.check_poses(q[mask])  # rows outside the mask may hold anything, NaN included
        if self._objects is not None:
            self._check_factors(objects)
            self._objects.check(mask, objects)
        self._was_reset |= mask
        self._is_ready = bool(self._was_reset.all())
        return mask, q

    def _check_factors(self, objects: Placement | None) -> None:
        for name in (objects is not None and objects.factors) or ():
            if name not in self.object_factors:
                self._refuse(f"change the {name} of objects by a factor")

    def _place(self, mask: NDArray[np.bool_], objects: Placement | None) -> Placement | None:
        """Return the checked placement of the masked arms' objects, noted as placed; None if nothing is to be placed.

        Raises:
            InvalidArgumentError: The placement is invalid, or the scene has no objects.
            UsageError: An arm's objects were never placed.
        """
        if self._objects is not None:
            return self._objects.place(mask, objects)
        if objects is not None:
            raise InvalidArgumentError("objects", objects, "None: this backend has no scene with objects")
        return None

    def _take_away(self, park: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Return which objects (n, k) are to be taken away now, noted as parked; None if there are none.

        Raises:
            InvalidArgumentError: The array has another shape or type, or the scene has no objects.
        """
        if park is None or (self._objects is None and not np.any(park)):
            return None
        if self._objects is None:
            raise InvalidArgumentError("park", park, "None: this backend has no scene with objects")
        new = self._objects.park(park)
        return new if new.any() else None

    def _check_step(self, q_setpoint: Array, current: Array) -> Array:
        """Return the validated set-point.

        Args:
            q_setpoint: (n, dof) new set-point [rad].
            current: (n, dof) set-points of the drives at the end of their last ramp [rad]; the speed is computed from it.
        """
        self._check_open()
        if not self._is_ready:
            raise UsageError("step() was called, but not every arm was reset. Call reset() first.")
        q_setpoint = self._add_fingers("q_setpoint", np.asarray(q_setpoint, dtype=float), current)
        # One test for both conditions in the usual case; only an error finds out which one failed.
        inside = (q_setpoint >= self._lower) & (q_setpoint <= self._upper)
        if not _holds_everywhere(inside & (np.abs(q_setpoint - current) <= self._max_step)):
            robot = self.robot
            limits = f"finite positions from {robot.lower} to {robot.upper} rad"
            speed = f"set-points that the joints reach from {current} rad in one period at {robot.velocity_limit} rad/s"
            raise InvalidArgumentError("q_setpoint", q_setpoint, speed if inside.all() else limits)
        return q_setpoint

    def _check_effort(self, effort: Array) -> Array:
        """Return the validated efforts (n, dof)."""
        self._check_open()
        if not self._is_ready:
            raise UsageError("step_effort() was called, but not every arm was reset. Call reset() first.")
        robot = self.robot
        effort = self._add_fingers("effort", np.asarray(effort, dtype=float), np.zeros((self.num_envs, robot.dof)))
        if not _holds_everywhere(np.abs(effort) <= robot.effort_limit * (1.0 + ROUNDING_TOLERANCE)):
            raise InvalidArgumentError(
                "effort", effort, f"finite efforts up to {robot.effort_limit} N·m (N of prismatic joints)"
            )
        return effort

    def _add_fingers(self, name: str, value: Array, fingers: Array | None) -> Array:
        """Return values of all joints (n, dof): the given ones; for fingers that are not given those of ``fingers`` (n, dof).

        Raises:
            InvalidArgumentError: The shape is neither (n, dof) nor (n, chain_dof).
        """
        size = self.robot.chain_dof
        if fingers is not None and size != self.robot.dof and value.shape == (self.num_envs, size):
            return np.concatenate([value, fingers[:, size:]], axis=1)
        self._check_shape(name, value)
        return value

    def _check_shape(self, name: str, value: Array) -> None:
        if value.shape != (self.num_envs, self.robot.dof):
            raise InvalidArgumentError(f"shape of {name}", value.shape, f"{(self.num_envs, self.robot.dof)} (arms, joints)")

    def _check_open(self) -> None:
        if self.is_closed:
            raise UsageError(f"The {type(self).__name__} is closed. Make a new one.")
        if self.is_tied_to_process:
            self._owner.check(type(self).__name__)

    def _check_sane(self, q: Array, dq: Array) -> None:
        """Raise a BackendError if the simulator reports impossible positions or speeds; NaN counts as impossible."""
        sane = (np.abs(q - self._middle) < self._absurd) & (np.abs(dq) < ABSURD_SPEED * self.robot.scale)
        if not _holds_everywhere(sane):
            robot = self.robot
            arm, joint = np.argwhere(~sane)[0]
            position, speed = q[arm, joint], dq[arm, joint]
            # A simulation that diverges has NaN or an absurd speed. A moderate speed beyond a limit has another cause.
            is_diverging = not (np.isfinite(position) and np.abs(speed) < ABSURD_SPEED)
            raise BackendError(
                f"Arm {arm}, joint {robot.joint_names[joint]!r} reports q = {position} rad, dq = {speed} rad/s; "
                f"expected {robot.lower[joint]} to {robot.upper[joint]} rad. {self._advise(is_diverging)}"
            )

    def _advise(self, is_diverging: bool) -> str:
        """Return the cause of an impossible state, and what to do.

        Args:
            is_diverging: Whether the state has NaN or an absurd speed; else a joint is far beyond its limit.
        """
        if is_diverging:
            return "The simulation is unstable: reset it, or use a smaller physics step."
        return (
            "It is beyond its limit, at a possible speed: something pushed it, or its limit or effort limit in the URDF is "
            "wrong. Reset it, and check these."
        )


def _holds_everywhere(condition: NDArray[np.bool_]) -> bool:
    """Return ``condition.all()``, in half the time on small arrays.

    Conditions are written as "is inside", so that a comparison with NaN, which is always false, counts as a violation.
    """
    return bool(np.logical_and.reduce(condition, axis=None))


def read_control_dt(control_dt: Any) -> float:
    """Return a control period [s].

    Raises:
        InvalidArgumentError: It is not a number between 1e-6 and 10 s.
    """
    return read_number("control_dt", control_dt, "a control period between 1e-6 and 10 s", lambda dt: 1e-6 <= dt < 10.0)


def read_num_envs(num_envs: Any, most: int | None = None) -> int:
    """Return a number of arms from 1 to ``most``.

    Raises:
        InvalidArgumentError: It is not a whole number, or outside the range.
    """
    num_envs = read_whole("num_envs", num_envs)
    if most is not None and num_envs > most:
        expected = f"at most {most}: this backend moves one arm per process, so use make_vec_env(id, {num_envs}, vec='subproc')"
        raise InvalidArgumentError("num_envs", num_envs, expected)
    return num_envs


def count_substeps(control_dt: float, physics_dt: float) -> int:
    """Return the number of physics steps per control period.

    Args:
        control_dt: Control period [s].
        physics_dt: Physics step [s].

    Raises:
        InvalidArgumentError: The period is not a whole number of physics steps.
    """
    # In floating point 0.3 / 0.1 is 2.9999999999999996, so the quotient is rounded and a difference below 1 ns is accepted.
    physics_dt = read_number("physics_dt", physics_dt, "a positive physics step [s]", lambda dt: dt > 0)
    count = round(control_dt / physics_dt)
    if count < 1 or abs(count * physics_dt - control_dt) > 1e-9:
        steps = f"a whole number of physics steps of {physics_dt:g} s, such as {max(count, 1) * physics_dt:g}"
        other = "another physics step (gym.make: backend_options={'physics_dt': …}; gym-gazebo2 sim: --physics-dt)"
        raise InvalidArgumentError("control_dt", control_dt, f"{steps}, or {other}")
    return count
