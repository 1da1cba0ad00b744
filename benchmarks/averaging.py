"""Compare two ways to learn with several workers: averaging local models, and one learner with the workers' fragments.

``python -m benchmarks.averaging`` trains MARA-v0 with 1, 4 and 16 workers and three seeds in both ways, in about ten minutes
on two cores. It draws docs/distributed_averaging.png, and writes its table into docs/distributed.md.

- Averaging is the 2019 paper's way. Each worker has a model of its own, which learns from the worker's own rollout. After every
  iteration all models take the mean of their parameters. The local minibatches are smaller by the number of workers, so that an
  iteration has as many gradient steps as in the other way.
- Fragments are this package's way. The learner joins the rollouts of all workers, and learns once.

Both collect the same number of steps per iteration from the same number of arms, and merge the statistics of observations and
rewards exactly. No process is distributed here: the shards are stepped one after the other, which gives the same bits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import tyro
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from benchmarks.pages import DISTRIBUTED, replace_block
from gym_gazebo2.algos import TrainConfig
from gym_gazebo2.algos.config import ResolvedConfig, resolve
from gym_gazebo2.algos.distributed.env import ShardedVecEnv, find_spaces
from gym_gazebo2.algos.distributed.moments import get_moments, get_own_moments, merge_moments, set_moments, track_moments
from gym_gazebo2.algos.distributed.rollouts import distribute
from gym_gazebo2.algos.distributed.shards import LocalShards
from gym_gazebo2.algos.environments import make_evaluation_env, make_training_env, wrap_training_env
from gym_gazebo2.algos.evaluation.metrics import compute_results
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, get_episode_steps, run_episodes
from gym_gazebo2.algos.measures import get_measures
from gym_gazebo2.algos.sweep.jobs import call_each
from gym_gazebo2.algos.table import make_model
from gym_gazebo2.scheduling import count_processors

matplotlib.use("Agg")
from matplotlib import pyplot as plt

EVALUATIONS = 8
EVAL_SEED = 1_000_000
WAYS = ("averaging", "fragments")
TITLES = {"averaging": "local models, averaged", "fragments": "fragments, one learner"}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Compare averaging with fragments.

    Attributes:
        env: Environment id, whose first measure is drawn.
        workers: Numbers of workers; each divides the number of arms.
        seeds: Seeds.
        steps: Environment steps of a training, over all arms.
        num_envs: All arms; None: the preset's.
        jobs: Trainings side by side; None: one per processor.
        picture: File to draw.
        page: Document to write the table into.
        json: Also write the curves to this file.
    """

    env: str = "MARA-v0"
    workers: tuple[int, ...] = (1, 4, 16)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 256_000
    num_envs: int | None = None
    jobs: int | None = None
    picture: str = str(DISTRIBUTED.with_name("distributed_averaging.png"))
    page: str = str(DISTRIBUTED)
    json: str | None = None


@dataclasses.dataclass(frozen=True)
class Training:
    """One training: a way, a number of workers, and a seed."""

    way: str
    workers: int
    seed: int


def configure(training: Training, args: Arguments) -> ResolvedConfig:
    """Return the preset of the id, with normalisation as in the paper."""
    return resolve(TrainConfig(env=args.env, seed=training.seed, steps=args.steps, num_envs=args.num_envs, normalize=True))


def run(training: Training, args: Arguments) -> list[tuple[int, float]]:
    """Train, and return steps and first measure [SI units] of the evaluations."""
    torch.set_num_threads(1)
    config, curve = configure(training, args), list[tuple[int, float]]()
    with contextlib.closing(make_evaluation_env(config)) as env:

        def evaluate(model: Any, steps: int) -> None:
            normalizer = model.get_vec_normalize_env()
            env.obs_rms, env.ret_rms = normalizer.obs_rms, normalizer.ret_rms
            num_steps = get_episode_steps(config.env, config.max_episode_steps)
            episodes = run_episodes(env, lambda: ModelPolicy(model), num_steps, EVAL_SEED, config.eval_runs)
            name = next(iter(get_measures(config.env)))
            curve.append((steps, float(compute_results(episodes, get_measures(config.env))[name])))

        learn = learn_by_averaging if training.way == "averaging" else learn_from_fragments
        learn(config, training.workers, evaluate)
    return curve


Evaluate = Callable[[Any, int], None]


