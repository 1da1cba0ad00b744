"""Compare ACKTR with A2C and TRPO on Gymnasium's MuJoCo tasks: learning curves, a table, a figure.

``python -m benchmarks.algorithms --jobs 2`` runs every task, algorithm and seed that has no result yet in the output folder.
Then it prints the table and draws the figure. ``--budget`` ends it after this many seconds. The same command continues the
interrupted runs from their last evaluation, with new episodes and a new seed of the environments; the results count such
continuations as "parts". A2C and TRPO have the settings of rl-baselines3-zoo for these tasks.

It needs Gymnasium's MuJoCo tasks besides what ``make setup`` installs: ``pip install -c constraints.txt 'gymnasium[mujoco]'``.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ENVS = ("InvertedPendulum-v5", "Reacher-v5", "Hopper-v5", "HalfCheetah-v5", "Walker2d-v5")
EVALUATIONS = 20
EPISODES = 10
LAST = 2
"""Number of evaluations at the end whose mean is the score of a run."""
BEGIN, END = "<!-- python -m benchmarks.algorithms: begin -->", "<!-- end -->"


@dataclasses.dataclass(frozen=True)
class Entrant:
    """An algorithm with its settings.

    Attributes:
        path: "module:class".
        num_envs: Environments that learn side by side.
        keywords: Of the algorithm.
        by_env: Further keywords, by task.
    """

    path: str
    num_envs: int
    keywords: dict[str, Any]
    by_env: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


_TRPO = {
    "batch_size": 128,
    "n_steps": 1024,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "sub_sampling_factor": 1,
    "cg_max_steps": 25,
    "cg_damping": 0.1,
    "n_critic_updates": 20,
    "learning_rate": 1e-3,
}


def shrink(progress: float) -> float:
    """Return ACKTR's trust region [nat]: at first TRPO's 0.01 per joint on six joints, at the end a tenth of it.

    It and the damping were chosen on Hopper (seeds 0 and 11), HalfCheetah (10 to 12) and Walker2d (10).
    """
    return 0.006 + 0.054 * progress


ENTRANTS = {
    "acktr": Entrant("gym_gazebo2.algos.acktr:ACKTR", 8, {"n_steps": 256, "target_kl": shrink, "damping": 0.1}),
    "a2c": Entrant("stable_baselines3:A2C", 1, {}),
    "trpo": Entrant("sb3_contrib:TRPO", 2, _TRPO, {"HalfCheetah-v5": {"target_kl": 0.04}}),
}
"""Observations and rewards are normalised for all of them, as in rl-baselines3-zoo."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        env: Task.
        algo: Row of ``ENTRANTS``.
        seed: Seed.
        steps: Environment steps.
        out: Folder of the results.
        overrides: Keywords on top of the entrant's.
    """

    env: str
    algo: str
    seed: int
    steps: int
    out: Path
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)

    def locate(self, kind: str) -> Path:
        """Return the path of one of the run's files."""
        return self.out / f"{self.env}-{self.algo}-seed{self.seed}.{kind}"

    def read(self) -> dict[str, Any]:
        """Return the results of the run so far."""
        path = self.locate("json")
        return json.loads(path.read_text()) if path.is_file() else {}


