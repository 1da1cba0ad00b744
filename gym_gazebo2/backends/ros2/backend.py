"""The ROS 2 client as a ``Backend``: one arm. The simulator or robot that moves it decides how its time advances."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import Backend
from gym_gazebo2.backends.objects import PARK_POSE
from gym_gazebo2.backends.ros2.choose import choose_pacing
from gym_gazebo2.backends.ros2.link import Link
from gym_gazebo2.backends.ros2.lock_step import LockStep
from gym_gazebo2.backends.ros2.messages import ObjectCommand, ObjectReading
from gym_gazebo2.backends.ros2.pacing import Array, Pacing, Sample, Settings
from gym_gazebo2.checks import read_number
from gym_gazebo2.errors import BackendError, InvalidArgumentError, UnsupportedError
from gym_gazebo2.ownership import Owner
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros.topics import CONTROLLER, Topics
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import ArmState, ObjectState, Placement

__all__ = ["Ros2Backend"]

STALE_PERIODS = 3
"""Age at which the newest state of a free-running arm is too old to act on, in control periods."""
OBJECTS_STALE_PERIODS = 10
"""The same for the newest pose of an object: perception is slower than a robot's encoders."""
PLACED_TOLERANCE = 1e-6
"""Largest distance between an object and the position where a provider in lock-step was asked to put it [m]."""


