"""Write films of an arm: MP4, GIF or WebP, by the file's ending. Frames are drawn off screen by the embedded renderer."""

from __future__ import annotations

import fractions
import io
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.runs.writing import write_atomically
from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, WriteError
from gym_gazebo2.robots import RobotSpec

__all__ = ["FILM_FORMATS", "Film", "check_film"]

SIZE = (640, 480)
Picture = NDArray[np.uint8]


class Writer(Protocol):
    """Takes pictures (height, width, 3), and returns a file's content."""

    def add(self, picture: Picture) -> None:
        """Append a picture."""

    def finish(self) -> bytes:
        """Return the content; nothing where there was no picture."""


class _Video:
    """H.264, as every browser plays it."""

    def __init__(self, ending: str, period: float) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingDependencyError("av", "play") from error
        self._frame = av.VideoFrame
        self._content = io.BytesIO()
        self._file = av.open(self._content, "w", format=ending)
        self._stream: Any = self._file.add_stream("libx264", rate=fractions.Fraction(1.0 / period).limit_denominator(1000))
        self._stream.width, self._stream.height = SIZE
        self._stream.pix_fmt = "yuv420p"

    def add(self, picture: Picture) -> None:
        self._file.mux(self._stream.encode(self._frame.from_ndarray(picture, format="rgb24")))

    def finish(self) -> bytes:
        if self._stream.codec_context.is_open:  # it opens with the first picture
            self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._content.getvalue()


class _Animation:
    """GIF or WebP; its pictures are kept until the end."""

    def __init__(self, ending: str, period: float) -> None:
        try:
            from PIL import Image
        except ImportError as error:
            raise MissingDependencyError("pillow", "play") from error
        self._make, self._ending, self._period, self._pictures = Image.fromarray, ending, period, list[Any]()

    def add(self, picture: Picture) -> None:
        self._pictures.append(self._make(picture))

    def finish(self) -> bytes:
        content = io.BytesIO()
        if self._pictures:
            first, *others = self._pictures
            duration = round(1000 * self._period)
            first.save(content, format=self._ending, save_all=True, append_images=others, duration=duration, loop=0)
        return content.getvalue()


FILM_FORMATS: dict[str, type[_Video] | type[_Animation]] = {".mp4": _Video, ".gif": _Animation, ".webp": _Animation}
"""Ending → what writes it."""


def check_film(path: str | os.PathLike[str]) -> Path:
    """Return the path of a film that can be written.

    Raises:
        InvalidArgumentError: The ending is none of ``FILM_FORMATS``.
        WriteError: The folder does not exist, or cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in FILM_FORMATS:
        raise InvalidArgumentError("record", str(path), f"a file that ends with one of {', '.join(FILM_FORMATS)}")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise WriteError(path, f"{path.parent} is not a folder that you may write to", "Create the folder.")
    return path


class Film:
    """A film that grows by a frame a control period."""

    def __init__(self, path: str | os.PathLike[str], robot: RobotSpec, control_dt: float) -> None:
        """Begin without a picture.

        Args:
            path: File to write when it is closed; its ending chooses the format.
            robot: The arm.
            control_dt: Time between two frames [s].

        Raises:
            InvalidArgumentError: There is no such format.
            WriteError: The file cannot be written.
            RenderError: There is no off-screen OpenGL here.
            MissingDependencyError: The package that writes the format is not installed.
        """
        from gym_gazebo2.backends.mujoco.rendering import Painter

        self._path = check_film(path)
        ending = self._path.suffix.lower()
        self._writer: Writer = FILM_FORMATS[ending](ending.removeprefix("."), control_dt)
        self._painter = Painter(robot, *SIZE)

    def add(self, q: NDArray[np.float64], p_goal: NDArray[np.float64] | None) -> None:
        """Add a picture of a pose (dof,) [rad] and, unless None, a goal (3,) [m]."""
        self._writer.add(self._painter.draw(q, p_goal, "overview"))

    def close(self) -> None:
        """Write the file; without a picture there is none.

        Raises:
            WriteError: It cannot be written; an existing file stays as it is.
        """
        self._painter.close()
        if content := self._writer.finish():
            write_atomically(self._path, content)
