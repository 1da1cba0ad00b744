"""How fast and how far training gets, as the median and range over seeds.

``python -m benchmarks.learning --env MARA-v0`` trains the preset with three seeds, one after the other, and evaluates each
with 30 runs from perturbed starts.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import tempfile
from pathlib import Path

import tyro

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, train

FIGURES = ("accuracy_rms_mm", "repeatability_rms_mm", "success_rate", "train_wall_s", "time_to_target_s")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train with several seeds.

    Attributes:
        env: Environment id.
        algo: Row of the table of algorithms.
        steps: Environment steps; None: the preset's.
        normalize: Normalise observations and rewards; None: the preset's.
        seeds: Number of seeds.
        json: Also write every seed's result to this file.
    """

    env: str = "MARA-v0"
    algo: str = "ppo"
    steps: int | None = None
    normalize: bool | None = None
    seeds: int = 3
    json: str | None = None


def main() -> None:
    """Train, evaluate, print."""
    args = tyro.cli(Arguments)
    results = []
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "run")
            run = train(TrainConfig(args.env, args.algo, args.steps, seed, out, normalize=args.normalize, progress=False))
            results.append(dataclasses.asdict(evaluate(run.path, EvaluateConfig(runs=30))))
        print(f"seed {seed}: " + ", ".join(f"{name} {results[-1][name]:.4g}" for name in FIGURES), flush=True)
    for name in FIGURES:
        values = [result[name] for result in results]
        print(f"{name:22} median {statistics.median(values):10.4g}   from {min(values):.4g} to {max(values):.4g}")
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