def learn_from_fragments(config: ResolvedConfig, workers: int, evaluate: Evaluate) -> None:
    """Learn as ``gym-gazebo2 train --workers`` does, with one shard per worker."""
    shards = LocalShards(config, config.num_envs // workers)
    env = wrap_training_env(config, ShardedVecEnv(shards, config.num_envs, workers, find_spaces(config)))
    with contextlib.closing(env):
        model = make_model(config.algo, env, config.hyperparameters, config.seed, distribute)
        for _ in iterate([model], config, config.steps, evaluate):
            pass


def learn_by_averaging(config: ResolvedConfig, workers: int, evaluate: Evaluate) -> None:
    """Learn with a model per worker; after each iteration all take the mean of their parameters."""
    with contextlib.ExitStack() as stack:
        models = [make_local(config, workers, number) for number in range(workers)]
        for model in models:
            stack.callback(model.env.close)
        first, *others = [model.get_vec_normalize_env() for model in models]
        share_parameters(models)
        for _ in iterate(models, config, config.steps // workers, evaluate):
            share_parameters(models)
            merge_moments(first, get_moments(first), [get_own_moments(other) for other in others])
            for other in others:
                set_moments(other, get_moments(first))


def make_local(config: ResolvedConfig, workers: int, number: int) -> Any:
    """Return the model of a worker, with its part of the arms and of each minibatch."""
    size = config.num_envs // workers
    hyperparameters = {**config.hyperparameters, "batch_size": max(1, config.hyperparameters["batch_size"] // workers)}
    own = dataclasses.replace(config, num_envs=size, seed=config.seed + number * size)
    return make_model(config.algo, make_training_env(own), hyperparameters, own.seed)


def share_parameters(models: list[Any]) -> None:
    """Set the parameters of all models to their mean. The states of the optimisers stay local."""
    states = [model.policy.state_dict() for model in models]
    mean = {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]}
    for model in models:
        model.policy.load_state_dict(mean)


def iterate(models: list[Any], config: ResolvedConfig, steps: int, evaluate: Evaluate) -> Iterator[None]:
    """Collect a rollout and learn from it with each model, as ``learn`` of stable-baselines3 does, and yield after both.

    Args:
        models: The models.
        config: The configuration.
        steps: Steps of each model.
        evaluate: Called some times with the first model and the steps of all models.
    """
    callbacks = []
    for model in models:
        model.set_logger(Logger(None, []))
        callbacks.append(model._setup_learn(steps, Silent())[1])
    iterations = -(-steps // (models[0].n_steps * models[0].n_envs))
    every = max(1, iterations // EVALUATIONS)
    for iteration in range(iterations):
        if iteration % every == 0:
            evaluate(models[0], iteration * models[0].n_steps * config.num_envs)
        for model, callback in zip(models, callbacks, strict=True):
            if len(models) > 1:
                track_moments(model.get_vec_normalize_env())
            model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
            model._update_current_progress_remaining(model.num_timesteps, steps)
            model.train()
        yield
    evaluate(models[0], iterations * models[0].n_steps * config.num_envs)


class Silent(BaseCallback):
    """Does nothing."""

    def _on_step(self) -> bool:
        return True


Curves = dict[Training, list[tuple[int, float]]]


def collect(args: Arguments) -> Curves:
    """Run all trainings, each in a process of its own. With one worker there is nothing to average: both ways are equal."""
    wanted = [Training(*key) for key in itertools.product(WAYS, args.workers, args.seeds) if key[:2] != ("averaging", 1)]
    wanted.sort(key=lambda one: -one.workers)  # the longest first, so that the processors end together
    curves: Curves = {}
    outcomes = call_each(functools.partial(run, args=args), wanted, args.jobs or count_processors())
    with contextlib.closing(outcomes):
        for training, outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
            curves[training] = outcome
            if training.workers == 1:
                curves[dataclasses.replace(training, way="averaging")] = outcome
            print(f"{len(curves)}: {training} {outcome[-1][1]:.3g}", flush=True)
    return curves


def name_count(workers: int) -> str:
    """Return a number of workers as text."""
    return f"{workers} worker{'s' * (workers > 1)}"


def make_table(curves: Curves, args: Arguments) -> str:
    """Return the final measures as Markdown: median and range over the seeds."""
    measure = next(iter(get_measures(args.env).values()))
    lines = [
        f"| {measure.label} of `{args.env}` after {args.steps:,} steps [{measure.unit}], {len(args.seeds)} seeds"
        f" | {' | '.join(map(name_count, args.workers))} |",
        f"|---|{'---|' * len(args.workers)}",
    ]
    for way in WAYS:
        cells = []
        for workers in args.workers:
            ends = [measure.scale * curves[Training(way, workers, seed)][-1][1] for seed in args.seeds]
            cells.append(f"{np.median(ends):.2g} ({min(ends):.2g}–{max(ends):.2g})")
        lines.append(f"| {TITLES[way]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(curves: Curves, args: Arguments) -> None:
    """Draw the measure over the iterations, one panel per way and one curve per number of workers."""
    measure = next(iter(get_measures(args.env).values()))
    figure, axes = plt.subplots(1, len(WAYS), figsize=(10, 4), layout="constrained", sharey=True)
    colors = plt.get_cmap("viridis")(np.linspace(0.0, 0.85, len(args.workers)))
    for axis, way in zip(axes, WAYS, strict=True):
        for workers, color in zip(args.workers, colors, strict=True):
            rows = [np.array(curves[Training(way, workers, seed)]) for seed in args.seeds]
            steps, values = rows[0][:, 0] / 1e3, measure.scale * np.array([row[:, 1] for row in rows])
            axis.fill_between(steps, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2, linewidth=0)
            axis.plot(steps, np.median(values, axis=0), color=color, label=name_count(workers))
        axis.set(title=TITLES[way], xlabel="environment steps [thousands]", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"{measure.label} [{measure.unit}]")
    axes[-1].legend(frameon=False)
    figure.savefig(args.picture, dpi=110)
    plt.close(figure)


def main() -> None:
    """Train, draw, and write the table."""
    args = tyro.cli(Arguments)
    curves = collect(args)
    if args.json:
        rows = [{**dataclasses.asdict(training), "curve": curve} for training, curve in curves.items()]
        Path(args.json).write_text(json.dumps(rows) + "\n")
    table = make_table(curves, args)
    print(table)
    draw(curves, args)
    page = Path(args.page)
    link = os.path.relpath(args.picture, page.parent)
    picture = f"![Tool error over the steps, one panel per way, one curve per number of workers]({link})"
    replace_block(page, "python -m benchmarks.averaging", f"{table}\n\n{picture}")


if __name__ == "__main__":
    main()
