"""Measure how fast an algorithm learns and how accurate it becomes: median and range over seeds.

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

from gym_gazebo2.algos import EvaluateConfig, RunFolder, TrainConfig, evaluate, train
from gym_gazebo2.algos.choices import Vectorization

FIGURES = ("accuracy_rms_mm", "repeatability_rms_mm", "success_rate", "train_wall_s", "time_to_target_s", "steps_to_target")
CHOSEN = (
    *(
        "env",
        "robot",
        "tool_frame",
        "algo",
        "steps",
        "preset",
        "normalize",
        "backend",
        "eval_every",
        "target",
        "target_error_mm",
    ),
    *("num_envs", "vec", "workers", "worker_cpus"),
)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train with several seeds.

    Attributes:
        env: Environment id.
        robot: Robot in place of the id's own: a name, or the path of a URDF.
        tool_frame: Link whose origin is the tool centre point; None: the robot's own.
        algo: Row of the table of algorithms.
        steps: Environment steps; None: the preset's.
        preset: "tuned" or "paper".
        normalize: Normalise observations and rewards; None: the preset's.
        backend: Backend to train and evaluate on.
        eval_every: Steps between two evaluations, so between two checks of the target; None: a twentieth of the steps.
        target: The time and the steps until a bound is met are printed, such as success_rate>=0.9; None: the task's own target,
            1 mm for reach tasks.
        target_error_mm: Short for target position_error, in millimetres.
        num_envs: Environments; None: the preset's.
        vec: How they are stepped; None: the default.
        workers: Worker processes; None: train in this process.
        worker_cpus: Processors that a worker reserves.
        seeds: Number of seeds.
        first_seed: The first of them.
        runs: Episodes of each evaluation.
        json: Also write every seed's result to this file.
    """

    env: str = "MARA-v0"
    robot: str | None = None
    tool_frame: str | None = None
    algo: str = "ppo"
    steps: int | None = None
    preset: str = "tuned"
    normalize: bool | None = None
    backend: str = "mujoco"
    eval_every: int | None = None
    target: str | None = None
    target_error_mm: float | None = None
    num_envs: int | None = None
    vec: Vectorization | None = None
    workers: int | None = None
    worker_cpus: float = 1.0
    seeds: int = 3
    first_seed: int = 0
    runs: int = 30
    json: str | None = None


def main() -> None:
    """Train, evaluate, print."""
    args = tyro.cli(Arguments)
    results = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            chosen = {name: getattr(args, name) for name in CHOSEN}
            run = train(TrainConfig(**chosen, seed=seed, out=Path(folder) / "run", progress="quiet"))
            results.append({**read_steps(run), **dataclasses.asdict(evaluate(run.path, EvaluateConfig(runs=args.runs)))})
        # Only reach tasks have an accuracy. A target that was never met is a result.
        figures = [name for name in FIGURES if "_to_target" in name or results[-1][name] is not None]
        print(f"seed {seed}: " + ", ".join(f"{name} {show(results[-1][name])}" for name in figures), flush=True)
    for name in figures:
        values = [float("inf") if result[name] is None else result[name] for result in results]
        print(f"{name:22} median {statistics.median(values):10.4g}   from {min(values):.4g} to {max(values):.4g}")
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=2) + "\n")


def read_steps(run: RunFolder) -> dict[str, int | None]:
    """Return the environment steps until the target error was first met."""
    target = run.read_target()
    return {"steps_to_target": None if target is None else target[1]}


def show(value: float | None) -> str:
    """Return a figure as text."""
    return "never" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
