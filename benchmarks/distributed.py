"""Measure what workers cost and what they bring.

``python -m benchmarks.distributed`` prints the times of iterations; ``--json FILE`` also writes them. An iteration is a rollout
and an update. Variants that are compared take turns of three iterations. Medians and quartiles over the turns are printed.

- Overhead: one worker against the same shards in this process, MARA-v0 with its preset.
- Slow simulator: 1, 2, 4, 8 workers on an arm whose steps sleep for 1 ms. Workers reserve a fraction of a CPU.
- Embedded physics: two workers against plain training, whose batch already steps in threads.
- ``--gazebo``: 1 and 2 workers, each with a Gazebo of its own, SCARA-v0; also without a processor of its own for each.

``--faults`` measures how long a worker that is killed or hangs delays an iteration, and nothing else. ``--wide-area`` measures
a learner that is 50 ms and 100 Mbit/s away from its workers, and nothing else.

The cost model T(n) = a + b / n is fitted to the times, and extrapolated to 64 workers. Its table goes into docs/distributed.md,
which says for each figure whether it was measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import time
from pathlib import Path

import torch
import tyro

from benchmarks import faults, wide_area
from benchmarks.pages import DISTRIBUTED, replace_block
from benchmarks.scaling import fit_scaling
from benchmarks.turns import Times, describe_ratios, open_model, time_in_turns
from gym_gazebo2.algos import TrainConfig
from gym_gazebo2.algos.choices import Vectorization
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.distributed.session import RaySession
from gym_gazebo2.scheduling import count_processors

WORKERS = (1, 2, 4, 8)
STARTS = 3
"""Times that Gazebo is started anew: where the scheduler puts its threads changes between starts."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the speed of workers.

    Attributes:
        iterations: Iterations of each variant that count, in turns of 3.
        gazebo: Also measure workers with Gazebo.
        faults: Measure the delay by lost workers instead.
        wide_area: Measure a learner that is far from its workers instead. This needs Linux and root.
        json: Also write the figures to this file.
        page: Document to write the cost model into.
    """

    iterations: int = 36
    gazebo: bool = False
    faults: bool = False
    wide_area: bool = False
    json: str | None = None
    page: str = str(DISTRIBUTED)


def measure_overhead(iterations: int) -> Times:
    """Return the times with the shards in this process, and with one worker."""
    config = resolve(TrainConfig(env="MARA-v0"))
    with open_model(config, "local") as local, open_model(config, "ray") as ray:
        return time_in_turns({"this process": local, "one worker": ray}, iterations)


def measure_slow(iterations: int) -> Times:
    """Return the times of iterations of 1,600 steps of 1 ms with each number of workers."""
    hyperparameters = {"n_steps": 50, "batch_size": 800, "n_epochs": 2}
    config = resolve(TrainConfig(env="benchmarks.slow_arm:SlowSCARA-v0", num_envs=32, hyperparameters=hyperparameters))
    cpus = count_processors() / max(WORKERS)
    figures: Times = {}
    for workers in WORKERS:  # not in turns: fifteen workers at once have no room
        with open_model(config, "ray", 8, workers, cpus) as model:
            figures |= time_in_turns({f"{workers} workers": model}, iterations // 3)
    return figures


def measure_gazebo(iterations: int, vec: Vectorization | None = None) -> Times:
    """Return the times of iterations of 400 steps with one and two workers, each with a Gazebo of its own.

    There is one epoch, because the update is the same for any number of workers. The numbers of workers take turns, and each
    time Gazebo is started anew: workers that keep to a processor leave none for others.
    """
    times: Times = {"1 workers": [], "2 workers": []}
    for workers in (1, 2) * STARTS:
        own = {"n_steps": 400 // workers, "batch_size": 400, "n_epochs": 1}
        config = resolve(
            TrainConfig(env="SCARA-v0", backend="gazebo", num_envs=workers, workers=workers, vec=vec, hyperparameters=own)
        )
        with open_model(config, "ray", workers, workers) as model:
            found = time_in_turns({"": model}, iterations // (2 * STARTS))[""]
            times[f"{workers} workers"].append(statistics.median(found))
    return times


def measure_embedded(iterations: int) -> Times:
    """Return the times of plain training, and with two workers."""
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


def print_times(title: str, rows: Times) -> None:
    """Print the median time of each variant, and its speed as a multiple of the first one's."""
    print(title)
    first = next(iter(rows.values()))
    for name, times in rows.items():
        middle, low, high = describe_ratios(first, times)
        print(f"  {name:14} {1e3 * statistics.median(times):9,.1f} ms  {middle:5.2f}  ({low:.2f} to {high:.2f})", flush=True)


def measure(args: Arguments) -> None:
    """Measure iterations, print, and write the cost model."""
    started = time.perf_counter()
    with contextlib.closing(RaySession(num_cpus=count_processors())):
        start_s = time.perf_counter() - started
        print(f"Ray started in {start_s:.1f} s.")
        print("Median time of an iteration, and how many times as fast as the first row (quartiles over the turns):")
        figures: dict[str, Times] = {}
        for title, measure_rows in {
            "overhead of one worker": measure_overhead,
            "embedded physics": measure_embedded,
            "steps of 1 ms": measure_slow,
            **({"Gazebo": measure_gazebo, "Gazebo, --vec dummy": _measure_unpinned} if args.gazebo else {}),
        }.items():
            figures[title] = measure_rows(args.iterations)
            print_times(title, figures[title])
    medians = {title: {name: statistics.median(times) for name, times in rows.items()} for title, rows in figures.items()}
    one, two = medians["overhead of one worker"]["one worker"], medians["embedded physics"]["2 workers"]
    table = make_model_table({**medians, "embedded workers": {"1 workers": one, "2 workers": two}})
    print(table)
    replace_block(Path(args.page), "python -m benchmarks.distributed", table)
    if args.json:
        Path(args.json).write_text(json.dumps({"start_s": start_s, "iteration_s": figures}, indent=2) + "\n")


def _measure_unpinned(iterations: int) -> Times:
    return measure_gazebo(iterations, "dummy")


def main() -> None:
    """Measure what is asked for."""
    args = tyro.cli(Arguments)
    torch.set_num_threads(1)  # the default of a training, and what the workers set
    if args.faults:
        faults.measure(Path(args.page))
    elif args.wide_area:
        wide_area.measure(Path(args.page), args.iterations)
    else:
        measure(args)


if __name__ == "__main__":
    main()
