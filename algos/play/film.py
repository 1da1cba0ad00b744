"""Record an arm to a film: MP4, GIF or WebP, by the file's suffix. MuJoCo draws the frames off screen, for every backend."""

from __future__ import annotations

import fractions
import io
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.images import Picture, encode_animation, import_pillow, make_image
from gym_gazebo2.algos.runs.writing import check_writable, write_atomically
from gym_gazebo2.backends import make_painter
from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError, WriteError
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import ObjectState

__all__ = ["FILM_FORMATS", "FilmWriter", "check_film"]

SIZE = (640, 480)
"""Width and height of a film [px]. H.264 needs even numbers."""


class _Encoder(Protocol):
    """Turns pictures into the content of a file."""

    def add(self, picture: Picture) -> None:
        """Append a frame."""

    def finish(self) -> bytes:
        """Return the content; empty without a frame."""


class _VideoEncoder:
    """Encodes H.264, which every browser plays. Frames are encoded as they come, so memory stays small."""

    def __init__(self, file_format: str, period: float) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingDependencyError("av", "play") from error
        self._make_frame = av.VideoFrame.from_ndarray
        self._content = io.BytesIO()
        self._file = av.open(self._content, "w", format=file_format)
        # The rate is a fraction: 1/0.03 as a float would make the film drift against simulated time.
        self._stream: Any = self._file.add_stream("libx264", rate=fractions.Fraction(1.0 / period).limit_denominator(1000))
        self._stream.width, self._stream.height = SIZE
        self._stream.pix_fmt = "yuv420p"  # the one pixel format that all players decode

    def add(self, picture: Picture) -> None:
        self._file.mux(self._stream.encode(self._make_frame(picture, format="rgb24")))

    def finish(self) -> bytes:
        if self._stream.codec_context.is_open:  # the codec opens with the first frame; without one there is nothing to flush
            self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._content.getvalue()


class _AnimationEncoder:
    """Encodes GIF or WebP. Pillow writes them at once, so all frames are kept until the end."""

    def __init__(self, file_format: str, period: float) -> None:
        import_pillow()  # raises before the first episode is played, not after it
        self._format, self._period, self._images = file_format, period, list[Any]()

    def add(self, picture: Picture) -> None:
        self._images.append(make_image(picture))

    def finish(self) -> bytes:
        return encode_animation(self._images, self._format, [self._period] * len(self._images)) if self._images else b""


FILM_FORMATS: dict[str, type[_VideoEncoder] | type[_AnimationEncoder]] = {
    ".mp4": _VideoEncoder,
    ".gif": _AnimationEncoder,
    ".webp": _AnimationEncoder,
}
"""A dictionary from a file's suffix to its encoder."""


def check_film(path: str | os.PathLike[str]) -> Path:
    """Return the path of a film that can be written.

    Raises:
        InvalidArgumentError: The suffix is not in ``FILM_FORMATS``.
        WriteError: The folder does not exist, or cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in FILM_FORMATS:
        raise InvalidArgumentError("record", str(path), f"a file that ends with one of {', '.join(FILM_FORMATS)}")
    if not path.parent.is_dir():
        raise WriteError(path, f"{path.parent} is not a folder", "Create the folder.")
    check_writable(path)
    return path


class FilmWriter:
    """Writes a film with one frame per control period."""

    def __init__(self, path: str | os.PathLike[str], robot: RobotSpec, control_dt: float, scene: Scene | None = None) -> None:
        """Prepare the film; the file appears when the film is closed.

        Args:
            path: The file; its suffix chooses the format.
            robot: The arm.
            control_dt: Time between two frames [s].
            scene: What stands around the arm; None: only the floor.

        Raises:
            InvalidArgumentError: The suffix is not in ``FILM_FORMATS``.
            WriteError: The file cannot be written.
            RenderError: This machine has no off-screen OpenGL.
            MissingDependencyError: The package that writes the format is not installed.
        """
        self._path = check_film(path)
        suffix = self._path.suffix.lower()
        self._encoder: _Encoder = FILM_FORMATS[suffix](suffix.removeprefix("."), control_dt)
        self._painter = make_painter(robot, *SIZE, scene)

    def add(self, q: NDArray[np.float64], p_goal: NDArray[np.float64] | None, objects: ObjectState | None = None) -> None:
        """Add a picture of a pose (dof,) [rad], of a goal (3,) [m] or no goal, and of the first arm's objects."""
        self._encoder.add(self._painter.draw(q, p_goal, "overview", objects))

    def close(self) -> None:
        """Write the file; without a frame nothing is written.

        Raises:
            WriteError: The file cannot be written; an existing file stays as it is.
        """
        self._painter.close()
        if content := self._encoder.finish():
            write_atomically(self._path, content)
