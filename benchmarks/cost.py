"""What the 2019 paper's experiments cost here: a grid over workers and hyperparameters, for SCARA and MARA.

``python -m benchmarks.cost`` trains both arms with 1 and 2 workers, one training at a time, in about five minutes on two cores,
or goes on where it was stopped. Time hardly depends on the seed, so there is one; ``--seeds 0 1 2`` takes more. It writes its
table into docs/distributed.md. With ``--runs DIR …`` it takes runs that exist.

- Measured: machine-hours of a training, from the time for which the run held its machines (``machines.json``); the median.
- Extrapolated: numbers of workers that were not measured, by T(n) = a + b / n, fitted to those that were. A machine holds four
  workers, as in the paper, so n workers hold n / 4 machines, rounded up.
- Assumed: the paper reports more than 140 trainings of SCARA and more than 900 of MARA, and not how workers were spread over
  them. They are taken as spread evenly. Hyperparameters of the grid are taken to change no training's time.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import tyro

from benchmarks.pages import DISTRIBUTED, replace_block
from benchmarks.scaling import fit_scaling
from gym_gazebo2.algos.report.costs import PAPER_COST, PAPER_HOURS, PAPER_PRICE
from gym_gazebo2.algos.report.run_data import RunData, read_run
from gym_gazebo2.algos.sweep import SweepConfig, sweep
from gym_gazebo2.scheduling import count_processors

TRAININGS = {"SCARA-v0": 140, "MARA-v0": 900}
"""Environment id → trainings of the paper's grid."""
PAPER_WORKERS = (1, 2, 4, 8, 16)
"""Numbers of workers of the grid: the paper has 1 to 16."""
WORKERS_PER_MACHINE = 4


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Compute what the paper's experiments cost here.

    Attributes:
        runs: Folders with runs, also of sweeps, in place of the trainings of this command.
        workers: Numbers of workers to measure.
        seeds: Seeds of each.
        steps: Environment steps of a training; None: the preset's.
        price_per_hour: Price of a machine per hour [€].
        out: Folder of the trainings.
        page: Document to write the table into.
    """

    runs: tuple[str, ...] = ()
    workers: tuple[int, ...] = (1, 2)
    seeds: tuple[int, ...] = (0,)
    steps: int | None = None
    price_per_hour: float = PAPER_PRICE
    out: str = "runs/cost"
    page: str = str(DISTRIBUTED)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A number of workers of an arm.

    Attributes:
        env: Environment id.
        workers: Workers.
        count: Trainings with them.
        hours: Machine-hours of each.
        source: Where that is from.
    """

    env: str
    workers: int
    count: float
    hours: float
    source: str


def train(args: Arguments) -> list[RunData]:
    """Train what is missing, one training at a time: trainings side by side would slow each other."""
    share = min(1.0, count_processors() / max(args.workers))
    grid = (f"workers={','.join(map(str, args.workers))}",)
    config = SweepConfig(
        tuple(TRAININGS), seeds=args.seeds, grid=grid, steps=args.steps, jobs=1, worker_cpus=share, out=args.out
    )
    return [read_run(run.path) for run in sweep(config)]


def find_runs(folders: Sequence[str]) -> list[RunData]:
    """Return the finished runs with workers in some folders."""
    paths = {path.parent for folder in folders for path in Path(folder).rglob("config.json")}
    runs = [read_run(path) for path in sorted(paths)]
    return [run for run in runs if run.training is not None and run.config.workers and run.config.env in TRAININGS]


def list_cells(env: str, runs: Sequence[RunData]) -> Iterator[Cell]:
    """Return the grid of an arm.

    Raises:
        SystemExit: None of the runs is of this arm.
    """
    measured: dict[int, list[RunData]] = {}
    for run in runs:
        if run.config.env == env:
            measured.setdefault(run.config.workers or 1, []).append(run)
    if not measured:
        raise SystemExit(
            f"There is no finished run of {env} with workers. Train one: gym-gazebo2 train --env {env} --workers 2"
        )
    hold_s = {
        n: statistics.median(sum(one.until - one.since for one in run.holdings) for run in found)
        for n, found in measured.items()
    }
    machines = {n: statistics.median(len({one.host for one in run.holdings}) for run in found) for n, found in measured.items()}
    model = fit_scaling({n: hold_s[n] / machines[n] for n in sorted(measured)})
    for workers in sorted({*PAPER_WORKERS, *measured}):
        count = TRAININGS[env] / len(PAPER_WORKERS) if workers in PAPER_WORKERS else 0.0
        if workers in measured:
            runs_held = f"{len(measured[workers])} run{'s' * (len(measured[workers]) > 1)}"
            source = f"measured, {runs_held} on {machines[workers]:g} machine{'s' * (machines[workers] > 1)}"
            yield Cell(env, workers, count, hold_s[workers] / 3600, source)
        else:
            held = -(-workers // WORKERS_PER_MACHINE)
            source = f"extrapolated: {model}, {held} machine{'s' * (held > 1)}"
            yield Cell(env, workers, count, held * model.predict(workers) / 3600, source)


def make_table(runs: Sequence[RunData], price: float) -> str:
    """Return the table as Markdown."""
    lines = [
        "| | workers | trainings | machine-hours per training | source | machine-hours | cost [€] |",
        "|---|---|---|---|---|---|---|",
    ]
    cells = [cell for env in TRAININGS for cell in list_cells(env, runs)]
    for cell in cells:
        total = cell.count * cell.hours
        figures = f"{cell.hours:.3g} | {cell.source} | {total:.3g} | {price * total:.3g}"
        lines.append(f"| `{cell.env}` | {cell.workers} | {cell.count:.0f} | {figures} |")
    hours = sum(cell.count * cell.hours for cell in cells)
    share = sum(cell.count * cell.hours for cell in cells if cell.source.startswith("measured")) / hours
    steps = ", ".join(sorted({f"`{run.config.env}` {run.steps:,}" for run in runs}))
    backends = "`, `".join(sorted({run.config.backend or "" for run in runs}))
    own = f"{share:.0%} of the hours measured"
    lines += [
        f"| all, here, at {price:g} € per hour | | {sum(TRAININGS.values()):,} | | {own} | {hours:.3g} | {price * hours:.3g} |",
        f"| all, 2019 paper, at {PAPER_PRICE:g} € per hour | | more than 1,040 | | | {PAPER_HOURS:,.0f} | {PAPER_COST:.2f} |",
    ]
    machines = f"A machine holds up to {WORKERS_PER_MACHINE} workers."
    return "\n".join([*lines, "", f"Steps of a training: {steps}, on `{backends}`. {machines}"])


def main() -> None:
    """Train what is missing, compute, and write the table."""
    args = tyro.cli(Arguments)
    table = make_table(find_runs(args.runs) if args.runs else train(args), args.price_per_hour)
    print(table)
    replace_block(Path(args.page), "python -m benchmarks.cost", table)


if __name__ == "__main__":
    main()
