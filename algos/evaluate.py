"""Evaluate a run: the measures of its task, accuracy and repeatability of the arm, and the success rate."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from gym_gazebo2.algos.choices import MODELS
from gym_gazebo2.algos.evaluation.metrics import summarize
from gym_gazebo2.algos.evaluation.rollout import Episodes, ModelPolicy, get_episode_steps, make_eval_env, run_episodes
from gym_gazebo2.algos.measures import get_measures
from gym_gazebo2.algos.runs.any_model import is_model_file, open_model
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.json import is_number, to_json
from gym_gazebo2.algos.runs.model_file import ModelFile
from gym_gazebo2.algos.runs.writing import OTHER_FOLDER, add_advice, check_writable, write_atomically
from gym_gazebo2.algos.settings.env_keywords import check_env_kwargs, gather_env_kwargs
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
        runs: Number of episodes.
        seed: Seed of the first episode; episode i is seeded seed + i.
        start_noise: Half-width of the noise on the start pose [rad]; None: the training's.
        backend: Backend to run on; None: the training's.
        model: "model", the one at the end of the training, or "best_model".
        out: Folder for the result and the report; None: the run's folder. A model file has no run folder: then the
            result is only printed.
        env: Environment id, only for a file that stable-baselines3's own ``save`` wrote.
        algo: Algorithm of such a file; None: the one that its settings show.
        env_kwargs: Any other keyword of the environment, on top of the training's. On the command line its name follows the
            point, as in --env.control_dt 0.02.
    """

    runs: int = 30
    seed: int = 10_000
    start_noise: float | None = None
    backend: str | None = None
    model: str = "model"
    out: str | None = None
    env: str | None = None
    algo: str | None = None
    env_kwargs: EnvKwargs = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidArgumentError: ``runs`` is below 2, ``seed`` below 0, or a keyword is given twice.
            UnknownNameError: There is no such model.
        """
        gather_env_kwargs(self)
        # RP of ISO 9283 contains a standard deviation that divides by n − 1, so it needs two episodes.
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
        backend: Backend of the evaluation; empty for ids of other packages.
        model: The run's model that was evaluated, "model" or "best_model".
        runs: Number of episodes.
        success_rate: Share of episodes that ended in success; None if the environment does not report success.
        accuracy_rms_mm: √mean‖eᵢ‖² with eᵢ = tool − goal at the last state [mm]. This and the next three are None if the task
            does not place the tool.
        repeatability_rms_mm: √mean‖eᵢ − ē‖² [mm].
        iso9283_ap_mm: Pose accuracy AP of ISO 9283, ‖ē‖ [mm].
        iso9283_rp_mm: Pose repeatability RP of ISO 9283, l̄ + 3S [mm].
        orientation_error_rms_deg: RMS of the angle to the goal [°]; zero if the task asks for no orientation, None if it does
            not measure one.
        collision_rate: Share of episodes with contact at any step; None if the environment does not report contact.
        mean_reward: Mean of the episodes' sums of rewards.
        median_steps_to_goal: Median of the steps until first success; None if no episode succeeded.
        train_wall_s: Wall time of the training. This and ``train_steps`` are None for a model file.
        train_steps: Environment steps of the training.
        time_to_target_s: Wall time at which the training first met its target; None if it never did.
        errors_mm: Tool minus goal at the last state of each episode, in the base frame, x y z [mm]; empty if the task does not
            place the tool.
        start_noise: Half-width of the noise on the start pose [rad]; None for ids of other packages, and in files written
            before this field existed.
        seed: Seed of the first episode; None in files written before this field existed.
        measures: The task's measures at the last state, summarised over all episodes [SI units].
        success_interval: 95 % confidence interval of the success rate (Wilson 1927); None without a success rate.
        mean_length: Mean number of steps of an episode.
        env_kwargs: Keywords of the environment that differ from the training's, besides backend and start_noise.
        examples: Seeds of the first episode that succeeded ("success") and of the first that failed ("failure"), which reports
            show; empty where the task places the tool, or success is not reported.
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
    train_wall_s: float | None
    train_steps: int | None
    time_to_target_s: float | None
    errors_mm: list[list[float]]
    start_noise: float | None = None
    seed: int | None = None
    measures: dict[str, float] = dataclasses.field(default_factory=dict)
    success_interval: list[float] | None = None
    mean_length: float | None = None
    env_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    examples: dict[str, int] = dataclasses.field(default_factory=dict)


def evaluate(
    path: str | os.PathLike[str],
    config: EvaluateConfig = EvaluateConfig(),
    json: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Run the model of a run folder, or a model file, from perturbed starts, and write ``evaluation.json``.

    Whether the results can be written is checked before the episodes run.

    Args:
        path: The run's folder, or a model file.
        config: Settings of the evaluation.
        json: Also write the result to this file.

    Raises:
        RunError: There is no finished run, or one of its files is corrupt.
        WriteError: The folder, or ``json``, cannot be written to.
        UnknownNameError: There is no such backend, or the environment has no such keyword.
        BackendError: The simulator failed.
        NonFiniteError: A reward or observation is NaN or infinite.
    """
    run = None if is_model_file(path) else RunFolder.open(path)
    training: dict[str, Any] = dict.fromkeys(TRAINING) if run is None else run.read_json("training.json", TRAINING)
    target = None if run is None else run.read_target()
    file = open_model(path, config.model, config.env, config.algo)
    if run is not None:
        _check_origin(run, file)
    # The keywords are checked before the environment is made: a wrong name is reported at once, not after a Gazebo's start.
    changes = gather_env_kwargs(config)
    check_env_kwargs(file.config.env, changes)
    kwargs = file.config.change_kwargs(changes)
    num_steps = get_episode_steps(file.config.env, kwargs.get("max_episode_steps"))
    outputs = _list_outputs(run, config, json)
    for output, advice in outputs.items():
        with add_advice(advice):
            check_writable(output)
    # wrap() adds what the model was trained with: normalisation with the training's final statistics, discrete actions.
    with contextlib.closing(file.wrap(make_eval_env(file.config.env, config.runs, **kwargs))) as env:
        model = file.build()
        episodes = run_episodes(env, lambda: ModelPolicy(model), num_steps, config.seed, config.runs)
    result = Evaluation(
        env=file.config.env,
        algo=file.config.algo,
        backend=kwargs.get("backend", ""),
        model=config.model if run is not None else file.path.name,
        runs=config.runs,
        **summarize(episodes, get_measures(file.config.env)),
        start_noise=kwargs.get("start_noise"),
        seed=config.seed,
        env_kwargs={name: value for name, value in changes.items() if name not in ("backend", "start_noise")},
        **{name: training[name] for name in TRAINING},
        time_to_target_s=None if target is None else target[0],
        examples=_find_examples(episodes, config.seed),
    )
    content = to_json(dataclasses.asdict(result))
    for output, advice in outputs.items():
        with add_advice(advice):
            write_atomically(output, content)
    return result


