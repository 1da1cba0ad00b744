"""Pictures of a MuJoCo arm: off-screen through EGL, or in a window."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.mujoco.scene import CAMERAS, make_visual_model
from gym_gazebo2.errors import MissingDependencyError, RenderError, UnknownNameError
from gym_gazebo2.ownership import Owner, tie_to_process
from gym_gazebo2.real_time import RealTime
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import PARK_POSITION, ObjectState

__all__ = ["Painter", "Window"]

Array = NDArray[np.float64]

NO_DRIVER = (
    "This machine cannot draw pictures off-screen: {error}. {unset}Install an EGL driver, on Debian and Ubuntu: "
    "apt-get install libegl1 libegl-mesa0 libgl1 (Mesa, also without a GPU)."
)
GRAPHICS_VARIABLES = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "MUJOCO_EGL_DEVICE_ID")
"""Environment variables that choose a graphics library or device."""
NO_DISPLAY = (
    "No window can be opened: {error}. Start from a desktop session (DISPLAY), or use no window: "
    "render_mode='rgb_array', gym-gazebo2 sim without --gui."
)
SIMPLE_FACES = (14, 8)
"""Faces of a round shape in simple pictures, around it and along it; half of MuJoCo's default."""
_FORKED_AFTER_USE = threading.Event()
"""Set in a process that is a fork of one that had used OpenGL."""
FORKED = (
    "This process is a fork of one that had used OpenGL, and OpenGL does not work in such a fork. Start the processes with the "
    "method 'spawn': gymnasium.make_vec(id, vectorization_mode='async', vector_kwargs={'context': 'spawn'}), "
    "SubprocVecEnv(makers, start_method='spawn')."
)


class Painter:
    """Draws poses of one robot off-screen, in an OpenGL context of its own. Any thread may draw, one at a time."""

    def __init__(self, robot: RobotSpec, width: int, height: int, scene: Scene | None = None, is_simple: bool = False) -> None:
        """Make the OpenGL context.

        Args:
            robot: The arm.
            width: Width of the pictures [px].
            height: Height of the pictures [px].
            scene: What stands around the arm; None: only the floor.
            is_simple: Whether to leave out shadows and reflections, and to draw round shapes with few faces. Without a graphics
                card this is about twenty times as fast.

        Raises:
            RenderError: The machine has no EGL driver, or this process is a fork of one that had used OpenGL.
        """
        _check_not_forked()
        self.model = make_visual_model(robot, width, height, scene)
        self.data = mujoco.MjData(self.model)
        self._scene = mujoco.MjvScene(self.model, maxgeom=1000)
        if is_simple:
            self.model.vis.quality.numslices, self.model.vis.quality.numstacks = SIMPLE_FACES
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                self._scene.flags[flag] = False
        self._option, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        self._view = mujoco.MjrRect(0, 0, width, height)
        try:
            self._gl = _make_gl_context(width, height)
            with _make_current(self._gl):
                self._context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100)
                mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        except (RuntimeError, ImportError, AttributeError, OSError, ValueError, mujoco.FatalError) as error:
            raise RenderError(_explain(error)) from error
        # A dropped painter frees its context, too. At exit the driver has ended before, and takes everything along.
        self._free = weakref.finalize(self, _free, self._gl, self._context, tie_to_process(self))
        self._free.atexit = False

    def draw(
        self, q: Array, p_goal: Array | None, camera: str, objects: ObjectState | None = None, arm: int = 0
    ) -> NDArray[np.uint8]:
        """Return a picture (height, width, 3).

        Args:
            q: (dof,) joint positions [rad].
            p_goal: (3,) position of the goal [m]; None: no goal is drawn.
            camera: Name of the camera, one of ``CAMERAS``.
            objects: State of the objects of n arms; None: no object is drawn.
            arm: Which of them is drawn.

        Raises:
            RenderError: This process is a fork of the one that made the painter.
        """
        _check_not_forked()
        _pose(self.model, self.data, q, p_goal, objects, arm)
        self._camera.type, self._camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, self.model.camera(camera).id
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self.model, self.data, self._option, None, self._camera, everything, self._scene)
        picture = np.empty((self._view.height, self._view.width, 3), dtype=np.uint8)
        with _make_current(self._gl):
            mujoco.mjr_render(self._view, self._scene, self._context)
            mujoco.mjr_readPixels(picture, None, self._view, self._context)
        return np.ascontiguousarray(picture[::-1])  # OpenGL's rows go from bottom to top

    def close(self) -> None:
        """Free the OpenGL context. Closing twice is fine."""
        self._free()


def _free(gl: Any, context: mujoco.MjrContext, owner: Owner) -> None:
    """Free an OpenGL context; in a fork of the process it belongs to the parent."""
    if owner.is_here:
        with _make_current(gl):
            context.free()
        gl.free()


@contextlib.contextmanager
def _make_current(gl: Any) -> Iterator[None]:
    """Make a context the calling thread's current one, and let other threads and painters have it afterwards."""
    gl.make_current()
    try:
        yield
    finally:
        # A context is current in at most one thread, so a thread that kept it would lock out all others.
        if gl.__class__.__module__ == "mujoco.egl":
            from mujoco import egl

            egl.EGL.eglMakeCurrent(egl.EGL_DISPLAY, egl.EGL.EGL_NO_SURFACE, egl.EGL.EGL_NO_SURFACE, egl.EGL.EGL_NO_CONTEXT)


