"""Encode pictures as PNG, and sequences of pictures as an animated GIF or WebP."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import MissingDependencyError

__all__ = ["Picture", "encode_animation", "encode_png", "import_pillow", "make_image"]

Picture = NDArray[np.uint8]
"""(height, width, 3) red, green and blue."""
Image = Any
"""A Pillow image. Pillow is imported when a picture is made, as reading a run needs none."""


def make_image(picture: Picture, size: tuple[int, int] | None = None) -> Image:
    """Return a picture as a Pillow image, scaled to a width and height [px] where given."""
    image = import_pillow().fromarray(picture)
    return image if size is None else image.resize(size)


def encode_png(picture: Picture, size: tuple[int, int] | None = None) -> bytes:
    """Return a picture as a PNG file, scaled to a width and height [px] where given."""
    stream = io.BytesIO()
    make_image(picture, size).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def encode_animation(images: Sequence[Image], file_format: str, durations_s: Sequence[float], **options: Any) -> bytes:
    """Return images as an animation that repeats.

    Args:
        images: The frames, at least one.
        file_format: "gif" or "webp".
        durations_s: Time for which each frame stays [s].
        **options: Options of Pillow's writer.
    """
    stream, (first, *others) = io.BytesIO(), images
    durations_ms = [round(1e3 * duration) for duration in durations_s]
    first.save(
        stream, format=file_format, save_all=True, append_images=others, duration=durations_ms, loop=0, **options
    )  # loop=0 repeats for ever
    return stream.getvalue()


def import_pillow() -> Any:
    """Return Pillow's module ``Image``.

    Raises:
        MissingDependencyError: Pillow is not installed.
    """
    try:
        from PIL import Image as module
    except ImportError as error:
        raise MissingDependencyError("pillow", "train") from error
    return module