def main() -> None:
    """Run what is missing, print the table, draw the figure."""
    args = parse()
    jobs = [
        Job(env, algo, seed, args.steps, args.out, args.hyper)
        for seed in args.seeds
        for env in args.envs
        for algo in args.algos
    ]
    missing = [job for job in jobs if not job.read().get("finished")]
    run_all(missing, args.jobs, time.time() + args.budget)
    table = make_table([job.read() for job in jobs])
    print(table)
    if args.write:
        text = args.write.read_text()
        head, tail = text.split(BEGIN)[0], text.split(END, 1)[1]
        args.write.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")
    if args.figure:
        draw([job.read() for job in jobs], args.figure)


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", default=ENVS)
    parser.add_argument("--algos", nargs="+", choices=ENTRANTS, default=list(ENTRANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--budget", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--out", type=Path, default=Path("runs/algorithms"))
    parser.add_argument("--hyper", type=json.loads, default={}, help="JSON of keywords on top of the entrants' own")
    parser.add_argument("--figure", type=Path, help="draw the learning curves into this file")
    parser.add_argument("--write", type=Path, help="put the table between the marks of this document")
    return parser.parse_args()


def run_all(jobs: list[Job], workers: int, deadline: float) -> None:
    """Run jobs in several processes with one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, job, deadline) for job in jobs]
        for future in as_completed(futures):
            print(future.result(), flush=True)


def run(job: Job, deadline: float) -> str:
    """Train one run to its end, or until the deadline, and return how far it came."""
    if time.time() > deadline:
        return f"{job.locate('json').stem}: not started"
    import torch
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    record = job.read() or describe(job)
    seed = job.seed + 1000 * record["parts"]
    entrant = ENTRANTS[job.algo]
    keywords = {**entrant.keywords, **entrant.by_env.get(job.env, {}), **job.overrides}
    env = VecNormalize(make_vec_env(job.env, entrant.num_envs, seed=seed), gamma=keywords.get("gamma", 0.99))
    eval_env = VecNormalize(make_vec_env(job.env, 1, seed=seed + 500), training=False, norm_reward=False)
    model = load_class(entrant.path)("MlpPolicy", env, seed=seed, device="cpu", **keywords)
    restore(job, record, model)
    record["parts"] += 1
    watch = make_watch(job, record, eval_env, deadline)
    model.learn(job.steps - model.num_timesteps, watch, log_interval=10**9, reset_num_timesteps=False)
    watch.finish(model.num_timesteps >= job.steps)
    env.close()
    eval_env.close()
    score = record["curve"][-1]["score"]
    return f"{job.locate('json').stem}: {record['steps']} steps, {record['cpu_s']:.0f} s, last score {score:.1f}"


def load_class(path: str) -> Any:
    """Import the class that "module:class" names."""
    import importlib

    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def describe(job: Job) -> dict[str, Any]:
    """Return the record of a run that has not begun."""
    packages = ("numpy", "torch", "gymnasium", "mujoco", "stable-baselines3", "sb3-contrib")
    about = {"env": job.env, "algo": job.algo, "seed": job.seed, "total_steps": job.steps, "overrides": job.overrides}
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
    progress = {"finished": False, "parts": 0, "steps": 0, "cpu_s": 0.0, "train_cpu_s": 0.0, "curve": []}
    return {**about, "versions": versions, "machine": platform.processor() or platform.machine(), **progress}


def restore(job: Job, record: dict[str, Any], model: Any) -> None:
    """Put the model where the last evaluation of an interrupted run left it."""
    import torch

    from gym_gazebo2.algos.runs.model_file import read_arrays, set_statistics

    if not record["parts"]:
        return
    saved = torch.load(job.locate("pt"), weights_only=True)
    model.set_parameters(saved["parameters"])
    model.num_timesteps, model._n_updates = saved["num_timesteps"], saved["n_updates"]
    set_statistics(model.get_vec_normalize_env(), read_arrays(job.locate("npz").read_bytes()))


def make_watch(job: Job, record: dict[str, Any], eval_env: Any, deadline: float) -> Any:
    """Return the callback that evaluates, keeps the time, and writes the record."""
    import io

    import torch
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.evaluation import evaluate_policy

    from gym_gazebo2.algos.runs.model_file import get_statistics, write_arrays
    from gym_gazebo2.algos.runs.writing import write_atomically

    class Watch(BaseCallback):
        """Measures processor time, because processes share cores: without evaluations, and of the updates alone."""

        def _on_training_start(self) -> None:
            self.mark, self.updating_since = time.process_time(), None

        def _on_rollout_start(self) -> None:
            now = time.process_time()
            if self.updating_since is not None:
                record["train_cpu_s"] += now - self.updating_since
            self.updating_since = None
            if self.num_timesteps >= len(record["curve"]) * job.steps / EVALUATIONS:
                self.evaluate()

        def _on_rollout_end(self) -> None:
            self.updating_since = time.process_time()

        def _on_step(self) -> bool:
            return time.time() <= deadline

        def evaluate(self) -> None:
            self.update_cpu()
            source = self.model.get_vec_normalize_env()
            eval_env.obs_rms = source.obs_rms
            score, _ = evaluate_policy(self.model, eval_env, EPISODES, deterministic=True)
            record["curve"].append({"steps": self.num_timesteps, "score": float(score), "cpu_s": record["cpu_s"]})
            record["steps"] = self.num_timesteps
            self.write()
            self.mark = time.process_time()

        def update_cpu(self) -> None:
            now = time.process_time()
            record["cpu_s"], self.mark = record["cpu_s"] + now - self.mark, now

        def finish(self, is_whole: bool) -> None:
            if is_whole:
                record["finished"] = True
                self.evaluate()
                job.locate("pt").unlink()
                job.locate("npz").unlink()

        def write(self) -> None:
            buffer = io.BytesIO()
            counters = {"num_timesteps": self.model.num_timesteps, "n_updates": self.model._n_updates}
            torch.save({"parameters": self.model.get_parameters(), **counters}, buffer)
            write_atomically(job.locate("pt"), buffer.getvalue())
            write_atomically(job.locate("npz"), write_arrays(get_statistics(self.model.get_vec_normalize_env())))
            write_atomically(job.locate("json"), (json.dumps(record, indent=1) + "\n").encode())

    return Watch()


def compute_score(record: dict[str, Any]) -> float:
    """Return the mean of a run's last evaluations."""
    return statistics.fmean(row["score"] for row in record["curve"][-LAST:])


def compute_area(record: dict[str, Any], floor: float) -> float:
    """Return the mean height of a run's curve over the floor, by trapezia."""
    rows = record["curve"]
    area = sum((b["steps"] - a["steps"]) * (a["score"] + b["score"]) / 2 for a, b in itertools.pairwise(rows))
    return area / (rows[-1]["steps"] - rows[0]["steps"]) - floor


def make_table(records: Iterable[dict[str, Any]]) -> str:
    """Return the results as Markdown: medians, ranges, and areas and times compared with A2C's and TRPO's."""
    records = [record for record in records if record.get("finished")]
    lines = [
        "| task | algorithm | seeds | score, median (range) | area / A2C's | CPU time [s] | time / TRPO's | share of updates |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for env in dict.fromkeys(record["env"] for record in records):
        runs = {algo: [r for r in records if r["env"] == env and r["algo"] == algo] for algo in ENTRANTS}
        floor = min(record["curve"][0]["score"] for group in runs.values() for record in group)
        areas = {algo: statistics.median(compute_area(r, floor) for r in group) for algo, group in runs.items() if group}
        times = {algo: statistics.median(r["cpu_s"] for r in group) for algo, group in runs.items() if group}
        for algo, group in runs.items():
            if group:
                scores = sorted(compute_score(record) for record in group)
                share = statistics.median(record["train_cpu_s"] / record["cpu_s"] for record in group)
                lines.append(
                    f"| {env} | {algo} | {len(group)} | {statistics.median(scores):.1f} ({scores[0]:.1f} to {scores[-1]:.1f}) "
                    f"| {divide(areas, algo, 'a2c')} | {times[algo]:.0f} | {divide(times, algo, 'trpo')} | {share:.0%} |"
                )
    return "\n".join(lines)


def divide(values: dict[str, float], algo: str, other: str) -> str:
    """Return the ratio of two algorithms' values, or a dash: an area below the untrained policy's score gives no ratio."""
    return f"{values[algo] / values[other]:.2f}" if values.get(other, 0.0) > 0 else "–"


def draw(records: Iterable[dict[str, Any]], path: Path) -> None:
    """Draw the median curve of each algorithm, and the range over its seeds, one panel per task."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot as plt

    records = [record for record in records if record.get("finished")]
    envs = list(dict.fromkeys(record["env"] for record in records))
    figure, axes = plt.subplots(1, len(envs), figsize=(3.4 * len(envs), 3.2), layout="constrained", squeeze=False)
    colours = dict(zip(ENTRANTS, ("#d55e00", "#0072b2", "#009e73"), strict=True))
    for axis, env in zip(axes[0], envs, strict=True):
        for algo, colour in colours.items():
            curves = [r["curve"] for r in records if r["env"] == env and r["algo"] == algo]
            if not curves:
                continue
            grid = np.linspace(0, min(curve[-1]["steps"] for curve in curves), EVALUATIONS + 1)
            rows = [np.interp(grid, [p["steps"] for p in curve], [p["score"] for p in curve]) for curve in curves]
            axis.fill_between(grid / 1e6, np.min(rows, axis=0), np.max(rows, axis=0), color=colour, alpha=0.2, linewidth=0)
            axis.plot(grid / 1e6, np.median(rows, axis=0), color=colour, label=f"{algo}, {len(curves)} seeds")
        axis.set_title(env)
        axis.set_xlabel("million steps")
    axes[0][0].set_ylabel("return of an episode")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(colours), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
