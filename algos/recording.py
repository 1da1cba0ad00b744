"""Write films of an arm: MP4, GIF or WebP, by the file's ending. Frames are drawn off screen by the embedded renderer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, RunError
from gym_gazebo2.robots import RobotSpec

__all__ = ["FILM_FORMATS", "Film", "check_film"]

FILM_FORMATS = {
    ".mp4": {"format": "FFMPEG", "macro_block_size": 1, "quality": 7},
    ".gif": {"format": "GIF", "loop": 0},
    ".webp": {"format": "WEBP", "loop": 0},
}
"""Ending → keywords of imageio's writer."""
SIZE = (640, 480)


def check_film(path: str | os.PathLike[str]) -> Path:
    """Return the path of a film that can be written.

    Raises:
        InvalidArgumentError: The ending is none of ``FILM_FORMATS``.
        RunError: The folder cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in FILM_FORMATS:
        raise InvalidArgumentError("record", str(path), f"a file that ends with one of {', '.join(FILM_FORMATS)}")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise RunError(f"Cannot write {path}: {path.parent} is no folder that can be written to. Choose another with --record.")
    return path


class Film:
    """A film that grows by a frame a control period.

    Attributes:
        frames: Frames written so far.
    """

    def __init__(self, path: str | os.PathLike[str], robot: RobotSpec, control_dt: float) -> None:
        """Open the file.

        Args:
            path: File to write; its ending chooses the format.
            robot: The arm.
            control_dt: Time between two frames [s].

        Raises:
            InvalidArgumentError: There is no such format.
            RunError: The file cannot be written.
            RenderError: There is no off-screen OpenGL here.
            MissingDependencyError: imageio is not installed.
        """
        from gym_gazebo2.backends.mujoco.rendering import Painter

        path = check_film(path)
        try:
            import imageio.v2 as imageio
        except ImportError as error:
            raise MissingDependencyError("imageio", "play") from error
        self.path, self.frames = path, 0
        self._painter = Painter(robot, *SIZE)
        keywords: dict[str, Any] = dict(FILM_FORMATS[path.suffix.lower()])
        timing = {"fps": 1.0 / control_dt} if keywords["format"] == "FFMPEG" else {"duration": 1000.0 * control_dt}
        self._writer = imageio.get_writer(path, **keywords, **timing)

    def add(self, q: NDArray[np.float64], p_goal: NDArray[np.float64]) -> None:
        """Add a picture of a pose (dof,) [rad] and a goal (3,) [m]."""
        self._writer.append_data(self._painter.draw(q, p_goal, "overview"))
        self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
        self._painter.close()
