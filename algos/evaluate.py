"""Evaluate a run: what its task measures, how accurate and repeatable the arm is, and how often it succeeds."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.choices import MODELS
from gym_gazebo2.algos.evaluation.metrics import summarize
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, get_episode_steps, make_eval_env, run_episodes
from gym_gazebo2.algos.measures import get_measures
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.json import is_number, to_json
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.runs.writing import RUN_AGAIN, add_advice, write_atomically
from gym_gazebo2.algos.settings.env_keywords import change_env_kwargs, check_env_kwargs, gather_env_kwargs
from gym_gazebo2.algos.settings.options import EnvKwargs
from gym_gazebo2.checks import read_whole
from gym_gazebo2.errors import RunError, UnknownNameError

__all__ = ["EvaluateConfig", "Evaluation", "evaluate"]

TRAINING = {"train_wall_s": is_number, "train_steps": is_number}
"""The fields of ``training.json`` that an evaluation repeats, and the check of each value."""


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate the model of a run folder.

    Attributes:
        runs: Episodes, each from a start of its own.
        seed: Episode i is seeded seed + i.
        start_noise: Half-width of the noise on the start pose [rad]; None: the training's.
        backend: Backend to run on; None: the training's.
        model: "model", the one at the end of training, or "best_model".
        env_kwargs: Any other keyword of the environment, on top of the training's: its name follows the point, as in
            --env.control_dt 0.02.
    """

    runs: int = 30
    seed: int = 10_000
    start_noise: float | None = None
    backend: str | None = None
    model: str = "model"
    env_kwargs: EnvKwargs = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values."""
        gather_env_kwargs(self)
        for name, least in (("runs", 2), ("seed", 0)):
            object.__setattr__(self, name, read_whole(name, getattr(self, name), least))
        if self.model not in MODELS:
            raise UnknownNameError("model", self.model, MODELS)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation. Times are in seconds of wall time.

    Attributes:
        env: Environment id.
        algo: Algorithm.
        backend: Backend that it ran on; empty for ids of other packages.
        model: Which model of the run: "model" or "best_model".
        runs: Episodes.
        success_rate: Share that ended in success; None if the environment does not report success.
        accuracy_rms_mm: √mean‖eᵢ‖² with eᵢ = tool − goal at the last state [mm]; None, as are the next four, if the task does
            not place the tool.
        repeatability_rms_mm: √mean‖eᵢ − ē‖² [mm].
        iso9283_ap_mm: ‖ē‖ [mm].
        iso9283_rp_mm: l̄ + 3S [mm].
        orientation_error_rms_deg: RMS of the angle to the goal [°]; zero if the task asks for no orientation.
        collision_rate: Share with contact at any step; None if the environment does not report contact.
        mean_reward: Mean of the episodes' sums of rewards.
        median_steps_to_goal: Median of the steps until first success; None if no episode succeeded.
        train_wall_s: Wall time of the training.
        train_steps: Its environment steps.
        time_to_target_s: Wall time at which the training first met its target; None if it never did.
        errors_mm: Tool minus goal at the last state of each run, in the base frame, x y z [mm]; empty as accuracy is None.
        start_noise: Half-width of the noise on the start pose [rad]; None in files of the first version, and for ids of other
            packages.
        seed: Seed of the first episode; None in files of the first version.
        measures: What the task measures, at the last state, over all episodes [SI units].
        success_interval: 95 % confidence interval of the success rate (Wilson 1927); None without one.
        mean_length: Mean number of steps of an episode.
        env_kwargs: Other keywords of the environment than the training's, besides backend and start_noise.
    """

    env: str
    algo: str
    backend: str
    model: str
    runs: int
    success_rate: float | None
    accuracy_rms_mm: float | None
    repeatability_rms_mm: float | None
    iso9283_ap_mm: float | None
    iso9283_rp_mm: float | None
    orientation_error_rms_deg: float | None
    collision_rate: float | None
    mean_reward: float
    median_steps_to_goal: float | None
    train_wall_s: float
    train_steps: int
    time_to_target_s: float | None
    errors_mm: list[list[float]]
    start_noise: float | None = None
    seed: int | None = None
    measures: dict[str, float] = dataclasses.field(default_factory=dict)
    success_interval: list[float] | None = None
    mean_length: float | None = None
    env_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)


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
        UnknownNameError: There is no such backend, or the environment has no such keyword.
    """
    run = RunFolder.open(path)
    training, target = run.read_json("training.json", TRAINING), run.read_target()
    file = read_model_file(run.get_model(config.model))
    own = run.read_config()
    if (file.config.env, file.config.algo) != (own.env, own.algo):
        came, expected = f"{file.config.env} with {file.config.algo}", f"{own.env} with {own.algo}"
        raise RunError(f"{file.path} was trained on {came}, expected {expected} as the run's config.json says.")
    changes = gather_env_kwargs(config)
    check_env_kwargs(file.config.env, changes)
    kwargs = change_env_kwargs(file.config.make_kwargs, changes)
    num_steps = get_episode_steps(file.config.env, kwargs.get("max_episode_steps"))
    with contextlib.closing(file.wrap(make_eval_env(file.config.env, config.runs, **kwargs))) as env:
        model = file.build()
        episodes = run_episodes(env, lambda: ModelPolicy(model), num_steps, config.seed, config.runs)
    result = Evaluation(
        env=file.config.env,
        algo=file.config.algo,
        backend=kwargs.get("backend", ""),
        model=config.model,
        runs=config.runs,
        **summarize(episodes, get_measures(file.config.env)),
        start_noise=kwargs.get("start_noise"),
        seed=config.seed,
        env_kwargs={name: value for name, value in changes.items() if name not in ("backend", "start_noise")},
        **{name: training[name] for name in TRAINING},
        time_to_target_s=None if target is None else target[0],
    )
    content = to_json(dataclasses.asdict(result))
    with add_advice(RUN_AGAIN):
        write_atomically(run.path / "evaluation.json", content)
    if json is not None:
        with add_advice("Or choose another file with --json."):
            write_atomically(Path(json), content)
    return result
