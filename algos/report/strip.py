"""Strips of pictures: one episode that succeeded and one that failed, each as a row of moments."""

from __future__ import annotations

import numpy as np

from gym_gazebo2.algos.images import Picture, make_image
from gym_gazebo2.algos.report.video import FilmedEpisode

__all__ = ["make_strip"]

PICTURES = 5
"""Number of pictures in a strip."""
MARGIN = 4
"""White space between two pictures [px]."""


def make_strip(episode: FilmedEpisode, width: int = 1200) -> Picture:
    """Return pictures of an episode side by side, at equal distances in time, from its start to its end.

    Args:
        episode: The episode.
        width: Width of the strip [px].
    """
    count = min(PICTURES, len(episode.frames))
    times = np.linspace(episode.times[0], episode.times[-1], count)
    chosen = [int(np.argmin(np.abs(np.array(episode.times) - time))) for time in times]
    part = (width - (count - 1) * MARGIN) // count
    height = round(part * episode.frames[0].shape[0] / episode.frames[0].shape[1])
    strip = np.full((height, width, 3), 255, dtype=np.uint8)
    for number, frame in enumerate(chosen):
        left = number * (part + MARGIN)
        strip[:, left : left + part] = np.asarray(make_image(episode.frames[frame], (part, height)))
    return strip
