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
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.settings.env_keywords import change_env_kwargs
from gym_gazebo2.errors import MissingDependencyError
from gym_gazebo2.vector_env import ArmVectorEnv

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
        errors_mm: Distance from tool to goal at each [mm].
        start_noise: Half-width of the noise on the start pose [rad].
    """

    frames: list[NDArray[np.uint8]]
    times: list[float]
    errors_mm: list[float]
    start_noise: float


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
        policy, camera = ModelPolicy(file.build()), _Camera(env.unwrapped.env)
        env.seed(seed)
        observation = env.reset()
        info = env.unwrapped.reset_infos[0]
        for step in range(num_steps + 1):
            if step % stride == 0 or step == num_steps:
                film.frames.append(camera.shoot())
                film.times.append(info["time"])
                film.errors_mm.append(1e3 * info["position_error"])
            if step < num_steps:
                observation, _, _, infos = env.step(policy(observation))
                info = infos[0]
    return film


class _Camera:
    """Draws the arm again only where it has moved, as drawing without a graphics card is most of a report's work."""

    def __init__(self, env: ArmVectorEnv) -> None:
        self._env: Any = env
        self._q: NDArray[np.float64] | None = None
        self._picture: NDArray[np.uint8]

    def shoot(self) -> NDArray[np.uint8]:
        """Return a picture of the first arm."""
        q = self._env.core.arm.q[0]
        if self._q is None or np.abs(q - self._q).max() > STILL_RAD:
            self._q, self._picture = q.copy(), self._env.render()[0]
        return self._picture


def encode_film(film: Film) -> bytes:
    """Return the film as an animated WebP in real time, time and distance in its corner."""
    frames = [_caption(frame, time, error) for frame, time, error in zip(film.frames, film.times, film.errors_mm, strict=True)]
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


def _caption(frame: NDArray[np.uint8], time: float, error_mm: float) -> Any:
    """Return a frame in the film's size, with a strip that tells time and distance."""
    from PIL import ImageDraw, ImageFont

    image = _import_pillow().fromarray(frame).resize(SIZE)
    canvas = ImageDraw.Draw(image, "RGBA")
    label = f"{time:4.2f} s     {error_mm:6.1f} mm to the goal"
    canvas.rounded_rectangle((10, SIZE[1] - 36, 262, SIZE[1] - 10), radius=6, fill=(20, 22, 26, 170))
    canvas.text((20, SIZE[1] - 23), label, fill=(255, 255, 255, 255), font=ImageFont.load_default(15), anchor="lm")
    return image


def _import_pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", "train") from error
    return Image