def _find_examples(episodes: Episodes, seed: int) -> dict[str, int]:
    """Return the seeds of the first success and of the first failure."""
    if episodes.offset is not None or np.isnan(episodes.is_success).any():
        return {}
    rows = {"success": episodes.is_success == 1.0, "failure": episodes.is_success == 0.0}
    return {name: seed + int(np.argmax(found)) for name, found in rows.items() if found.any()}


def _check_origin(run: RunFolder, file: ModelFile) -> None:
    """Refuse a model that was copied in from another run: it would be evaluated on this run's behalf."""
    own = run.read_config()
    if (file.config.env, file.config.algo) != (own.env, own.algo):
        found, expected = f"{file.config.env} with {file.config.algo}", f"{own.env} with {own.algo}"
        raise RunError(
            f"{file.path} was trained on {found}, but the run's config.json names {expected}. "
            "Evaluate the run that the model comes from."
        )


def _list_outputs(run: RunFolder | None, config: EvaluateConfig, json: str | os.PathLike[str] | None) -> dict[Path, str]:
    """Return the files to write, each with the advice for an error."""
    folder = Path(config.out) if config.out is not None else None if run is None else run.path
    result = {} if folder is None else {folder / "evaluation.json": OTHER_FOLDER}
    copy = {} if json is None else {Path(json): "Or choose another file with --json."}
    return {**result, **copy}
