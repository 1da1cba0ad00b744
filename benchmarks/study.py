"""The study of docs/study.md: five algorithms, two arms, three seeds, from presets, each evaluated with 30 runs.

``python -m benchmarks.study`` runs the sweep, or continues it, and writes the table and the figure into the page.
It needs ``pip install 'gym_gazebo2[train]'``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from gym_gazebo2.algos.report.curves import compute_band
from gym_gazebo2.algos.report.groups import Group, group_runs
from gym_gazebo2.algos.report.run_data import RunData, read_run
from gym_gazebo2.algos.sweep.runner import SweepConfig, sweep

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ENVS = ("MARA-v0", "SCARA-v0")
ALGOS = ("ppo", "trpo", "acktr", "a2c", "sac")
COLORS = dict(zip(ALGOS, ("#0072b2", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"), strict=True))
PAGE = Path(__file__).parent.parent / "docs" / "study.md"
BEGIN, END = "<!-- python -m benchmarks.study: begin -->", "<!-- end -->"


def main() -> None:
    """Train what is missing, then write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/study", help="folder of the sweep")
    parser.add_argument("--jobs", type=int, help="trainings side by side; default: one a processor")
    args = parser.parse_args()
    runs = [read_run(run.path) for run in sweep(SweepConfig(env=ENVS, algo=ALGOS, jobs=args.jobs, out=args.out))]
    groups = group_runs(runs)
    table = make_table(groups)
    print(table)
    head, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}")
    draw(groups, PAGE.with_suffix(".png"))


def make_table(groups: Sequence[Group]) -> str:
    """Return a line of Markdown for every group of seeds: medians and ranges."""
    lines = [
        "| | | tool error, RMS [mm] | success [%] | steps to 1 mm | steps |",
        "|---|---|---|---|---|---|",
    ]
    for group in groups:
        evaluations = [run.evaluation for run in group.runs if run.evaluation is not None]
        cells = [
            tell([e["accuracy_rms_mm"] for e in evaluations], "{:.2g}"),
            tell([100 * e["success_rate"] for e in evaluations], "{:.0f}"),
            tell([run.target[1] for run in group.runs if run.target], "{:,.0f}", len(group.runs)),
            f"{group.runs[0].steps:,}",
        ]
        lines.append(f"| `{group.env}` | `{group.runs[0].config.algo}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def tell(values: Sequence[float], form: str, expected: int | None = None) -> str:
    """Return median and range, and the number of seeds if some have no value."""
    if not values:
        return "–"
    median, low, high = (form.format(value) for value in (np.median(values), min(values), max(values)))
    missing = f", {len(values)} of {expected} seeds" if expected not in (None, len(values)) else ""
    return f"{median} ({low}–{high}{missing})" if low != high or missing else median


def draw(groups: Sequence[Group], path: Path) -> None:
    """Draw the tool error of the evaluations during training: the median over seeds, and the range, one panel per arm."""
    figure, axes = plt.subplots(1, len(ENVS), figsize=(10, 4), layout="constrained", sharey=True)
    for axis, env in zip(axes, ENVS, strict=True):
        for group in (group for group in groups if group.env == env):
            algo = group.runs[0].config.algo
            band = compute_band([get_curve(run) for run in group.runs], log=True)
            axis.fill_between(band.x, band.low, band.high, color=COLORS[algo], alpha=0.2, linewidth=0)
            axis.plot(band.x, band.median, color=COLORS[algo], label=algo)
        axis.axhline(1.0, color="0.6", linewidth=0.8, linestyle="--")
        axis.set(title=env, xlabel="environment steps", xscale="log", yscale="log", xlim=(1000, None))
    axes[0].set_ylabel("tool error, RMS [mm]")
    axes[-1].legend(frameon=False)
    figure.savefig(path, dpi=110)


def get_curve(run: RunData) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and tool errors [mm] of a run's evaluations during training."""
    return run.curve["steps"], 1e3 * run.curve["position_error"]


if __name__ == "__main__":
    main()
