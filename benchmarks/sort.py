"""Train the sorting tasks, and print how many objects the policies sort: ``python -m benchmarks.sort [ROW …]``.

Each row is trained with seeds that were not used to choose the settings (10, 11, 12), one after the other. A result is the
success rate of the deterministic policy in 500 fresh episodes, 100 in a Gazebo server; a row shows the median of its seeds.
Rows that start from the policy for one object, or learn from it, train that one first. The same command again continues:
finished runs are kept in --out. Some rows also show the success of the same policies in other conditions: "images" with black
pictures, "in Gazebo" and "in gz-sim" in MuJoCo, "randomize" with nothing that varies. The row "speed" prints control steps per
CPU-second of a batch; ``python -m benchmarks.panda_gym`` compares them with panda-gym's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

import gym_gazebo2  # noqa: F401
from benchmarks.panda_cases import measure_speed
from benchmarks.panda_gym import SPEED_ENVS, make_steps
from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, train
from gym_gazebo2.algos.train import resume

BAR = {"blocker": 0.05}
VARIED = {"friction": (0.5, 1.5), "mass": (0.5, 2.0), "size": (0.8, 1.2), "latency": (0, 1), "noise": 0.002}
"""What varies between episodes: factors, control periods, and metres or the unit of the component."""
FIRST_EPISODE = 100_000
SPEED_S = 3.0
"""Time of the measurement of speed [CPU-s]."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        settings: Fields of the training; None: no training, only an evaluation of the run that ``start`` names.
        start: Row from whose policy it starts.
        teacher: Row whose policy teaches it.
        evaluation: Keywords of the environment in the evaluation that differ from the training's.
        backend: Where it is evaluated; None: where it was trained. The comparison always is where it was trained.
        episodes: Episodes of each evaluation.
        comparison: Keywords of the environment in a second evaluation, with which the first one is compared; None: none.
        measure: "success_rate", or a measure of the task.
        bar, goal: The values to reach.
    """

    settings: dict[str, Any] | None
    start: str | None = None
    evaluation: dict[str, Any] = dataclasses.field(default_factory=dict)
    teacher: str | None = None
    comparison: dict[str, Any] | None = None
    backend: str | None = None
    episodes: int = 500
    measure: str = "success_rate"
    bar: float = 0.0
    goal: float = 0.0


SORT, TOSS = {"env": "PandaSort-v0"}, {"env": "PandaToss-v0"}
ROWS: dict[str, Row] = {
    "1 object": Row({**SORT, "steps": 1_000_000}, bar=0.95, goal=0.98),
    "1 object, bar": Row({**SORT, "steps": 700_000, "env_kwargs": BAR}, bar=0.98, goal=0.99),
    "2 objects": Row(
        # From the policy that learned with the bar: it carries objects, and does not drag them over each other and into bins.
        {**SORT, "steps": 500_000, "max_episode_steps": 150, "env_kwargs": {"num_objects": 2}},
        "1 object, bar", bar=0.85, goal=0.95,
    ),
    "2 objects, bar": Row(
        {**SORT, "steps": 500_000, "max_episode_steps": 150, "env_kwargs": {**BAR, "num_objects": 2}},
        "1 object, bar", bar=0.90, goal=0.95,
    ),
    "5 objects, bar, policy for one": Row(
        None, "1 object, bar", {"num_objects": 5, "slots": 1, "max_episode_steps": 250},
        measure="sorted_right", bar=0.93, goal=0.97,
    ),
    "5 objects, bar, policy for two": Row(
        None, "2 objects, bar", {"num_objects": 5, "slots": 2, "max_episode_steps": 250},
        measure="sorted_right", bar=0.93, goal=0.97,
    ),
    "1 object, bar, in Gazebo": Row(None, "1 object, bar", comparison={}, backend="gazebo", episodes=100, bar=0.93, goal=0.98),
    "1 object, bar, in gz-sim": Row(None, "1 object, bar", comparison={}, backend="gz_sim", episodes=100, bar=0.93, goal=0.98),
    "1 object, bar, randomize": Row(
        {**SORT, "steps": 1_000_000, "env_kwargs": {**BAR, "randomize": VARIED}},
        comparison={"randomize": None}, bar=0.93, goal=0.98,
    ),
    "toss": Row({**TOSS, "steps": 3_000_000}, bar=0.70, goal=0.85),
    "1 object, torque": Row(
        {**SORT, "steps": 1_000_000, "control": "torque", "env_kwargs": {"joints": True}}, bar=0.0, goal=0.50
    ),
    "images": Row(
        {"env": "PandaSortCamera-v0", "algo": "dagger"}, teacher="1 object",
        comparison={"blank_images": True}, bar=0.20, goal=0.80,
    ),
}  # fmt: skip


def main() -> None:
    """Train and evaluate the rows, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [*ROWS, "speed"]
    listed = "Rows: " + "; ".join(names)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all without any. {listed}")
    parser.add_argument("--out", type=Path, default=Path("runs/sort"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[10, 11, 12])
    args = parser.parse_args()
    if unknown := set(args.rows) - set(names):
        parser.error(f"there is no row {unknown.pop()!r}. {listed}")
    for name in args.rows or names:
        if name == "speed":
            speed = measure_speed(make_steps("PandaSort-v0"), SPEED_S)
            print(f"| control steps per CPU-s, batch of {SPEED_ENVS}, one thread | {speed:,.0f} |", flush=True)
            continue
        results = [measure(name, seed, args.out) for seed in args.seeds]
        values, row = [result["value"] for result in results], ROWS[name]
        each = _list_percent(values)
        costs = ", ".join(f"{result['steps']:,} steps {result['cpu_s']:.0f} CPU-s" for result in results)
        if row.comparison is not None:
            others = _list_percent([result["compared"] for result in results])
            each += f"; with {row.comparison or 'the backend of the training'}: {others}"
        print(
            f"| {name} | {100 * statistics.median(values):.1f} % ({each}) | bar {100 * row.bar:g} %, goal {100 * row.goal:g} % "
            f"| {costs} |",
            flush=True,
        )


def _list_percent(values: list[float]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values)


def _get_folder(name: str, seed: int, out: Path) -> Path:
    return out / f"{name.replace(', ', '-').replace(' ', '_')}-{seed}"


def measure(name: str, seed: int, out: Path) -> dict[str, float]:
    """Return value, steps and CPU time [s] of a row with a seed; and "compared", the value of the second evaluation if any."""
    row, folder = ROWS[name], _get_folder(name, seed, out)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "result.json").is_file():
        return dict(json.loads((folder / "result.json").read_text()))
    first = row.start or row.teacher
    start = None if first is None else measure(first, seed, out)
    source = None if first is None else _get_folder(first, seed, out) / "run"
    began = time.process_time()
    path, steps, begun = folder / "run", 0, False
    if row.settings is not None:
        begun = (path / "config.json").is_file()
        run = (
            resume(path)
            if begun
            else train(TrainConfig(**row.settings, **_use(row, source), seed=seed, out=path, progress="plain"))
        )
        steps = run.read_json("training.json")["train_steps"]
    elif source is not None:
        path = source
    cpu_s = float("nan") if begun else time.process_time() - began  # unknown where another process did the first part
    total = {
        "value": _evaluate(row, path, seed, folder, row.evaluation, row.backend),
        "steps": steps + (start or {"steps": 0})["steps"],
        "cpu_s": cpu_s + (start or {"cpu_s": 0.0})["cpu_s"],
    }
    if row.comparison is not None:
        total["compared"] = _evaluate(row, path, seed, folder / "compared", row.comparison)
    (folder / "result.json").write_text(json.dumps(total))
    return total


def _use(row: Row, source: Path | None) -> dict[str, Any]:
    """Return the fields of the training that name the run of another row."""
    return {"start_from": source} if row.teacher is None else {"hyperparameters": {"teacher": str(source)}}


def _evaluate(row: Row, run: Path, seed: int, out: Path, env_kwargs: dict[str, Any], backend: str | None = None) -> float:
    """Return the value of a policy in fresh episodes."""
    out.mkdir(exist_ok=True)
    settings = EvaluateConfig(
        runs=row.episodes, seed=FIRST_EPISODE + 1000 * seed, out=str(out), env_kwargs=env_kwargs, backend=backend
    )
    result = evaluate(run, settings)
    value = result.success_rate if row.measure == "success_rate" else result.measures[row.measure]
    return float("nan") if value is None else value


if __name__ == "__main__":
    main()
