"""Measure what workers cost and what they bring.

``python -m benchmarks.distributed`` prints the times of iterations; ``--json FILE`` also writes them. An iteration is a rollout
and an update. Variants take turns of a few iterations, so that a busy machine slows all of them; the median counts.

- Overhead: one worker against the same shards in this process, MARA-v0 with its preset.
- Slow simulator: 1, 2, 4, 8 workers on an arm whose steps sleep for 1 ms. Workers reserve a fraction of a CPU.
- Embedded physics: two workers against plain training, whose batch already steps in threads.
- ``--gazebo``: 1 and 2 workers, each with a Gazebo of its own, SCARA-v0; also pinned to one processor each.

The cost model T(n) = a + b / n is fitted to the times, and extrapolated to 64 workers. Its table goes into docs/distributed.md,
which says for each figure whether it was measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import tyro
from stable_baselines3.common.logger import Logger

from benchmarks.pages import DISTRIBUTED, replace_block
from benchmarks.scaling import fit_scaling
from gym_gazebo2.algos import TrainConfig
from gym_gazebo2.algos.choices import Vectorization
from gym_gazebo2.algos.config import ResolvedConfig, resolve
from gym_gazebo2.algos.distributed.env import ShardedVecEnv, find_spaces
from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.rollouts import distribute
from gym_gazebo2.algos.distributed.session import RaySession, count_processors
from gym_gazebo2.algos.distributed.shards import LocalShards
from gym_gazebo2.algos.environments import make_training_env, wrap_training_env
from gym_gazebo2.algos.table import make_model

WORKERS = (1, 2, 4, 8)
TURN = 5
"""Iterations of a model that count, before it is another one's turn."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the speed of workers.

    Attributes:
        iterations: Iterations of each variant that count, in turns of 5.
        gazebo: Also measure workers with Gazebo.
        json: Also write the figures to this file.
        page: Document to write the cost model into.
    """

    iterations: int = 30
    gazebo: bool = False
    json: str | None = None
    page: str = str(DISTRIBUTED)


@contextlib.contextmanager
def open_model(config: ResolvedConfig, where: str, shards: int = 1, workers: int = 1, cpus: float = 1.0) -> Iterator[Any]:
    """Yield a model whose arms are stepped "plain", in shards in this process ("local"), or by workers ("ray")."""
    size = config.num_envs // shards
    if where == "plain":
        env = make_training_env(config)
    else:
        fleet = Fleet(config, size, workers, cpus) if where == "ray" else LocalShards(config, size)
        if isinstance(fleet, Fleet):
            fleet.wait_ready()
        env = wrap_training_env(config, ShardedVecEnv(fleet, config.num_envs, shards, find_spaces(config)))
    with contextlib.closing(env):
        adapt = (lambda cls: cls) if where == "plain" else distribute
        model = make_model(config.algo, env, config.hyperparameters, config.seed, adapt)
        model.set_logger(Logger(None, []))
        yield model


def time_in_turns(models: dict[str, Any], iterations: int) -> dict[str, float]:
    """Return the median time of an iteration of each model [s].

    Models take turns after some iterations. The first of each turn does not count: its processor was idle, or its caches
    belonged to another model, as never in a training.
    """
    times: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(-(-iterations // TURN)):
        for name, model in models.items():
            for count in range(1 + TURN):
                started = time.perf_counter()
                model.learn(model.n_steps * model.n_envs, reset_num_timesteps=turn == count == 0)
                if count > 0:
                    times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def measure_overhead(iterations: int) -> dict[str, float]:
    """Return the time of an iteration with the shards in this process, and with one worker."""
    config = resolve(TrainConfig(env="MARA-v0"))
    with open_model(config, "local") as local, open_model(config, "ray") as ray:
        return time_in_turns({"this process": local, "one worker": ray}, iterations)


def measure_slow(iterations: int) -> dict[str, float]:
    """Return the time of an iteration of 1,600 steps of 1 ms with each number of workers."""
    hyperparameters = {"n_steps": 50, "batch_size": 800, "n_epochs": 2}
    config = resolve(TrainConfig(env="benchmarks.slow_arm:SlowSCARA-v0", num_envs=32, hyperparameters=hyperparameters))
    figures = {}
    for workers in WORKERS:  # not in turns: fifteen workers at once would share the processors while they wait for tasks
        with open_model(config, "ray", 8, workers, count_processors() / max(WORKERS)) as model:
            figures |= time_in_turns({f"{workers} workers": model}, iterations)
    return figures


def measure_gazebo(iterations: int, vec: Vectorization = "dummy") -> dict[str, float]:
    """Return the time of an iteration of 400 steps with one and two workers, each with a Gazebo of its own.

    There is one epoch, because the update is the same for any number of workers.
    """
    figures = {}
    for workers in (1, 2):
        own = {"n_steps": 400 // workers, "batch_size": 400, "n_epochs": 1}
        config = resolve(TrainConfig(env="SCARA-v0", backend="gazebo", num_envs=workers, vec=vec, hyperparameters=own))
        with open_model(config, "ray", workers, workers) as model:
            figures |= time_in_turns({f"{workers} workers": model}, iterations)
    return figures


def measure_embedded(iterations: int) -> dict[str, float]:
    """Return the time of an iteration of plain training, and with two workers."""
    config = resolve(TrainConfig(env="MARA-v0"))
    with open_model(config, "plain") as plain, open_model(config, "ray", 2, 2) as ray:
        return time_in_turns({"plain": plain, "2 workers": ray}, iterations)


EXTRAPOLATED = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of workers of the cost model's table."""
MODELS = {
    "steps of 1 ms": "an arm whose step takes 1 ms, 1,600 steps per iteration",
    "Gazebo": "`SCARA-v0` in Gazebo, 400 steps per iteration",
    "embedded workers": "`MARA-v0` in MuJoCo, 6,400 steps per iteration",
}
"""Measured figures to which the cost model is fitted → their names in the table."""


