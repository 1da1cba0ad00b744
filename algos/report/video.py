"""The film of a report: one episode of the deterministic policy, as an animated WebP."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, get_episode_steps, make_eval_env
from gym_gazebo2.algos.images import Picture, encode_animation, make_image
from gym_gazebo2.algos.measures import describe_measures
from gym_gazebo2.algos.runs.model_file import ModelFile, read_model_file
from gym_gazebo2.algos.vec_env import BatchedVecEnv

__all__ = ["SIZE", "FilmedEpisode", "encode_film", "film_episode"]

SIZE = (480, 360)
"""Width and height of the film [px]."""
MOST_FRAMES = 100
"""Longer episodes show every n-th step. More frames would make the page larger and no smoother to the eye."""
STILL_RAD = 1e-3
"""Movement of a joint [rad] or an object [m] that no picture shows: less than a pixel."""
LAST_FRAME_S = 1.0
"""Time for which the last frame stays before the film repeats [s]."""
QUALITY = {"quality": 62, "method": 2, "kmax": 40}
"""Options of the WebP writer: 100 frames take about 300 kB and 1 s. ``kmax`` is the distance between key frames."""


@dataclasses.dataclass(frozen=True)
class FilmedEpisode:
    """Pictures of one episode.

    Attributes:
        frames: The pictures, the first one at the start.
        times: Simulated time of each picture [s].
        measured: What the task measures at each picture, such as "tool error 0.42 mm".
    """

    frames: list[Picture]
    times: list[float]
    measured: list[str]


def film_episode(path: Path, seed: int = 0, changes: Mapping[str, Any] | None = None) -> FilmedEpisode:
    """Run one episode of a model in MuJoCo, and draw it.

    Args:
        path: The model file of an arm.
        seed: Seed of the episode.
        changes: Keywords of the environment that differ from the training's.

    Raises:
        RunError: The model file is missing or corrupt.
        RenderError: The machine has no off-screen OpenGL.
    """
    file = read_model_file(path)
    kwargs = file.config.change_kwargs({**(changes or {}), "backend": "mujoco"})
    env = make_eval_env(file.config.env, 1, render_mode="rgb_array", **kwargs)
    with contextlib.closing(file.wrap(env)) as wrapped:
        return _film(wrapped, env, file, seed, get_episode_steps(file.config.env, kwargs.get("max_episode_steps")))


def _film(wrapped: VecEnv, env: Any, file: ModelFile, seed: int, num_steps: int) -> FilmedEpisode:
    """Run one episode in a wrapped environment, and draw the environment inside."""
    stride = -(-num_steps // MOST_FRAMES)  # rounded up
    policy, camera, episode = ModelPolicy(file.build()), _Camera(env), FilmedEpisode([], [], [])
    wrapped.seed(seed)
    observation = wrapped.reset()
    info, has_ended = env.reset_infos[0], False
    for step in range(num_steps + 1):
        if step % stride == 0 or step == num_steps or has_ended:
            # An arm whose episode ended is already at its next start: the picture before stands for the end.
            episode.frames.append(episode.frames[-1] if has_ended else camera.shoot())
            episode.times.append(info["time"])
            episode.measured.append(describe_measures(env.arms.task.MEASURES, info))
        if step == num_steps or has_ended:
            break
        observation, _, dones, infos = wrapped.step(policy(observation))
        info, has_ended = infos[0], bool(dones[0])
    return episode


class _Camera:
    """Draws only if the arm or an object has moved: without a graphics card, drawing takes most of a report's time."""

    def __init__(self, env: BatchedVecEnv) -> None:
        self._env = env
        self._pose: NDArray[np.float64] | None = None
        self._picture: Picture

    def shoot(self) -> Picture:
        """Return a picture of the first arm."""
        arm = self._env.arms.require_state().arm
        pose = arm.q[0] if arm.objects is None else np.concatenate([arm.q[0], arm.objects.pose[0].ravel()])
        if self._pose is None or np.abs(pose - self._pose).max() > STILL_RAD:
            [picture] = self._env.get_images()
            self._pose, self._picture = pose.copy(), np.asarray(picture)
        return self._picture


def encode_film(episode: FilmedEpisode) -> bytes:
    """Return the episode as an animated WebP in real time, with time and measure in its corner."""
    parts = zip(episode.frames, episode.times, episode.measured, strict=True)
    images = [_make_captioned(frame, f"{time:4.2f} s     {measured}".rstrip()) for frame, time, measured in parts]
    durations = np.diff([*episode.times, episode.times[-1] + LAST_FRAME_S])
    return encode_animation(images, "webp", durations.tolist(), **QUALITY)


def _make_captioned(frame: Picture, caption: str) -> Any:
    """Return a frame as an image in the film's size, with a caption at its lower left."""
    image = make_image(frame, SIZE)
    from PIL import ImageDraw, ImageFont  # make_image has found Pillow

    canvas, font = ImageDraw.Draw(image, "RGBA"), ImageFont.load_default(15)
    while ", " in caption and canvas.textlength(caption, font=font) > SIZE[0] - 50:
        caption = caption.rpartition(", ")[0]  # a task may have many measures; the first ones matter most
    right, bottom = 30 + canvas.textlength(caption, font=font), SIZE[1] - 10
    canvas.rounded_rectangle((10, bottom - 26, right, bottom), radius=6, fill=(20, 22, 26, 170))
    canvas.text((20, bottom - 13), caption, fill=(255, 255, 255, 255), font=font, anchor="lm")
    return image
