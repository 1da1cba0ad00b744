"""The drive without physics, in closed form: the motion of every backend's arm when nothing disturbs it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import OMEGA, Backend
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import CONTROL_DT, ArmState, Placement

__all__ = ["FakeBackend"]

Array = NDArray[np.float64]


class FakeBackend(Backend):
    """Reference semantics of a backend.

    Over one period T the set-point ramps from s to s' in a straight line, ṡ = (s' − s)/T. A drive without effort limit whose
    assumed inertia M̂ is the true one follows q̈ = ω²(s − q) + 2ω(ṡ − q̇). Its error e = q − s(t) therefore obeys the
    critically damped equation ë + 2ωė + ω²e = 0, whose exact solution is e(t) = (e₀ + (ė₀ + ωe₀) t) e^(−ωt).

    - ``step`` advances time by exactly ``control_dt`` and returns the state at that instant.
    - ``reset`` puts the masked arms at ``q``, at rest, with the set-point there and time zero; other rows do not change.
    - ``step_effort`` applies constant efforts τ. With the damping D of the specification, M̂q̈ = τ − Dq̇, so the speed goes to
      τ/D as e^(−Dt/M̂). A joint that arrives at a limit stops there.
    - There is no contact: ``in_collision`` is always False. Objects stay where they were placed, until they are parked.
    - The same calls give bit-equal states; arms do not influence each other.
    """

    def __init__(self, robot: RobotSpec, num_envs: int = 1, control_dt: float = CONTROL_DT, scene: Scene | None = None) -> None:
        """Make n arms. Each must be reset before the first step.

        Args:
            robot: The arm.
            num_envs: Number of arms n.
            control_dt: Control period [s].
            scene: What stands around each arm. Its boxes have no effect here.

        Raises:
            InvalidArgumentError: ``num_envs`` or ``control_dt`` is invalid.
        """
        super().__init__(robot, num_envs, control_dt, scene)
        self._time = np.zeros(self.num_envs, dtype=np.int64)
        self._q = np.tile(robot.home, (self.num_envs, 1))
        self._dq = np.zeros_like(self._q)
        self._setpoint = self._q.copy()
        self._pose = np.zeros((self.num_envs, self.num_objects, 7))
        self._decay = np.exp(-OMEGA * self.control_dt)

    @property
    def q_setpoint(self) -> Array:
        """(n, dof) set-points of the drives at the end of their last ramp [rad], as a copy."""
        return self._setpoint.copy()

    def reset(self, mask: NDArray[np.bool_], q: Array, objects: Placement | None = None) -> ArmState:
        """Put the masked arms at ``q``, at rest, and their objects in place."""
        mask, q = self._check_reset(mask, q, self._q, objects)
        placed = self._place(mask, objects)
        if placed is not None:
            self._pose[mask] = placed.pose[mask]
        self._time[mask], self._q[mask], self._dq[mask], self._setpoint[mask] = 0, q[mask], 0.0, q[mask]
        return self._make_state()

    def step(self, q_setpoint: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Follow the ramp to ``q_setpoint`` over one period."""
        goal = self._check_step(q_setpoint, self._setpoint)
        self._take_away(park)
        dt = self.control_dt
        speed = (goal - self._setpoint) / dt  # ṡ
        error = self._q - self._setpoint  # e₀
        slope = self._dq - speed + OMEGA * error  # ė₀ + ωe₀, where ė₀ = q̇ − ṡ
        error = (error + slope * dt) * self._decay  # e(T)
        self._q = goal + error
        self._dq = speed + slope * self._decay - OMEGA * error  # ṡ + ė(T), where ė = slope·e^(−ωt) − ωe
        self._setpoint = goal.copy()
        self._time += self.control_dt_ns
        return self._make_state()

    def step_effort(self, effort: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Apply efforts over one period."""
        effort, robot, dt = self._check_effort(effort), self.robot, self.control_dt
        self._take_away(park)
        rate = robot.effort_damping / robot.drive_inertia  # D/M̂
        final = effort / robot.effort_damping  # the speed at which the damping balances the effort
        decay = np.exp(-rate * dt)
        self._q = self._q + final * dt + (self._dq - final) * (1.0 - decay) / rate
        self._dq = final + (self._dq - final) * decay
        inside = (self._q > robot.lower) & (self._q < robot.upper)
        self._q, self._dq = np.clip(self._q, robot.lower, robot.upper), np.where(inside, self._dq, 0.0)
        self._setpoint = self._q.copy()
        self._time += self.control_dt_ns
        return self._make_state()

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays that determine the motion from here on."""
        arm = {"time": self._time.copy(), "q": self._q.copy(), "dq": self._dq.copy(), "setpoint": self._setpoint.copy()}
        if self._objects is None:
            return arm
        return {**arm, **self._objects.get_state(), "pose": self._pose.copy()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> ArmState:
        """Continue from a state that ``get_state`` returned."""
        self._check_open()
        self._time, self._q = state["time"].copy(), state["q"].copy()
        self._dq, self._setpoint = state["dq"].copy(), state["setpoint"].copy()
        if self._objects is not None:
            self._objects.set_state(state)
            self._pose = state["pose"].copy()
        self._was_reset[:] = self._is_ready = True
        return self._make_state()

    def _make_state(self) -> ArmState:
        free = np.zeros(self.num_envs, dtype=bool)
        still = np.zeros((self.num_envs, self.num_objects, 6))
        objects = None if self._objects is None else self._objects.make_state(self._pose, still)
        return ArmState(self._time.copy(), self._q.copy(), self._dq.copy(), self._setpoint.copy(), free, objects)