def _explain(error: Exception) -> str:
    """Return why no picture can be drawn, and what to do. Variables that choose another library are the usual cause."""
    # MuJoCo sets PYOPENGL_PLATFORM itself, to the library that it loads.
    own = ("egl", os.environ.get("MUJOCO_GL"))
    given = [name for name in GRAPHICS_VARIABLES if os.environ.get(name)]
    given = [name for name in given if name != "PYOPENGL_PLATFORM" or os.environ[name] not in own]
    values = ", ".join(f"{name} is {os.environ[name]!r}" for name in given)
    unset = f"{values}: unset {' '.join(given)}. " if given else ""
    return NO_DRIVER.format(error=str(error).rstrip(".") or type(error).__name__, unset=unset)


def _load_triton() -> None:
    """Import triton, the compiler of torch's builds for CUDA, where it is installed.

    torch imports it when a training begins. Triton and Mesa's software renderer both contain LLVM, and a process in which
    triton comes second ends with a segmentation fault (triton 3.7.1, Mesa 22.3.6). Where triton cannot be imported, torch goes
    on without it, and so does this.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")


def _make_gl_context(width: int, height: int) -> Any:
    """Return an OpenGL context: EGL on Linux, which needs no display, unless MUJOCO_GL names another library."""
    _load_triton()
    name = os.environ.get("MUJOCO_GL", "").lower().strip()
    # MuJoCo's own choice (gl_context) hides why a library cannot be loaded, so it is asked only for the rest.
    if sys.platform == "linux" and name in ("", "egl"):
        from mujoco.egl import GLContext
    elif name == "osmesa":
        from mujoco.osmesa import GLContext
    else:
        from mujoco.gl_context import GLContext
    return GLContext(width, height)


def _note_fork() -> None:
    """Note, in a forked child, whether the parent has used OpenGL: the driver's threads are then missing here."""
    egl = sys.modules.get("mujoco.egl")
    if egl is not None and egl.EGL_DISPLAY is not None:
        _FORKED_AFTER_USE.set()
        atexit.unregister(egl._terminate_display)  # it would wait for the driver for ever when the child ends


os.register_at_fork(after_in_child=_note_fork)


def _check_not_forked() -> None:
    if _FORKED_AFTER_USE.is_set():
        raise RenderError(FORKED)


class Window:
    """Shows one arm in MuJoCo's viewer, at most at real-time speed."""

    def __init__(self, robot: RobotSpec, period: float, scene: Scene | None = None) -> None:
        """Open the window.

        Args:
            robot: The arm.
            period: Shortest time between two pictures [s].
            scene: What stands around the arm; None: only the floor.

        Raises:
            RenderError: There is no display.
            MissingDependencyError: glfw is not installed.
        """
        try:
            import glfw
            from mujoco import viewer
        except ImportError as error:
            raise MissingDependencyError(error.name or "glfw", "mujoco") from error

        _load_triton()
        if not glfw.init():  # without a display the viewer would end the process instead of raising an error
            raise RenderError(NO_DISPLAY.format(error=f"DISPLAY is {os.environ.get('DISPLAY', 'not set')!r}"))
        self.model = make_visual_model(robot, 640, 480, scene)
        self.data = mujoco.MjData(self.model)
        # The viewer draws in threads that its handle does not name. They are found by comparison, so that close() can wait
        # for them: a thread that still draws while the interpreter ends would crash the process.
        others = set(threading.enumerate())
        self._handle: Any = viewer.launch_passive(self.model, self.data, show_left_ui=False, show_right_ui=False)
        threads = set(threading.enumerate()) - others
        self._end = weakref.finalize(self, _end_window, self._handle, threads, Owner())
        self._real_time = RealTime(period)

    def show(self, q: Array, p_goal: Array, objects: ObjectState | None = None) -> None:
        """Show a pose (dof,) [rad], a goal position (3,) [m], and the first arm's objects.

        A window that the user closed stays closed.
        """
        if not self._handle.is_running():
            return
        with self._handle.lock():
            _pose(self.model, self.data, q, p_goal, objects)
        self._handle.sync()
        self._real_time.wait()

    def close(self) -> None:
        """Close the window and wait for its threads. Closing twice is fine."""
        self._end()


def _end_window(handle: Any, threads: set[threading.Thread], owner: Owner) -> None:
    """Close a window and wait for its threads; in a fork of the process, both belong to the parent."""
    if owner.is_here:
        handle.close()
        for thread in threads:
            thread.join(timeout=10.0)


def check_camera(name: str) -> None:
    """Check the name of a camera.

    Raises:
        UnknownNameError: There is no such camera.
    """
    if name not in CAMERAS:
        raise UnknownNameError("camera", name, CAMERAS)


def _pose(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    q: Array,
    p_goal: Array | None,
    objects: ObjectState | None = None,
    arm: int = 0,
) -> None:
    """Put the arm, the goal marker and the objects of one arm in place.

    No physics: only frames, cameras and lights are computed.
    """
    data.qpos[:] = q
    if p_goal is not None:  # otherwise the marker stays at its place in the model, below the floor
        data.mocap_pos[0] = p_goal
    if objects is not None:
        data.mocap_pos[1:] = PARK_POSITION
        shown = 1 + objects.index[arm]  # the goal is the first mocap body, members of the pool follow
        data.mocap_pos[shown], data.mocap_quat[shown] = objects.pose[arm, :, :3], objects.pose[arm, :, 3:]
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_camlight(model, data)