class Ros2Backend(Backend):
    """One arm on the ROS 2 contract: a provider in lock-step or free-running, Gazebo Sim, or the robot.

    Attributes:
        link: The arm's topics.
        pacing: How its time advances: ``LockStep``, ``FreeRunning`` or ``ControlWorld``.
    """

    max_envs = 1
    is_shared = True
    is_tied_to_process = True
    window: Mapping[str, Any] = MappingProxyType({})
    is_local = False
    """Whether only nodes of this machine are discovered; False leaves the range to the user's settings."""

    def __init__(
        self,
        robot: RobotSpec,
        num_envs: int = 1,
        control_dt: float = 0.05,
        namespace: str | None = None,
        domain_id: int | None = None,
        timeout: float = 20.0,
        lock_step: bool | None = None,
        reset_speed: float = 0.2,
        stale_after: float | None = None,
        world: str | None = None,
        controller: str = CONTROLLER,
        joint_prefix: str = "",
        remap: Mapping[str, str] | None = None,
        scene: Scene | None = None,
        objects_stale_after: float | None = None,
        gripper_controller: str | None = None,
        gripper_topic: str | None = None,
        gripper_states: str | None = None,
    ) -> None:
        """Connect to what moves the arm.

        Args:
            robot: The arm.
            num_envs: 1; several arms need several processes.
            control_dt: Control period [s].
            namespace: ROS namespace; None is the robot's name, "" is the root namespace.
            domain_id: ROS domain; None takes ROS_DOMAIN_ID, or 0.
            timeout: Deadline of every wait [s].
            lock_step: Whether lock-step is required (True) or forbidden (False); None accepts both.
            reset_speed: Speed of the motion to a start pose, as a share of the velocity limits, where the arm cannot be placed.
            stale_after: Free-running: age of the newest state at which the arm is held and a step fails [s]; None is three
                control periods. A simulator slower than real time needs more.
            world: Name of Gazebo Sim's world, needed if there are several.
            controller: Name of the controller that takes the commands.
            joint_prefix: Prefix of the joints' names in messages, such as "left_".
            remap: Other names of topics, by the last word of the usual one: ``{joint_states: /arm/states}``.
            scene: What stands around the arm. A simulator must have built the same.
            objects_stale_after: Free-running: age of an object's newest pose at which the arm is held and a step fails [s];
                None is ten control periods.
            gripper_controller: Name of the controller of the gripper, if it has one of its own.
            gripper_topic: Name of the topic that takes the fingers' commands, in place of ``gripper_controller``: a
                JointTrajectory, or plain numbers (Float64MultiArray) if its last word is "commands".
            gripper_states: Name of the topic of the fingers' states; None: they come on the topic of the arm's.

        Raises:
            InvalidArgumentError: A number is out of range.
            BackendError: No simulator or robot was found; or it has other joints, another scene, or not the required lock-step.
        """
        super().__init__(robot, num_envs, control_dt, scene)
        timeout = read_number("timeout", timeout, "a deadline above 0 s", lambda seconds: seconds > 0)
        share = "a share of the velocity limit above 0, up to 1"
        reset_speed = read_number("reset_speed", reset_speed, share, lambda speed: 0 < speed <= 1)
        age = f"a finite age of at least a control period, {self.control_dt} s"
        stale_after = STALE_PERIODS * self.control_dt if stale_after is None else stale_after
        stale_after = read_number("stale_after", stale_after, age, lambda seconds: seconds >= self.control_dt)
        wanted = OBJECTS_STALE_PERIODS * self.control_dt if objects_stale_after is None else objects_stale_after
        objects_stale_after = read_number("objects_stale_after", wanted, age, lambda seconds: seconds >= self.control_dt)
        # Whether the provider does not know yet which objects are there: some were taken away since the last message.
        self._is_changed = False
        # Stamp of the episode's start [ns]: the provider's clock is not reset, but an episode's time begins at zero.
        self._setpoint, self._start, self._state = np.tile(robot.home, (1, 1)), 0, _make_home_state(robot)
        if not isinstance(joint_prefix, str):
            raise InvalidArgumentError("joint_prefix", joint_prefix, "a string")
        topics = Topics(
            robot.name if namespace is None else namespace,
            controller,
            remap or {},
            gripper_controller,
            gripper_topic,
            gripper_states,
        )
        self.link = Link(robot, topics, domain_id, _make_weak(self._check_alive), self.is_local, joint_prefix, scene)
        settings = Settings(self.control_dt_ns, timeout, reset_speed, stale_after, objects_stale_after)
        try:
            self.pacing: Pacing = choose_pacing(self.link, settings, lock_step, world)
        except BaseException:
            self.link.close()
            raise
        self.lock_step = self.pacing.lock_step
        # Ends what was opened when the backend is closed, dropped without a close, or still open at the end of the program.
        self._leave = weakref.finalize(self, _leave, self.pacing, self.link, self._owner)

    @property
    def q_setpoint(self) -> Array:
        """(1, dof) set-points of the drives at the end of their last ramp [rad], as a copy."""
        return self._setpoint.copy()

    def reset(self, mask: NDArray[np.bool_], q: Array, objects: Placement | None = None) -> ArmState:
        """Bring the arm to ``q``, at rest: at once where it can be placed, else by a slow motion; then time starts at zero.

        A simulator puts the objects where they are to be. In front of a robot, those that are there take their place: the
        state has their members of the pool.
        """
        mask, q = self._check_reset(mask, q, self._state.q, objects)
        placed = self._place(mask, objects)
        if mask[0]:
            with self._holding_on_failure():
                command = self._command_objects() if placed is None else ObjectCommand(self._list_present(), placed.pose[0])
                sample = self.pacing.place(q[0], command)
                self._check_sane(sample.q[None], sample.dq[None])
                self._start = sample.stamp
                self._note_members(sample, placed)
                self._state = self._keep(sample)
            self._was_reset[:] = self._is_ready = True
        return self._state

    def step(self, q_setpoint: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Command one period, and return the state at its end."""
        goal = self._check_step(q_setpoint, self._setpoint)
        self._note_parked(park)
        with self._holding_on_failure():
            sample = self.pacing.advance(goal[0].copy(), self._command_objects())
            self._check_sane(sample.q[None], sample.dq[None])
            self._state = self._keep(sample)
        return self._state

    def step_effort(self, effort: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Apply efforts for one period, where a provider in lock-step takes them, and return the state at its end.

        Raises:
            UnsupportedError: What moves the arm is a robot, runs freely, or takes no efforts.
        """
        provider, pacing = self.link.provider, self.pacing
        if provider is None or not provider.takes_effort or not isinstance(pacing, LockStep):
            raise UnsupportedError(
                f"Torque control needs a provider in lock-step that takes efforts. Found: {provider or 'a robot'}. "
                "Start gym-gazebo2 sim in lock-step, with the provider mujoco or gazebo."
            )
        effort = self._check_effort(effort)
        self._note_parked(park)
        with self._holding_on_failure():
            sample = pacing.apply(effort[0].copy(), self._command_objects())
            self._check_sane(sample.q[None], sample.dq[None])
            self._state = self._keep(sample)
        return self._state

    def close(self) -> None:
        """Hold a free-running arm, and leave the ROS graph; closing twice is fine."""
        super().close()
        self._leave()

    def _check_alive(self) -> None:
        """Raise a BackendError if the simulator is known to be dead. Does nothing by default: the backend did not start it."""

    def _advise(self, is_diverging: bool) -> str:
        """Return the cause of an impossible state: a simulator in lock-step computed it, or a robot published it."""
        if self.lock_step:
            return super()._advise(is_diverging)
        return f"{self.link.topics.state} brought it: check its publisher, its units, and the limits in the URDF."

    @contextlib.contextmanager
    def _holding_on_failure(self) -> Iterator[None]:
        """Hold the arm on any failure, Ctrl-C included. The episode is then over: the next call must be a reset."""
        try:
            yield
        except BaseException:
            self._was_reset[:] = self._is_ready = False
            self._is_changed = self._objects is not None  # it is unknown whether the provider has taken objects away
            self.pacing.hold()
            raise

    def _keep(self, sample: Sample) -> ArmState:
        self._setpoint = sample.setpoint[None].copy()
        stamp, in_collision = np.array([sample.stamp - self._start], dtype=np.int64), np.array([sample.in_collision])
        objects = self._read_objects(sample.objects)
        return ArmState(stamp, sample.q[None], sample.dq[None], sample.setpoint[None], in_collision, objects)

    def _note_parked(self, park: NDArray[np.bool_] | None) -> None:
        self._is_changed = self._take_away(park) is not None or self._is_changed

    def _list_slots(self) -> list[tuple[int, str]]:
        """Return the objects that are not parked, as slots 0 … k − 1 and names."""
        if self._objects is None:
            return []
        names, index = self._objects.scene.pool.names, self._objects.index[0].tolist()
        return [(slot, names[member]) for slot, member in enumerate(index) if not self._objects.is_parked[0, slot]]

    def _list_present(self) -> list[str]:
        return [name for _, name in self._list_slots()]

    def _command_objects(self) -> ObjectCommand | None:
        """Return which objects stay, if some were taken away since the last message; else None."""
        if not self._is_changed:
            return None
        self._is_changed = False
        return ObjectCommand(self._list_present())

    def _note_members(self, sample: Sample, placed: Placement | None) -> None:
        """Note which objects are there after a placement.

        Raises:
            BackendError: A provider in lock-step has put an object somewhere else.
        """
        if self._objects is None or placed is None or sample.objects is None:
            return
        self._is_changed = False
        names = self._objects.scene.pool.names
        if not self.lock_step:
            self._objects.index[0] = [names.index(name) for name in sample.objects.names]
            return
        pose = self._arrange_objects(sample.objects)[0]
        wrong = np.flatnonzero(~(np.abs(pose[:, :3] - placed.pose[0, :, :3]) <= PLACED_TOLERANCE).all(axis=1))
        if len(wrong):
            slot = int(wrong[0])
            raise BackendError(
                f"The provider was asked to place {names[placed.index[0, slot]]!r} at {placed.pose[0, slot, :3]} m, but it is "
                f"at {pose[slot, :3]} m. See the provider's log."
            )

    def _arrange_objects(self, reading: ObjectReading) -> tuple[Array, Array]:
        """Return the poses (k, 7) and twists (k, 6) of the episode's objects, found by name.

        A simulator no longer reports an object that has left the world. It is noted as parked, as in the embedded physics.
        """
        pose, twist = np.tile(PARK_POSE, (self.num_objects, 1)), np.zeros((self.num_objects, 6))
        if self._objects is None:
            return pose, twist
        for slot, name in self._list_slots():
            if name not in reading.names[: len(reading.pose)]:
                self._objects.is_parked[0, slot] = True
                continue
            i = reading.names.index(name)
            pose[slot], twist[slot] = reading.pose[i], reading.twist[i] if len(reading.twist) > i else 0.0
        return pose, twist

    def _read_objects(self, reading: ObjectReading | None) -> ObjectState | None:
        if self._objects is None or reading is None:
            return None
        pose, twist = (values[None] for values in self._arrange_objects(reading))
        # The provider takes a lost object away with the next command.
        self._is_changed = self._objects.take_lost(pose) is not None or self._is_changed
        return self._objects.make_state(pose, twist)


def _leave(pacing: Pacing, link: Link, owner: Owner) -> None:
    """Hold a free-running arm, and leave the ROS graph; in a fork of the process, both belong to the parent."""
    if owner.is_here:
        pacing.hold()
        link.close()


def _make_weak(method: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls a method while its object exists, and does not keep the object alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    return call


def _make_home_state(robot: RobotSpec) -> ArmState:
    """Return home, at rest: the state before the first reset, which ``reset`` returns if its mask selects no arm."""
    home = robot.home[None]
    return ArmState(np.zeros(1, dtype=np.int64), home.copy(), np.zeros_like(home), home.copy(), np.zeros(1, dtype=bool))