def make_model_table(figures: dict[str, dict[str, float]]) -> str:
    """Return the cost model as Markdown: the formula, and the speed-up with each number of workers.

    A measured speed-up stands as it was measured; "≈" marks those of the formula.
    """
    lines = [f"| time of an iteration | {' | '.join(map(str, EXTRAPOLATED))} workers |", f"|---|{'---|' * len(EXTRAPOLATED)}"]
    for title, name in MODELS.items():
        if title not in figures:
            continue
        times = {int(key.split()[0]): seconds for key, seconds in figures[title].items()}
        model = fit_scaling(times)
        cells = [
            f"{times[1] / times[n]:.2g} ×" if n in times else f"≈ {model.predict(1) / model.predict(n):.2g} ×"
            for n in EXTRAPOLATED
        ]
        lines.append(f"| {name}: {model} | {' | '.join(cells)} |")
    return "\n".join(
        [*lines, "", "Figures without ≈ were measured; those with ≈ are extrapolated by the formula of their row."]
    )


def main() -> None:
    """Measure, print, and write the cost model."""
    args = tyro.cli(Arguments)
    torch.set_num_threads(1)  # the default of a training, and what the workers set
    started = time.perf_counter()
    with contextlib.closing(RaySession(num_cpus=count_processors())):
        start_s = time.perf_counter() - started
        figures = {
            "overhead of one worker": measure_overhead(args.iterations),
            "steps of 1 ms": measure_slow(args.iterations),
            "embedded physics": measure_embedded(args.iterations),
        }
        if args.gazebo:
            figures["Gazebo"] = measure_gazebo(args.iterations)
            figures["Gazebo, pinned to a processor each"] = measure_gazebo(args.iterations, "pinned")
    print(f"Ray started in {start_s:.1f} s. Median time of an iteration, and speed as a multiple of the first row:")
    for title, rows in figures.items():
        print(title)
        first = next(iter(rows.values()))
        for name, seconds in rows.items():
            print(f"  {name:14} {1e3 * seconds:9,.1f} ms  {first / seconds:5.2f}")
    one, two = figures["overhead of one worker"]["one worker"], figures["embedded physics"]["2 workers"]
    table = make_model_table({**figures, "embedded workers": {"1 workers": one, "2 workers": two}})
    print(table)
    replace_block(Path(args.page), "python -m benchmarks.distributed", table)
    if args.json:
        Path(args.json).write_text(json.dumps({"start_s": start_s, "iteration_s": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
