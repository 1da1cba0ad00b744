"""Evaluate a run: how near, how repeatably, how often the trained arm reaches its goal."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from gym_gazebo2.algos.choices import MODELS
from gym_gazebo2.algos.evaluation.metrics import compute_accuracy
from gym_gazebo2.algos.evaluation.rollout import Episodes, ModelPolicy, get_episode_steps, make_eval_env, run_episodes
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.json import is_number, is_number_or_none, to_json
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.runs.writing import RUN_AGAIN, add_advice, write_atomically
from gym_gazebo2.checks import read_whole
from gym_gazebo2.errors import RunError, UnknownNameError

__all__ = ["EvaluateConfig", "Evaluation", "evaluate"]

TRAINING = {"train_wall_s": is_number, "train_steps": is_number, "time_to_target_s": is_number_or_none}
"""What an evaluation tells of the training, from ``training.json``."""


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate the model of a run folder.

    Attributes:
        runs: Episodes, each from a start of its own.
        seed: Episode i is seeded seed + i.
        start_noise: Half-width of the noise on the start pose [rad]; None: the training's.
        backend: Backend to run on; None: the training's.
        model: "model", the one at the end of training, or "best_model".
    """

    runs: int = 30
    seed: int = 10_000
    start_noise: float | None = None
    backend: str | None = None
    model: str = "model"

    def __post_init__(self) -> None:
        """Reject what cannot work."""
        for name, least in (("runs", 2), ("seed", 0)):
            object.__setattr__(self, name, read_whole(name, getattr(self, name), least))
        if self.model not in MODELS:
            raise UnknownNameError("model", self.model, MODELS)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation; lengths in millimetres, times in seconds of wall time.

    Attributes:
        env: Environment id.
        algo: Algorithm.
        backend: Where it ran.
        model: Which model of the run: "model" or "best_model".
        runs: Episodes.
        success_rate: Share that ended within 5 mm, and 5° where an orientation is asked for.
        accuracy_rms_mm: √mean‖eᵢ‖², eᵢ = tool − goal at the last state.
        repeatability_rms_mm: √mean‖eᵢ − ē‖².
        iso9283_ap_mm: ‖ē‖.
        iso9283_rp_mm: l̄ + 3S.
        orientation_error_rms_deg: RMS of the angle to the goal [°]; zero where none is asked for.
        collision_rate: Share with contact at any step.
        mean_reward: Mean sum of rewards.
        median_steps_to_goal: Median of the steps until first success; None where none succeeded.
        train_wall_s: Wall time of the training.
        train_steps: Its environment steps.
        time_to_target_s: Wall time at which it first met its target, an error or a mean reward; None where it did not.
        errors_mm: Tool minus goal at the last state of each run, in the base frame, x y z [mm].
        start_noise: Half-width of the noise on the start pose [rad]; None in files of older versions, which do not tell.
        seed: Of the first episode; None likewise.
    """

    env: str
    algo: str
    backend: str
    model: str
    runs: int
    success_rate: float
    accuracy_rms_mm: float
    repeatability_rms_mm: float
    iso9283_ap_mm: float
    iso9283_rp_mm: float
    orientation_error_rms_deg: float
    collision_rate: float
    mean_reward: float
    median_steps_to_goal: float | None
    train_wall_s: float
    train_steps: int
    time_to_target_s: float | None
    errors_mm: list[list[float]]
    start_noise: float | None = None
    seed: int | None = None


def evaluate(
    path: str | os.PathLike[str],
    config: EvaluateConfig = EvaluateConfig(),
    json: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Run the model of a run folder from perturbed starts, and write ``evaluation.json``.

    Args:
        path: The run's folder.
        config: How to evaluate.
        json: Also write the result to this file.

    Raises:
        RunError: There is no finished run, one of its files is corrupt, or ``json`` cannot be written.
        UnknownNameError: There is no such backend.
    """
    run = RunFolder.open(path)
    training = run.read_json("training.json", TRAINING)
    file = read_model_file(run.get_model(config.model))
    own = run.read_config()
    if (file.config.env, file.config.algo) != (own.env, own.algo):
        came, expected = f"{file.config.env} with {file.config.algo}", f"{own.env} with {own.algo}"
        raise RunError(f"{file.path} was trained on {came}, expected {expected} as the run's config.json says.")
    kwargs = dict(file.config.env_kwargs)
    kwargs.pop("backend_options", None)  # training goes on after a simulator's failure, an evaluation says so
    if config.backend is not None:
        kwargs["backend"] = config.backend
    if config.start_noise is not None:
        kwargs["start_noise"] = config.start_noise
    num_steps = get_episode_steps(file.config.env, file.config.max_episode_steps)
    with contextlib.closing(file.wrap(make_eval_env(file.config.env, config.runs, **kwargs))) as env:
        model = file.build()
        episodes = run_episodes(env, lambda: ModelPolicy(model), num_steps, config.seed, config.runs)
    result = Evaluation(
        env=file.config.env,
        algo=file.config.algo,
        backend=kwargs["backend"],
        model=config.model,
        runs=config.runs,
        **_summarize(episodes),
        errors_mm=(1e3 * episodes.error).tolist(),
        start_noise=kwargs["start_noise"],
        seed=config.seed,
        **{name: training[name] for name in TRAINING},
    )
    content = to_json(dataclasses.asdict(result))
    with add_advice(RUN_AGAIN):
        write_atomically(run.path / "evaluation.json", content)
    if json is not None:
        with add_advice("Or choose another file with --json."):
            write_atomically(Path(json), content)
    return result


def _summarize(episodes: Episodes) -> dict[str, Any]:
    arrived = episodes.steps_to_goal[~np.isnan(episodes.steps_to_goal)]
    return {
        "success_rate": float(episodes.is_success.mean()),
        **dataclasses.asdict(compute_accuracy(episodes.error)),
        "orientation_error_rms_deg": float(np.rad2deg(np.sqrt(np.mean(np.square(episodes.orientation_error))))),
        "collision_rate": float(episodes.has_collided.mean()),
        "mean_reward": float(episodes.reward.mean()),
        "median_steps_to_goal": float(np.median(arrived)) if len(arrived) else None,
    }
