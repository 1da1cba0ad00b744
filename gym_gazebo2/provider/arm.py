"""One arm in MuJoCo that follows ramps of any whole number of physics steps. Knows no ROS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import NANOSECONDS
from gym_gazebo2.backends.mujoco import PHYSICS_DT, MujocoBackend
from gym_gazebo2.contract import SPEED_TOLERANCE, TOUCH_FORCE
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.provider.messages import RefusedError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import ArmState, ObjectState, Placement

__all__ = ["ServedArm"]

Array = NDArray[np.float64]

ONE = np.ones(1, dtype=bool)
"""Mask that selects the only arm of the batch."""
ASIDE, ASIDE_SPACING = (10.0, 10.0, 5.0), 0.5
"""Where members of the pool are put before they are parked, and the distance between them [m]: far from everything else."""


class ServedArm:
    """An arm that is placed, commanded, and advanced along the ramp of its command.

    A client chooses the length of each command, so the ramp is counted in physics steps, not in control periods.

    Attributes:
        robot: The arm.
        physics_dt_ns: Physics step [ns].
        time: Simulated time; runs on through placements [ns].
        q: (dof,) measured joint positions [rad].
        dq: (dof,) measured joint velocities [rad/s].
        objects: Measured objects; None for a scene without objects.
        scene: What stands around the arm; None: only the floor.
    """

    def __init__(
        self,
        robot: RobotSpec,
        control_dt: float = 0.05,
        physics_dt: float = PHYSICS_DT,
        start: int = 0,
        scene: Scene | None = None,
    ) -> None:
        """Make the arm, at home, with all objects parked.

        Args:
            robot: The arm.
            control_dt: Control period, a whole number of physics steps [s].
            physics_dt: Physics step, a whole number of nanoseconds [s].
            start: Simulated time at the start [ns].
            scene: What stands around the arm; None: only the floor.

        Raises:
            InvalidArgumentError: A time is out of range, or not a whole number of its unit.
        """
        self._backend = MujocoBackend(robot, 1, control_dt, physics_dt, num_threads=1, measure_forces=True, scene=scene)
        self.scene, self.objects = scene, None if scene is None else self._make_objects(scene)
        self.robot, self.time, self.physics_dt_ns = robot, start, round(physics_dt * NANOSECONDS)
        # Stamps are integers: a fraction of a nanosecond per step would add up.
        if abs(physics_dt * NANOSECONDS - self.physics_dt_ns) > 1e-3:
            raise InvalidArgumentError("physics_dt", physics_dt, "a whole number of nanoseconds")
        self.place(robot.home)

    @property
    def setpoint(self) -> Array:
        """(dof,) set-point that the drives have reached [rad]."""
        return self._setpoint

    @property
    def steps_left(self) -> int:
        """Physics steps until the end of the command."""
        return self._num_steps - self._num_done

    @property
    def effort(self) -> Array:
        """(dof,) torques of the drives in the last physics step [N·m]."""
        effort: Array = self._backend.effort[0]
        return effort

    def place(self, q: Array) -> None:
        """Put the joints at ``q`` (dof,) inside the limits [rad], at rest, and forget the command."""
        state = self._backend.reset(ONE, np.clip(q, self.robot.lower, self.robot.upper)[None])
        self.q, self.dq, self._setpoint, self.objects = state.q[0], state.dq[0], state.q[0], state.objects
        self._ramp_start = self._ramp_end = self._setpoint
        self._num_steps = self._num_done = 0
        self._applied: Array | None = None  # (dof,) efforts of the command, where it has no set-point
        self._force = TOUCH_FORCE if state.in_collision[0] else 0.0

    def _make_objects(self, scene: Scene) -> ObjectState | None:
        """Return the objects, all of them parked; None if the scene has none."""
        if not scene.num_objects:
            return None
        self._index = np.arange(scene.num_objects)
        return self._backend.arrange_objects(self._set_aside(), np.ones((1, scene.num_objects), dtype=bool)).objects

    def _set_aside(self) -> Placement:
        """Return a placement of the present members far away from everything."""
        pose = np.tile([*ASIDE, 1.0, 0.0, 0.0, 0.0], (1, len(self._index), 1))
        pose[0, :, 0] -= ASIDE_SPACING * np.arange(len(self._index))
        return Placement(self._index[None].copy(), pose)

    def find_present(self) -> dict[str, bool]:
        """Return which members of the pool are there now, by name."""
        names = () if self.scene is None else self.scene.pool.names
        present = dict.fromkeys(names, False)
        if self.objects is not None:
            present |= {names[m]: not away for m, away in zip(self._index, self.objects.is_parked[0], strict=True)}
        return present

    def arrange(self, wanted: Mapping[str, Array | None]) -> None:
        """Place objects, or take some away; the arm is left as it is.

        Args:
            wanted: Name of each object that is to be there → pose (7,) to put it at, or None where it stays as it is.

        Raises:
            RefusedError: There are more objects than the scene shows, or one would be inside something.
        """
        if self.scene is None or self.objects is None:
            return
        names, k = self.scene.pool.names, self.scene.num_objects
        if len(wanted) > k:
            raise RefusedError(f"a placement of {len(wanted)} objects, expected at most {k}")
        placement, before = None, self._index
        poses = [pose for pose in wanted.values() if pose is not None]
        if poses:
            # The engine always shows k members. Members that were not asked for fill the other places, and are parked at once.
            chosen = [names.index(name) for name in wanted]
            self._index = np.array((chosen + [m for m in range(len(names)) if m not in chosen])[:k])
            placement = self._set_aside()
            placement.pose[0, : len(poses)] = poses
        park = np.array([[names[member] not in wanted for member in self._index]])
        try:
            self.objects = self._backend.arrange_objects(placement, park).objects
        except InvalidArgumentError as error:
            self._index = before
            raise RefusedError(f"a placement: {error}") from error

    def command(self, goal: Array, steps: int) -> None:
        """Accept a command; ``advance`` then follows it.

        Args:
            goal: (dof,) set-point at its end, inside the limits [rad].
            steps: Physics steps of the straight ramp to it.

        Raises:
            RefusedError: A joint would exceed its velocity limit.
        """
        seconds = steps * self.physics_dt_ns / NANOSECONDS
        reach = self.robot.velocity_limit * seconds * (1 + SPEED_TOLERANCE) + SPEED_TOLERANCE * self.robot.scale
        from_setpoint = np.abs(goal - self._setpoint) <= reach
        # A client that has just connected, or that holds the arm, starts from the measured position. The set-point may be up to
        # three periods ahead of it.
        too_far = ~from_setpoint & (np.abs(goal - self.q) > reach)
        if too_far.any():
            name = self.robot.joint_names[int(np.argmax(too_far))]
            raise RefusedError(f"a command that moves {name!r} faster than its velocity limit")
        if not from_setpoint.all():
            self._move_setpoint(np.where(from_setpoint, self._setpoint, self.q))
        self._ramp_start, self._ramp_end = self._setpoint, np.clip(goal, self.robot.lower, self.robot.upper)
        self._num_steps, self._num_done, self._applied = steps, 0, None

    def apply(self, effort: Array, steps: int) -> None:
        """Accept a command of efforts; ``advance`` then applies them. Afterwards the drives hold the arm where it is.

        Args:
            effort: (dof,) efforts inside the limits [N·m or N].
            steps: Physics steps for which they are applied.
        """
        self._num_steps, self._num_done, self._applied = steps, 0, effort

    def advance(self, steps: int) -> None:
        """Advance time by physics steps, at most ``steps_left`` of them along the command; without one, hold."""
        self._num_done = min(self._num_done + steps, self._num_steps)
        is_over = self._num_done == self._num_steps
        if self._applied is not None:
            self._keep(self._backend.advance_effort(self._applied[None], steps), steps)
            self._setpoint = self._ramp_start = self._ramp_end = np.clip(self.q, self.robot.lower, self.robot.upper)
            self._applied = None if is_over else self._applied
            return
        if is_over:
            self._setpoint = self._ramp_end  # exactly: start + 1.0 · (end − start) may differ in the last bit
        else:
            self._setpoint = self._ramp_start + self._num_done / self._num_steps * (self._ramp_end - self._ramp_start)
        self._keep(self._backend.advance(self._setpoint[None], steps), steps)

    def _keep(self, state: ArmState, steps: int) -> None:
        """Keep the state after a number of physics steps."""
        self.q, self.dq, self.objects = state.q[0], state.dq[0], state.objects
        self.time += steps * self.physics_dt_ns
        if state.in_collision[0]:
            self._force = max(self._force, TOUCH_FORCE, float(self._backend.contact_force[0]))

    def take_contact_force(self) -> float:
        """Return the largest contact force since the last call or placement, zero without contact [N]."""
        force, self._force = self._force, 0.0
        return force

    def show(self) -> None:
        """Draw the arm in a window, at most one picture per control period."""
        self._backend.render("human", 0, 0)

    def close(self) -> None:
        """Free the physics and the window; closing twice is fine."""
        self._backend.close()

    def _move_setpoint(self, setpoint: Array) -> None:
        """Change the set-point without moving the arm."""
        self._backend.set_state(self._backend.get_state() | {"setpoint": setpoint[None]})
        self._setpoint = setpoint
