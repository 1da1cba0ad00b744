"""Try settings of an algorithm on an environment id, in parallel, and print which one did best.

``python -m benchmarks.tune CANDIDATES.json --out RESULTS.jsonl --jobs 2`` trains every candidate with every seed and
evaluates it with 30 runs from perturbed starts. A candidate is an object with "name", "env", "algo" and any further field of
``TrainConfig``. Each result is one line, appended when a run ends. The same command continues an interrupted search.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

FIGURES = ("accuracy_rms_mm", "success_rate", "steps_to_target", "wall_s")


def main() -> None:
    """Run what has no result yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="first seed; not one of the published figures")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--budget", type=float, default=float("inf"), help="start no run after so many seconds")
    args = parser.parse_args()
    done = {(row["name"], row["seed"]) for row in read_results(args.out)}
    candidates = json.loads(args.candidates.read_text())
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    jobs = [(c, seed, args.runs) for seed in seeds for c in candidates if (c["name"], seed) not in done]
    run_all(jobs, args.jobs, time.monotonic() + args.budget, args.out)
    show(read_results(args.out))


def run_all(jobs: list[tuple[dict[str, Any], int, int]], workers: int, deadline: float, out: Path) -> None:
    """Train in several processes, and append each result when it arrives."""
    os.environ["OMP_NUM_THREADS"] = "1"
    out.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run_one, *job, deadline) for job in jobs]
        for future in as_completed(futures):
            if (result := future.result()) is not None:
                with out.open("a") as stream:
                    stream.write(json.dumps(result) + "\n")
                print({key: result[key] for key in ("name", "seed", *FIGURES)}, flush=True)


def run_one(candidate: dict[str, Any], seed: int, runs: int, deadline: float) -> dict[str, Any] | None:
    """Train and evaluate one candidate with one seed, on one processor; None if the deadline has passed."""
    if time.monotonic() > deadline:
        return None
    from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, train

    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[os.getpid() % len(os.sched_getaffinity(0))]})
    arguments = {key: value for key, value in candidate.items() if key != "name"}
    result: dict[str, Any] = {"name": candidate["name"], "seed": seed, "candidate": candidate}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            TrainConfig(**arguments, seed=seed, out=f"{folder}/run", progress=False, checkpoint_seconds=1e9, torch_threads=1)
        )
        evaluation = evaluate(run.path, EvaluateConfig(runs=runs))
        curve = run.read_json("curve.json")
    result |= {"accuracy_rms_mm": evaluation.accuracy_rms_mm, "success_rate": evaluation.success_rate}
    result |= {"steps_to_target": curve["steps_to_target"], "curve": curve["evaluations"]}
    return result | {"wall_s": time.monotonic() - started}


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return the results so far. An incomplete last line is ignored."""
    whole, _, _ = (path.read_text() if path.is_file() else "").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def show(rows: list[dict[str, Any]]) -> None:
    """Print a line per candidate: worst and median tool error, lowest success rate, median steps to 1 mm."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["candidate"]["env"], row["candidate"]["algo"], row["name"]].append(row)
    for key, group in sorted(groups.items()):
        errors = [row["accuracy_rms_mm"] for row in group]
        steps = [row["steps_to_target"] or float("inf") for row in group]
        success, wall = min(row["success_rate"] for row in group), statistics.median(row["wall_s"] for row in group)
        print(
            f"{' '.join(key):60} n {len(group)}  error {statistics.median(errors):8.3f} (worst {max(errors):8.3f}) mm  "
            f"success {success:4.0%}  to 1 mm {statistics.median(steps):10.0f} steps  {wall:6.1f} s"
        )


if __name__ == "__main__":
    main()
