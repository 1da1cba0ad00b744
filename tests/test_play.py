"""Playing: films without a window, random actions, and sliders under a real terminal's keys."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import av
import gymnasium
import numpy as np
import pytest
from PIL import Image, ImageSequence

from gym_gazebo2.algos import TrainConfig, train
from gym_gazebo2.algos.play.keyboard import Sliders, split_keys
from gym_gazebo2.algos.play.player import PlayConfig, play
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, RenderError, RunError, UnknownNameError, UsageError

from .processes import run_process

SMALL = {"n_steps": 10, "batch_size": 20, "n_epochs": 1}
RIGHT, LEFT, UP, DOWN = b"\x1b[C", b"\x1b[D", b"\x1b[A", b"\x1b[B"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("play") / "run"
    return train(TrainConfig(env="SCARA-v0", steps=40, num_envs=2, hyperparameters=SMALL, out=str(out), progress=False)).path


def read_film(path: Path) -> list[np.ndarray]:
    """Return the frames of a film, (height, width, 3)."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as film:
            return [frame.to_ndarray(format="rgb24").astype(float) for frame in film.decode(video=0)]
    with Image.open(path) as film:
        return [np.asarray(frame.convert("RGB"), dtype=float) for frame in ImageSequence.Iterator(film)]


def test_gymnasium_s_own_recorder_works_with_the_extra_video(tmp_path: Path) -> None:
    env = gymnasium.make("SCARA-v0", render_mode="rgb_array", max_episode_steps=5)
    env = gymnasium.wrappers.RecordVideo(env, str(tmp_path / "film"), name_prefix="arm")
    env.reset(seed=0)
    for _ in range(5):
        env.step(env.action_space.sample())
    env.close()
    (film,) = tmp_path.glob("film/*.mp4")
    assert len(read_film(film)) == 6


@pytest.mark.parametrize("ending", ["mp4", "gif", "webp"])
def test_films_have_a_frame_a_step_and_show_an_arm_that_moves(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"arm.{ending}"
    (played,) = play("SCARA-v0", PlayConfig(record=str(path), seed=3, steps=20))
    assert played.steps == 20 and played.text == f"tool error {1e3 * played.measures['position_error']:.1f} mm"
    frames = read_film(path)
    assert len(frames) == 20
    assert np.abs(frames[0] - frames[-1]).mean() > 0.5


def test_a_run_plays_its_own_policy(run: Path, tmp_path: Path) -> None:
    config = PlayConfig(record=str(tmp_path / "arm.gif"), episodes=2, steps=10)
    first = play(run, config)
    assert [played.steps for played in first] == [10, 10]
    assert play(run, config) == first
    assert play(run, PlayConfig(record=config.record, policy="random", steps=10))[0] != first[0]


@pytest.mark.parametrize(
    ("what", "config", "error", "says"),
    [
        ("SCARA-v0", {"record": "arm.avi"}, InvalidArgumentError, r"\.mp4, \.gif, \.webp"),
        ("SCARA-v0", {"record": "/nowhere/arm.gif"}, RunError, "--record"),
        ("SCARA-v0", {"policy": "policy", "record": "arm.gif"}, InvalidArgumentError, "not a run folder"),
        ("SCARA-v9", {}, UnknownNameError, "SCARA-v0"),
        ("no/run", {}, RunError, "not a run folder"),
    ],
)
def test_what_cannot_be_played(
    what: str, config: dict[str, str], error: type[GymGazebo2Error], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=says):
        play(what, PlayConfig(**config))


@pytest.mark.parametrize("config", [{"policy": "best"}, {"model": "newest"}, {"episodes": 0}, {"seed": -1}, {"steps": 0}])
def test_bad_settings(config: dict[str, object]) -> None:
    with pytest.raises(GymGazebo2Error):
        PlayConfig(**config)


def test_keys_move_the_chosen_slider() -> None:
    sliders = Sliders(("a", "b", "c"))
    for key in split_keys(b"2" + RIGHT + UP + b"3" + LEFT + DOWN + b"x"):
        sliders.press(key)
    np.testing.assert_allclose(sliders([]), [[0.0, 0.4, -0.3]], atol=1e-6)
    assert "c:" in sliders.describe()
    sliders.press(b" ")
    assert not sliders([]).any() and sliders.command == ""
    sliders.press(b"q")
    assert sliders.command == "quit"


def test_sliders_need_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(UsageError, match="not a terminal"):
            play("SCARA-v0", PlayConfig(policy="sliders", record=str(tmp_path / "arm.gif")))


def test_sliders_from_a_terminal_move_the_arm_and_end_when_asked(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    record = str(tmp_path / "arm.gif")
    code = (
        "from gym_gazebo2.algos.play.player import play, PlayConfig\n"
        f"played = play('SCARA-v0', PlayConfig(policy='sliders', record={record!r}))\n"
        "print('\\nplayed', len(played), played[-1].steps)"
    )
    pipes = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with run_process([sys.executable, "-c", code], **pipes) as process:
        os.close(theirs)
        read_until(process, b"motor1: [+0.0]")
        os.write(ours, RIGHT)
        read_until(process, b"motor1: [+0.3]")
        os.write(ours, b"q")
        out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0 and b"played 1" in out


def read_until(process: subprocess.Popen[bytes], wanted: bytes) -> None:
    """Read the process's stderr until something stands in it."""
    assert process.stderr is not None
    seen, deadline = b"", time.monotonic() + 60.0
    while wanted not in seen:
        ready, _, _ = select.select([process.stderr], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(process.stderr.fileno(), 65536) if ready else b""
        if not part:
            raise AssertionError(f"{wanted!r} never came: {seen[-500:]!r}")
        seen += part


def test_gazebo_plays_in_its_window_and_on_film(
    run: Path, tmp_path: Path, display: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")
    film = tmp_path / "arm.gif"
    (on_film,) = play(run, PlayConfig(backend="gazebo", steps=10, record=str(film)))
    assert len(read_film(film)) == 10
    monkeypatch.setenv("DISPLAY", display)
    (shown,) = play(run, PlayConfig(backend="gazebo", steps=10))
    assert shown.steps == 10 and abs(shown.measures["position_error"] - on_film.measures["position_error"]) < 0.005


@pytest.mark.parametrize("backend", ["mujoco", "gazebo"])
def test_a_window_needs_a_display(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RenderError, match="DISPLAY is not set. Start from a desktop session, or record a film with --record"):
        play("SCARA-v0", PlayConfig(backend=backend))
