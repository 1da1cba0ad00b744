"""A short film of the arm: one episode of the deterministic policy, as an animated WebP."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, get_episode_steps, make_eval_env
from gym_gazebo2.algos.measures import describe_measures
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.settings.env_keywords import change_env_kwargs
from gym_gazebo2.algos.vec_env import BatchedVecEnv
from gym_gazebo2.errors import MissingDependencyError

__all__ = ["Film", "encode_film", "encode_picture", "film_arm"]

SIZE = (480, 360)
"""Width and height of the film [px]."""
MOST_FRAMES = 100
STILL_RAD = 1e-3
"""Movement of a joint that no picture shows [rad]: under a pixel at the tool."""
HOLD_S = 1.0
"""How long the last frame stays before the film starts again."""


@dataclasses.dataclass(frozen=True)
class Film:
    """Pictures of one episode.

    Attributes:
        frames: Pictures (height, width, 3), the first at the start.
        times: Simulated time of each [s].
        captions: What the task measures at each, such as "tool error 0.42 mm".
        start_noise: Half-width of the noise on the start pose [rad]; None for environments that have no such noise.
    """

    frames: list[NDArray[np.uint8]]
    times: list[float]
    captions: list[str]
    start_noise: float | None


def film_arm(path: Path, seed: int = 0) -> Film:
    """Run one episode of a model on the embedded backend, and draw it.

    Args:
        path: The model file.
        seed: Seed of the episode.

    Raises:
        RunError: It is missing or corrupt.
        RenderError: The machine has no off-screen OpenGL.
    """
    file = read_model_file(path)
    config = file.config
    num_steps = get_episode_steps(config.env, config.max_episode_steps)
    stride = -(-num_steps // MOST_FRAMES)
    kwargs = change_env_kwargs(config.make_kwargs, {"backend": "mujoco"})
    film = Film([], [], [], config.start_noise)
    with contextlib.closing(file.wrap(make_eval_env(config.env, 1, render_mode="rgb_array", **kwargs))) as env:
        policy, camera = ModelPolicy(file.build()), _Camera(env.unwrapped)
        measures = env.unwrapped.arms.task.MEASURES
        env.seed(seed)
        observation = env.reset()
        info, has_ended = env.unwrapped.reset_infos[0], False
        for step in range(num_steps + 1):
            if step % stride == 0 or step == num_steps or has_ended:
                # An arm whose episode ended is already at its next start: the last picture stands for the end.
                film.frames.append(film.frames[-1] if has_ended else camera.shoot())
                film.times.append(info["time"])
                film.captions.append(describe_measures(measures, info))
            if step == num_steps or has_ended:
                break
            observation, _, dones, infos = env.step(policy(observation))
            info, has_ended = infos[0], bool(dones[0])
    return film


class _Camera:
    """Draws the arm again only where it has moved, as drawing without a graphics card is most of a report's work."""

    def __init__(self, env: BatchedVecEnv) -> None:
        self._env = env
        self._q: NDArray[np.float64] | None = None
        self._picture: NDArray[np.uint8]

    def shoot(self) -> NDArray[np.uint8]:
        """Return a picture of the first arm."""
        q = self._env.arms.require_state().arm.q[0]
        if self._q is None or np.abs(q - self._q).max() > STILL_RAD:
            [picture] = self._env.get_images()
            self._q, self._picture = q.copy(), np.asarray(picture)
        return self._picture


def encode_film(film: Film) -> bytes:
    """Return the film as an animated WebP in real time, time and distance in its corner."""
    frames = [_caption(frame, time, text) for frame, time, text in zip(film.frames, film.times, film.captions, strict=True)]
    durations = np.diff([*film.times, film.times[-1] + HOLD_S])
    stream = io.BytesIO()
    frames[0].save(
        stream,
        format="WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=np.round(1e3 * durations).astype(int).tolist(),
        loop=0,
        quality=62,
        method=2,
        kmax=40,
    )
    return stream.getvalue()


def encode_picture(picture: NDArray[np.uint8], size: Sequence[int] | None = None) -> bytes:
    """Return a picture as PNG, in another size where one is given."""
    image = _import_pillow().fromarray(picture)
    stream = io.BytesIO()
    (image if size is None else image.resize(tuple(size))).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _caption(frame: NDArray[np.uint8], time: float, text: str) -> Any:
    """Return a frame in the film's size, with a strip that shows the time and what the task measures."""
    from PIL import ImageDraw, ImageFont

    image = _import_pillow().fromarray(frame).resize(SIZE)
    canvas = ImageDraw.Draw(image, "RGBA")
    label, font = f"{time:4.2f} s     {text}".rstrip(), ImageFont.load_default(15)
    right = min(SIZE[0] - 10, 32 + round(canvas.textlength(label, font=font)))
    canvas.rounded_rectangle((10, SIZE[1] - 36, right, SIZE[1] - 10), radius=6, fill=(20, 22, 26, 170))
    canvas.text((20, SIZE[1] - 23), label, fill=(255, 255, 255, 255), font=font, anchor="lm")
    return image


def _import_pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", "train") from error
    return Image
