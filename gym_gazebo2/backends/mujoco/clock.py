"""Stop MuJoCo from measuring its own time.

MuJoCo reads a clock before and after each stage of every physics step, and adds the times up in ``MjData.timer``. Nothing here
reads them, and the readings take 8 % of the physics of an arm with an object.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import mujoco

__all__ = ["stop_clock"]


def stop_clock() -> None:
    """Stop the clock of this process. ``MjData.timer`` stays zero until ``mujoco.set_mjcb_time(None)`` starts it again.

    A clock that a program has set by ``mujoco.set_mjcb_time`` is left alone.
    """
    # The engine reads its clock through the global variable mjcb_time, without a lock, so the clock has to stop before a thread
    # steps a simulation: when the engine is imported. The Python package has set the variable, and has no function that clears
    # it. Windows has a library of another name, and keeps its clock.
    if mujoco.get_mjcb_time() is None:
        for library in Path(mujoco.__file__).parent.glob("libmujoco.*"):
            ctypes.c_void_p.in_dll(ctypes.CDLL(str(library)), "mjcb_time").value = None
