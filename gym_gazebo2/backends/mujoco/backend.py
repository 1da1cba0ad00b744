"""MuJoCo in process: a batch of arms, stepped by the engine's own thread pool. The default backend."""

from __future__ import annotations

import os
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from gym_gazebo2.backends.base import NANOSECONDS, OMEGA, Backend, count_substeps
from gym_gazebo2.backends.mujoco.rendering import Painter, Window, check_camera
from gym_gazebo2.backends.mujoco.scene import make_physics_model
from gym_gazebo2.checks import read_whole
from gym_gazebo2.errors import UnknownNameError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.state import ArmState

__all__ = ["PHYSICS_DT", "MujocoBackend"]

Array = NDArray[np.float64]

PHYSICS_DT = 0.005
"""Largest physics step within 2 mrad of 1 ms on every robot here [s]; ``tests/test_mujoco.py`` shows it."""
ARMS_PER_THREAD = 16
"""Below this a thread costs more than it brings."""
_NEVER = np.array([0.0, 0.0, -1.0])


class MujocoBackend(Backend):
    """Arms in MuJoCo physics, bit-equal at any number of threads.

    Attributes:
        contact_force: (n,) largest force at a point of contact since the last call, zero when free [N]; where measured.
        effort: (n, dof) torques of the drives in the last physics step [N·m]; where measured.
    """

    def __init__(
        self,
        robot: RobotSpec,
        num_envs: int = 1,
        control_dt: float = 0.05,
        physics_dt: float = PHYSICS_DT,
        num_threads: int | None = None,
        measure_forces: bool = False,
    ) -> None:
        """Build the model and n simulations of it.

        Args:
            robot: The arm.
            num_envs: Number of arms.
            control_dt: Control period [s], a whole number of physics steps.
            physics_dt: Physics step [s].
            num_threads: Threads to step with; None takes one per 16 arms, up to the processors.
            measure_forces: Also keep ``contact_force`` and ``effort``; a step takes a little longer.

        Raises:
            InvalidArgumentError: A size cannot work.
            RobotError: MuJoCo rejects the URDF.
        """
        super().__init__(robot, num_envs, control_dt)
        self.num_substeps = count_substeps(self.control_dt, physics_dt)
        self.num_threads = _choose_threads(num_threads, self.num_envs)
        self.model = make_physics_model(robot, physics_dt, measure_forces)
        self._batch = Batch(self.model, nsim=self.num_envs, nthread=self.num_threads)
        self._q, self._dq = self._batch.bind("qpos"), self._batch.bind("qvel")
        self._num_contacts = self._batch.bind("ncon")
        self._warmstart = self._batch.bind("qacc_warmstart")
        self._time = np.zeros(self.num_envs, dtype=np.int64)
        self._setpoint = np.tile(robot.home, (self.num_envs, 1))
        self._in_collision = np.zeros(self.num_envs, dtype=bool)
        self._activation, self._speed = self._batch.bind("act"), self._batch.bind("ctrl")
        self._recorded = ("ncon", "sensordata") if measure_forces else ("ncon",)
        self._records: dict[Any, NDArray[Any]] = {}
        self.contact_force = np.zeros(self.num_envs)
        self.effort = self._batch.bind("qfrc_actuator") if measure_forces else np.zeros_like(self._setpoint)
        self._p_goal = np.tile(_NEVER, (self.num_envs, 1))
        self._painters: dict[tuple[int, int], Painter] = {}
        self._window: Window | None = None

    @property
    def q_setpoint(self) -> Array:
        """(n, dof) set-points that the drives have reached [rad], as a copy."""
        return self._setpoint.copy()

    def reset(self, mask: NDArray[np.bool_], q: Array) -> ArmState:
        """Put the masked arms at ``q``, at rest; contact in that very pose counts as collision."""
        mask, q = self._check_reset(mask, q)
        arms = np.flatnonzero(mask)
        if len(arms):
            self._batch.reset(ids=arms, stage=mujoco.mjtStage.mjSTAGE_NONE)
            self._q[arms] = self._setpoint[arms] = q[arms]
            self._time[arms] = 0
            self._batch.forward(ids=arms, stage=mujoco.mjtStage.mjSTAGE_POS)
            self._in_collision[arms] = self._num_contacts[arms].reshape(-1) > 0
            self.contact_force[arms] = 0.0
        return self._make_state()

    def step(self, q_setpoint: Array) -> ArmState:
        """Advance every arm by one control period of physics."""
        goal = self._check_step(q_setpoint, self._setpoint)
        self._ramp(goal, self.num_substeps, self.control_dt)
        self._check_sane(self._q, self._dq)
        self._time += self.control_dt_ns
        return self._make_state()

    def advance(self, q_setpoint: Array, num_substeps: int) -> ArmState:
        """Ramp to ``q_setpoint`` over any number of physics steps: for servers, where the client chooses the period.

        Args:
            q_setpoint: (n, dof) set-points at the end [rad]; limits and speed are the caller's to check.
            num_substeps: Number of physics steps.
        """
        self._check_open()
        seconds = num_substeps * self.model.opt.timestep
        self._ramp(q_setpoint, num_substeps, seconds)
        self._time += round(seconds * NANOSECONDS)
        return self._make_state()

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays that determine the future, the solver's warm start included."""
        return {
            "time": self._time.copy(),
            "q": self._q.copy(),
            "dq": self._dq.copy(),
            "setpoint": self._setpoint.copy(),
            "in_collision": self._in_collision.copy(),
            "warmstart": self._warmstart.copy(),
        }

    def set_state(self, state: dict[str, NDArray[Any]]) -> ArmState:
        """Continue from what ``get_state`` returned."""
        self._check_open()
        self._batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._q[:], self._dq[:], self._warmstart[:] = state["q"], state["dq"], state["warmstart"]
        self._time, self._setpoint = state["time"].copy(), state["setpoint"].copy()
        self._in_collision = state["in_collision"].copy()
        self._was_reset[:] = self._is_ready = True
        return self._make_state()

    def camera(self, name: str, width: int, height: int) -> NDArray[np.uint8]:
        """Return the pictures of a camera ("overview", "wrist") of every arm."""
        check_camera(name)
        painter = self._get_painter(width, height)
        return np.stack([painter.draw(q, p, name) for q, p in zip(self._q, self._p_goal, strict=True)])

    def render(self, mode: str, width: int, height: int) -> NDArray[np.uint8] | None:
        """Draw the first arm."""
        if mode == "rgb_array":
            return self._get_painter(width, height).draw(self._q[0], self._p_goal[0], "overview")
        if mode != "human":
            raise UnknownNameError("render mode", mode, ("human", "rgb_array"))
        if self._window is None:
            self._window = Window(self.robot, self.control_dt)
        self._window.show(self._q[0], self._p_goal[0])
        return None

    def show_goal(self, goal: Array) -> None:
        """Show goals (n, 7) in pictures."""
        self._p_goal = np.array(goal[:, :3])

    def close(self) -> None:
        """Free windows and OpenGL contexts."""
        super().close()
        for painter in self._painters.values():
            painter.close()
        self._painters.clear()
        if self._window is not None:
            self._window.close()
            self._window = None

    def _ramp(self, goal: Array, num_substeps: int, seconds: float) -> None:
        speed = (goal - self._setpoint) / seconds
        self._speed[:] = speed
        self._activation[:] = self._setpoint + speed * (2.0 / OMEGA)
        if self._records and self._records["ncon"].shape[1] != num_substeps:
            self._records = {}
        self._records = self._batch.rollout(num_substeps, record=self._recorded, out=self._records)
        self._setpoint = goal.copy()
        self._in_collision = np.logical_or.reduce(self._records["ncon"], axis=1)
        if "sensordata" in self._records:
            self.contact_force = np.linalg.norm(self._records["sensordata"], axis=2).max(axis=1)

    def _get_painter(self, width: int, height: int) -> Painter:
        self._check_open()
        if (width, height) not in self._painters:
            self._painters[width, height] = Painter(self.robot, width, height)
        return self._painters[width, height]

    def _make_state(self) -> ArmState:
        return ArmState(self._time.copy(), self._q.copy(), self._dq.copy(), self._setpoint.copy(), self._in_collision.copy())


def _choose_threads(num_threads: int | None, num_envs: int) -> int:
    if num_threads is None:
        return max(1, min(len(os.sched_getaffinity(0)), num_envs // ARMS_PER_THREAD))
    return read_whole("num_threads", num_threads)
