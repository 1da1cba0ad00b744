"""What a person wants to see of a run: the learning curve, the arm at its goal, and one page with both."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.evaluate import MODELS
from gym_gazebo2.algos.model_file import read_model_file
from gym_gazebo2.algos.rollout import ModelPolicy, get_episode_steps, make_eval_env
from gym_gazebo2.algos.run_folder import RunFolder, is_number, is_number_or_none, write_atomically
from gym_gazebo2.errors import MissingDependencyError, RenderError

__all__ = ["ROWS", "write_report"]

ROWS: dict[str, tuple[str, str]] = {
    "success_rate": ("success rate", "{:.0%}"),
    "accuracy_rms_mm": ("accuracy, RMS [mm]", "{:.3f}"),
    "repeatability_rms_mm": ("repeatability, RMS [mm]", "{:.3f}"),
    "iso9283_ap_mm": ("ISO 9283 AP [mm]", "{:.3f}"),
    "iso9283_rp_mm": ("ISO 9283 RP [mm]", "{:.3f}"),
    "orientation_error_rms_deg": ("orientation error, RMS [°]", "{:.2f}"),
    "collision_rate": ("runs with contact", "{:.0%}"),
    "median_steps_to_goal": ("median steps to the goal", "{:.0f}"),
    "train_wall_s": ("training, wall time [s]", "{:.1f}"),
    "train_steps": ("training, environment steps", "{:,}"),
    "time_to_target_s": ("time to the target error [s]", "{:.1f}"),
}
"""Field of an ``Evaluation`` → its label and format, in the order to show."""
EVALUATION: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(ROWS, is_number_or_none),
    **dict.fromkeys(("env", "algo", "backend"), lambda value: isinstance(value, str)),
    "model": lambda value: value in MODELS,
    "runs": is_number,
}
"""What the report needs of ``evaluation.json``."""


def write_report(path: str | os.PathLike[str]) -> list[Path]:
    """Write ``learning_curve.png``, ``arm.png`` and ``report.html`` into an evaluated run's folder.

    Without an OpenGL driver the arm's picture is left out, with a warning that says what to install.

    Returns:
        The files written.

    Raises:
        RunError: The run is not finished or not evaluated, or one of its files is corrupt.
        MissingDependencyError: matplotlib is not installed.
    """
    run = RunFolder.open(path)
    result = run.read_json("evaluation.json", EVALUATION)
    pictures = {"learning_curve.png": _draw_curve(run)}
    try:
        pictures["arm.png"] = _draw_arm(run.get_model(result["model"]))
    except RenderError as error:
        warnings.warn(f"No picture of the arm: {error}", stacklevel=2)
    written = []
    for name, content in pictures.items():
        write_atomically(run.path / name, content)
        written.append(run.path / name)
    write_atomically(run.path / "report.html", _make_page(run, result, pictures).encode())
    return [*written, run.path / "report.html"]


def _draw_curve(run: RunFolder) -> bytes:
    """Return a PNG of tool error and episode reward over steps."""
    plt = _import_pyplot()
    rows = run.read_json("training.json", {"curve": _is_curve})["curve"]
    progress = [row for row in run.read_progress() if "rollout/ep_rew_mean" in row]
    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7, 6), layout="constrained")
    steps = [row["steps"] / 1e3 for row in rows]
    top.semilogy(
        steps, [row["error_mm"] for row in rows], "o-", markersize=3, color="#0072b2", label="tool error, deterministic policy"
    )
    top.axhline(5.0, color="0.5", linewidth=1, linestyle="--", label="success (5 mm)")
    top.set_ylabel("tool error, RMS [mm]")
    top.legend()
    top.set_title(f"{run.read_config().env}, {run.read_config().algo}, seed {run.read_config().seed}")
    bottom.plot(steps, [row["reward"] for row in rows], color="#0072b2", label="deterministic policy")
    sampled = [row["rollout/ep_rew_mean"] for row in progress]
    bottom.plot([row["time/total_timesteps"] / 1e3 for row in progress], sampled, color="#d55e00", label="while learning")
    bottom.set_ylabel("reward of an episode")
    bottom.set_xlabel("environment steps [thousands]")
    bottom.legend()
    return _encode(figure)


def _is_curve(value: Any) -> bool:
    """Tell whether a value read from JSON is a list of evaluations."""
    return isinstance(value, list) and all(
        isinstance(row, dict) and all(is_number(row.get(name)) for name in ("steps", "error_mm", "reward")) for row in value
    )


def _draw_arm(path: Path) -> bytes:
    """Return a PNG of the arm at the end of an episode, the goal in red."""
    plt = _import_pyplot()
    file = read_model_file(path)
    config = file.config
    num_steps = get_episode_steps(config.env, config.max_episode_steps)
    env = file.wrap(make_eval_env(config.env, 1, render_mode="rgb_array", **{**config.env_kwargs, "backend": "mujoco"}))
    with contextlib.closing(env):
        policy = ModelPolicy(file.build())
        env.seed(0)
        observation = env.reset()
        for _ in range(num_steps):
            observation, *_ = env.step(policy(observation))
        picture: NDArray[np.uint8] = env.unwrapped.env.render()[0]
    buffer = io.BytesIO()
    plt.imsave(buffer, picture, format="png")
    return buffer.getvalue()


def _make_page(run: RunFolder, result: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """Return one self-contained page: results, pictures, configuration."""
    shown = {label: "never" if result[name] is None else form.format(result[name]) for name, (label, form) in ROWS.items()}
    images = "".join(
        f'<figure><img alt="{name}" src="data:image/png;base64,{base64.b64encode(content).decode()}"></figure>'
        for name, content in pictures.items()
    )
    title = html.escape(f"{result['env']}, {result['algo']} ({result['model']}), {result['runs']} runs on {result['backend']}")
    configuration = html.escape(json.dumps(run.read_json("config.json"), indent=2))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "td{padding:.15rem 1.5rem .15rem 0}td+td{text-align:right}img{max-width:100%}figure{margin:1rem 0}</style>"
        f"<h1>{title}</h1><table>{_make_rows(shown)}</table>{images}"
        f"<details><summary>Configuration</summary><pre>{configuration}</pre></details></html>\n"
    )


def _make_rows(values: dict[str, str]) -> str:
    return "".join(f"<tr><td>{html.escape(label)}</td><td>{html.escape(value)}</td></tr>" for label, value in values.items())


def _import_pyplot() -> Any:
    """Import matplotlib so that it never opens a window."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "train") from error
    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot

    return pyplot


def _encode(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    _import_pyplot().close(figure)
    return buffer.getvalue()
