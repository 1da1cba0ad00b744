"""MuJoCo in this process: a batch of arms, stepped by the engine's own thread pool. The default backend."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from gym_gazebo2.backends.base import NANOSECONDS, OMEGA, Backend, count_substeps
from gym_gazebo2.backends.mujoco.objects import ObjectBodies
from gym_gazebo2.backends.mujoco.parts import SENSOR_SIZE
from gym_gazebo2.backends.mujoco.rendering import Painter, Window, check_camera
from gym_gazebo2.backends.mujoco.scene import make_physics_model
from gym_gazebo2.backends.objects import SceneObjects
from gym_gazebo2.checks import read_whole
from gym_gazebo2.errors import UnknownNameError, UsageError
from gym_gazebo2.ownership import tie_to_process
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.scene import Scene
from gym_gazebo2.scheduling import count_processors
from gym_gazebo2.state import CONTROL_DT, ArmState, ObjectState, Placement

__all__ = ["PHYSICS_DT", "MujocoBackend"]

Array = NDArray[np.float64]

PHYSICS_DT = 0.005
"""Physics step [s]: the largest that stays within 2 mrad of a 1 ms step on every robot here (``tests/test_mujoco.py``)."""
ARMS_PER_THREAD = 16
"""Arms per thread by default. With fewer, handing the work to a thread takes longer than the work."""
_BELOW_THE_FLOOR = np.array([0.0, 0.0, -1.0])
"""Position of the goal marker until a goal is shown [m]: hidden by the floor."""


class MujocoBackend(Backend):
    """Arms in MuJoCo physics. The result does not depend on the number of threads, to the bit.

    Attributes:
        contact_force: (n,) largest force at a point of contact in the last period [N], zero when free. Only with
            ``measure_forces``.
        effort: (n, dof) torques of the drives in the last physics step [N·m]. Only with ``measure_forces``.
    """

    object_factors = ("friction", "mass")

    def __init__(
        self,
        robot: RobotSpec,
        num_envs: int = 1,
        control_dt: float = CONTROL_DT,
        physics_dt: float = PHYSICS_DT,
        num_threads: int | None = None,
        measure_forces: bool = False,
        scene: Scene | None = None,
    ) -> None:
        """Build the model and n simulations of it.

        Args:
            robot: The arm.
            num_envs: Number of arms.
            control_dt: Control period [s], a whole number of physics steps.
            physics_dt: Physics step [s].
            num_threads: Number of threads; None: one per 16 arms, at most one per processor.
            measure_forces: Whether to keep ``contact_force`` and ``effort``; steps then take a little longer.
            scene: What stands around each arm; None: only the floor.

        Raises:
            InvalidArgumentError: ``num_envs``, ``control_dt``, ``physics_dt`` or ``num_threads`` is invalid.
            RobotError: MuJoCo rejects the URDF.
        """
        super().__init__(robot, num_envs, control_dt, scene)
        self.num_substeps = count_substeps(self.control_dt, physics_dt)
        self.num_threads = _choose_threads(num_threads, self.num_envs)
        self._measure_forces, self._batches = measure_forces, dict[bool, tuple[Batch, ObjectBodies | None]]()
        self.model = make_physics_model(robot, physics_dt, measure_forces, scene=scene)
        # A fork has no copy of the threads. With one thread the batch works in this process's own, and in a fork, too.
        self.is_tied_to_process = self.num_threads > 1
        self._batch, self._bodies = self._batches[False] = self._make_batch(self.model)
        self._is_effort = False
        self._bind()
        self._time = np.zeros(self.num_envs, dtype=np.int64)
        self._setpoint = np.tile(robot.home, (self.num_envs, 1))
        self._in_collision = np.zeros(self.num_envs, dtype=bool)
        # With objects, sensors tell collisions apart from contacts of objects.
        self._recorded = ("sensordata",) if self._bodies else ("ncon", "sensordata") if measure_forces else ("ncon",)
        self.contact_force = np.zeros(self.num_envs)
        self._p_goal = np.tile(_BELOW_THE_FLOOR - [0.0, 0.0, robot.mount_height], (self.num_envs, 1))
        self._painters: dict[tuple[int, int, bool], Painter] = {}
        self._window: Window | None = None

    def _make_batch(self, model: mujoco.MjModel) -> tuple[Batch, ObjectBodies | None]:
        batch = Batch(model, nsim=self.num_envs, nthread=self.num_threads)
        if self.is_tied_to_process:
            tie_to_process(batch)
        if self.scene is None or self._objects is None:
            return batch, None
        return batch, ObjectBodies(batch, model, self.scene, self.robot.dof)

    def _bind(self) -> None:
        """Bind the arrays of the batch."""
        # bind() returns live arrays (n, size): writing to a state field (qpos, qvel, act, ctrl, qacc_warmstart) changes the
        # simulation, and the next step overwrites all of them. Everything that leaves this class is therefore a copy.
        dof = self.robot.dof  # behind the arm's joints come the free joints of objects
        self._q, self._dq = self._batch.bind("qpos")[:, :dof], self._batch.bind("qvel")[:, :dof]
        # Every bound output is copied after every call, so only the one that a reset reads is bound.
        self._contacts = self._batch.bind("ncon" if self._bodies is None else "sensordata")
        self._warmstart = self._batch.bind("qacc_warmstart")
        # The drives integrate their activation from the control; see scene._add_drive for the meaning of both. In torque
        # control there is no activation, and the control is the effort.
        self._activation, self._control = self._batch.bind("act"), self._batch.bind("ctrl")
        self._records: dict[Any, NDArray[Any]] = {}
        forces = self._batch.bind("qfrc_actuator")[:, :dof] if self._measure_forces else None
        self.effort = np.zeros((self.num_envs, dof)) if forces is None else forces

    def _use(self, is_effort: bool) -> None:
        """Change between the model with drives and the one for torque control, which is made when it is first needed."""
        if is_effort == self._is_effort:
            return
        state = self.get_state()
        if is_effort not in self._batches:
            model = make_physics_model(self.robot, self.model.opt.timestep, self._measure_forces, is_effort, self.scene)
            self._batches[is_effort] = self._make_batch(model)
        (self._batch, self._bodies), self._is_effort = self._batches[is_effort], is_effort
        self._bind()
        self.set_state(state)

    @property
    def q_setpoint(self) -> Array:
        """(n, dof) set-points of the drives at the end of their last ramp [rad], as a copy."""
        return self._setpoint.copy()

    def reset(self, mask: NDArray[np.bool_], q: Array, objects: Placement | None = None) -> ArmState:
        """Put the masked arms at ``q``, at rest, and their objects in place. Contact in that pose counts as collision."""
        mask, q = self._check_reset(mask, q, self._q, objects)
        placed = self._place(mask, objects)
        arms = np.flatnonzero(mask)
        if len(arms):
            kept = None if self._bodies is None else self._bodies.get_motion()
            # reset() clears velocities, activations and the solver's warm start, so nothing of the old motion remains. The
            # forward pass up to stage POS finds the contacts of the new pose without computing any force.
            self._batch.reset(ids=arms, stage=mujoco.mjtStage.mjSTAGE_NONE)
            self._q[arms] = self._setpoint[arms] = q[arms]
            self._time[arms] = 0
            if kept is not None:
                self._put_objects(arms, kept, placed)
            self._in_collision[arms] = self._find_contacts(arms)
            self.contact_force[arms] = 0.0
        return self._make_state()

    def _put_objects(self, arms: NDArray[np.int64], kept: tuple[Array, Array], placed: Placement | None) -> None:
        """Put the objects of some arms in place, at rest; or back to where they were, without a placement."""
        bodies, objects = self._require_objects()
        bodies.set_motion(arms, *kept)
        factors = objects.get_factors(arms)
        if placed is not None:
            bodies.show(arms, objects.index[arms], factors)
            bodies.pose[arms], bodies.velocity[arms] = placed.pose[arms], 0.0
        bodies.load(arms, objects.is_parked[arms], objects.index[arms], factors)

    def _require_objects(self) -> tuple[ObjectBodies, SceneObjects]:
        if self._bodies is None or self._objects is None:
            raise UsageError("This backend has no scene with objects. Give it one: scene=….")
        return self._bodies, self._objects

    def _find_contacts(self, arms: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some arms are in collision in their new poses, (m,)."""
        if self._bodies is None:
            self._batch.forward(ids=arms, stage=mujoco.mjtStage.mjSTAGE_POS)
            return self._contacts[arms].reshape(-1) > 0
        # Contact sensors are evaluated in the last stage. It computes the drives' forces, too, so they get their set-points.
        self._set_drives(np.zeros_like(self._setpoint))
        self._batch.forward(ids=arms)
        return np.logical_or.reduce(self._contacts[arms][:, ::SENSOR_SIZE] > 0.0, axis=1)

    def step(self, q_setpoint: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Advance every arm by one control period of physics."""
        goal = self._check_step(q_setpoint, self._setpoint)
        self._use(is_effort=False)
        self._park(self._take_away(park))
        self._ramp(goal, self.num_substeps, self.control_dt)
        self._check_sane(self._q, self._dq)
        self._time += self.control_dt_ns
        return self._make_state()

    def step_effort(self, effort: Array, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Advance every arm by one control period with constant efforts and damped joints."""
        effort = self._check_effort(effort)
        self._park(self._take_away(park))
        self._apply(effort, self.num_substeps)
        self._check_sane(self._q, self._dq)
        self._time += self.control_dt_ns
        return self._make_state()

    def advance(self, q_setpoint: Array, num_substeps: int, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Ramp to ``q_setpoint`` over any number of physics steps, for servers whose clients choose the period.

        Args:
            q_setpoint: (n, dof) set-points at the end [rad]. The caller must check limits and speed.
            num_substeps: Number of physics steps.
            park: (n, k) bool, objects to take away before, as in ``step``.

        Returns:
            The state of all arms at the end.

        Raises:
            UsageError: The backend is closed.
        """
        self._check_open()
        seconds = num_substeps * self.model.opt.timestep
        self._use(is_effort=False)
        self._park(self._take_away(park))
        self._ramp(q_setpoint, num_substeps, seconds)
        self._time += round(seconds * NANOSECONDS)
        return self._make_state()

    def advance_effort(self, effort: Array, num_substeps: int, park: NDArray[np.bool_] | None = None) -> ArmState:
        """Apply efforts (n, dof) over any number of physics steps, as ``advance`` does with set-points.

        Raises:
            UsageError: The backend is closed.
        """
        self._check_open()
        self._park(self._take_away(park))
        self._apply(effort, num_substeps)
        self._time += round(num_substeps * self.model.opt.timestep * NANOSECONDS)
        return self._make_state()

    def arrange_objects(self, objects: Placement | None, park: NDArray[np.bool_]) -> ArmState:
        """Place objects, or take some away, between two steps, for servers. The arms are left as they are.

        Args:
            objects: Objects to put in place, at rest; None: they stay as they are.
            park: (n, k) bool, objects to take away.

        Returns:
            The state of all arms and objects.

        Raises:
            InvalidArgumentError: The placement is invalid.
            UsageError: The backend is closed, or has no scene with objects.
        """
        self._check_open()
        bodies, _ = self._require_objects()
        if objects is not None:
            everyone = np.ones(self.num_envs, dtype=bool)
            self._put_objects(np.arange(self.num_envs), bodies.get_motion(), self._place(everyone, objects))
        self._park(self._take_away(park))
        return self._make_state()

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays that determine the motion from here on."""
        # The constraint solver starts from the accelerations of the last step (warm start). Without them, a restored
        # simulation would converge to a result that differs in the last bits.
        objects: dict[str, NDArray[Any]] = {}
        if self._bodies is not None and self._objects is not None:
            pose, velocity = self._bodies.get_motion()
            objects = {"object_pose": pose, "object_velocity": velocity, **self._objects.get_state()}
        return {
            "time": self._time.copy(),
            "q": self._q.copy(),
            "dq": self._dq.copy(),
            "setpoint": self._setpoint.copy(),
            "in_collision": self._in_collision.copy(),
            "warmstart": self._warmstart.copy(),
            **objects,
        }

    def set_state(self, state: dict[str, NDArray[Any]]) -> ArmState:
        """Continue from a state that ``get_state`` returned."""
        self._check_open()
        # Activation and control are not part of the state: every step sets them from the set-point before it begins.
        self._batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._q[:], self._dq[:], self._warmstart[:] = state["q"], state["dq"], state["warmstart"]
        self._time, self._setpoint = state["time"].copy(), state["setpoint"].copy()
        self._in_collision = state["in_collision"].copy()
        if self._bodies is not None and self._objects is not None:
            self._objects.set_state(state)
            arms = np.arange(self.num_envs)
            self._bodies.show(arms, self._objects.index, self._objects.factors)
            self._bodies.set_motion(arms, state["object_pose"], state["object_velocity"])
            self._bodies.load(arms, self._objects.is_parked, self._objects.index, self._objects.factors)
        self._was_reset[:] = self._is_ready = True
        return self._make_state()

    def camera(self, name: str, width: int, height: int, arms: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """Return the pictures of a camera, one per arm, (n, height, width, 3).

        Pictures of a scene are simple: without shadows and reflections, and with coarse round shapes.

        Args:
            name: "overview" or "wrist".
            width: Width [px].
            height: Height [px].
            arms: Indices of the arms to draw; None: all.

        Raises:
            UnknownNameError: There is no such camera.
            RenderError: This machine has no off-screen OpenGL.
        """
        check_camera(name)
        # Arms without a scene keep the full pictures: policies were trained with them.
        painter, objects = self._get_painter(width, height, self.scene is not None), self._get_objects()
        chosen = range(self.num_envs) if arms is None else arms
        return np.stack([painter.draw(self._q[i], self._p_goal[i], name, objects, i) for i in chosen])

    def render(self, mode: str, width: int, height: int) -> NDArray[np.uint8] | None:
        """Draw the first arm: "rgb_array" returns a picture (height, width, 3), "human" shows a window.

        Raises:
            UnknownNameError: There is no such mode.
            RenderError: This machine has no off-screen OpenGL, or no display.
        """
        if mode == "rgb_array":
            return self._get_painter(width, height).draw(self._q[0], self._p_goal[0], "overview", self._get_objects())
        if mode != "human":
            raise UnknownNameError("render mode", mode, ("human", "rgb_array"))
        if self._window is None:
            self._window = Window(self.robot, self.control_dt, self.scene)
        self._window.show(self._q[0], self._p_goal[0], self._get_objects())
        return None

    def show_goal(self, goal: Array) -> None:
        """Show goals (n, 7) in pictures."""
        self._p_goal = np.array(goal[:, :3])

    def close(self) -> None:
        """Close the window and free the OpenGL contexts. Closing twice is fine."""
        super().close()
        for painter in self._painters.values():
            painter.close()
        self._painters.clear()
        if self._window is not None:
            self._window.close()
            self._window = None

    def _ramp(self, goal: Array, num_substeps: int, seconds: float) -> None:
        """Ramp the set-points to ``goal`` over a number of physics steps."""
        self._set_drives((goal - self._setpoint) / seconds)
        self._roll_out(num_substeps)
        self._setpoint = goal.copy()

    def _set_drives(self, speed: Array) -> None:
        """Let the drives' set-points ramp from where they are, at some speed (n, dof) [rad/s]."""
        if self._is_effort:
            self._control[:] = 0.0
            return
        self._control[:] = speed
        # u = s + 2ṡ/ω; from here the engine integrates u̇ = ṡ itself. Setting u anew each period, instead of letting it run on,
        # keeps rounding errors from adding up over an episode.
        self._activation[:] = self._setpoint + speed * (2.0 / OMEGA)

    def _apply(self, effort: Array, num_substeps: int) -> None:
        """Apply efforts over a number of physics steps. The set-point is the measured position afterwards."""
        self._use(is_effort=True)
        self._control[:] = effort
        self._roll_out(num_substeps)
        self._setpoint = np.clip(self._q, self.robot.lower, self.robot.upper)

    def _roll_out(self, num_substeps: int) -> None:
        """Take a number of physics steps, and note contacts at every one of them."""
        # rollout() fills the arrays of the last call again, which saves an allocation per step, as long as their sizes fit.
        if self._records and self._records[self._recorded[0]].shape[1] != num_substeps:
            self._records = {}
        self._records = self._batch.rollout(num_substeps, record=self._recorded, out=self._records)
        if self._bodies is not None:
            self._read_sensors(self._records["sensordata"])
            return
        # Pairs that may touch are excluded from the model, so every contact that the engine counts is a collision.
        self._in_collision = np.logical_or.reduce(self._records["ncon"], axis=1)
        if "sensordata" in self._records:
            self.contact_force = np.linalg.norm(self._records["sensordata"], axis=2).max(axis=1)

    def _read_sensors(self, data: Array) -> None:
        """Note collisions, contact forces and lost objects after physics steps with objects.

        Args:
            data: (n, steps, sensors · 4): number of contacts, and the largest force [N].
        """
        self._in_collision = np.logical_or.reduce(data[:, :, ::SENSOR_SIZE] > 0.0, axis=(1, 2))
        if self._measure_forces:
            self.contact_force = np.linalg.norm(data.reshape(len(data), -1, SENSOR_SIZE)[..., 1:], axis=2).max(axis=1)
        bodies, objects = self._require_objects()
        self._park(objects.take_lost(bodies.pose))

    def _park(self, park: NDArray[np.bool_] | None) -> None:
        """Take objects (n, k) away that are noted as parked; None: none."""
        if park is not None and self._bodies is not None:
            self._bodies.park(park)

    def _get_painter(self, width: int, height: int, is_simple: bool = False) -> Painter:
        self._check_open()
        key = width, height, is_simple
        if key not in self._painters:
            self._painters[key] = Painter(self.robot, width, height, self.scene, is_simple)
        return self._painters[key]

    def _make_state(self) -> ArmState:
        q, dq, objects = self._q.copy(), self._dq.copy(), self._get_objects()
        return ArmState(self._time.copy(), q, dq, self._setpoint.copy(), self._in_collision.copy(), objects)

    def _get_objects(self) -> ObjectState | None:
        if self._bodies is None or self._objects is None:
            return None
        return self._objects.make_state(self._bodies.pose, self._bodies.compute_twist())


def _choose_threads(num_threads: int | None, num_envs: int) -> int:
    if num_threads is None:
        return max(1, min(count_processors(), num_envs // ARMS_PER_THREAD))
    return read_whole("num_threads", num_threads)
