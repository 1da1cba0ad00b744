"""Check that two checkouts of this repository behave the same to the last bit on this machine.

``python -m benchmarks.compare_checkouts OTHER [--algo ppo trpo acktr]``: OTHER is the root of another checkout. Each checkout
runs in a process of its own. The script compares trajectories of every id on the backends ``mujoco`` and ``fake``
(observations, rewards, infos), and the weights and evaluations of short trainings. The exit status is 1 if anything differs.

Floating-point results depend on the processor and on library versions, so compare two checkouts on one machine; a stored
hash would be wrong on the next one.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tyro

ARMS, STEPS = 4, 130
"""130 steps pass the end of an episode of 100 steps, so that automatic resets are compared, too."""
FIRST_ALGORITHMS = ("ppo", "trpo", "acktr")
TRAININGS = {"SCARA-v0": 6000, "MARA-v0": 6000}
"""Environment id → steps of a training: a few updates of each algorithm."""

BACKENDS = ("mujoco", "fake")

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Compare this checkout with another.

    Attributes:
        other: Root of the other checkout.
        algo: Algorithms to train.
        ids: Environment ids to compare; empty: all of this checkout.
        write: Write this checkout's results to this file (npz) and compare nothing.
    """

    other: tyro.conf.Positional[Path]
    algo: tuple[str, ...] = FIRST_ALGORITHMS
    ids: tuple[str, ...] = ()
    write: Path | None = None


def main() -> None:
    """Compare, or write this checkout's results."""
    arguments = tyro.cli(Arguments)
    if arguments.write is not None:
        np.savez(arguments.write, **collect(arguments.algo, arguments.ids))
        return
    here = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        theirs = run_in(arguments.other, Path(folder) / "theirs.npz", "--algo", *arguments.algo)
        # Ids that the other checkout does not have cannot be compared.
        known = sorted({name.split("/")[0] for name in theirs if name.split("/")[1] in BACKENDS})
        ours = run_in(here, Path(folder) / "ours.npz", "--algo", *arguments.algo, "--ids", *known)
    differences = list(find_differences(ours, theirs))
    print(*differences, sep="\n", end="\n" if differences else "")
    print(f"{len(ours)} arrays compared, {len(differences)} differ: {here} and {arguments.other}")
    sys.exit(1 if differences else 0)


def run_in(root: Path, target: Path, *options: str) -> Arrays:
    """Return the results of a checkout, computed in a process that imports the package from there."""
    command = [sys.executable, str(Path(__file__).resolve()), str(root), "--write", str(target), *options]
    subprocess.run(command, check=True, cwd=target.parent, env={**os.environ, "PYTHONPATH": str(root.resolve())}, timeout=3600)
    with np.load(target) as arrays:
        return dict(arrays)


def find_differences(ours: Arrays, theirs: Arrays) -> Iterator[str]:
    """Yield a line for every array that one checkout lacks or that differs in any bit."""
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            yield f"{name}: only in {'the other checkout' if name in theirs else 'this checkout'}"
        elif ours[name].shape != theirs[name].shape or not np.array_equal(ours[name], theirs[name], equal_nan=True):
            yield f"{name}: differs"


def collect(algorithms: tuple[str, ...], ids: tuple[str, ...]) -> Arrays:
    """Return everything that is compared, by name: "id/backend/…" and "id/algorithm/…"."""
    from gym_gazebo2.registration import ENVIRONMENTS

    arrays: Arrays = {}
    for env_id in ids or sorted(ENVIRONMENTS):
        for backend in BACKENDS:
            if "Camera" in env_id and backend == "fake":
                continue  # draws nothing
            for control in ("delta", "position"):
                arrays |= roll_out(env_id, backend, control)
    for env_id, steps in TRAININGS.items():
        for algo in algorithms:
            arrays |= train(env_id, algo, steps)
    return arrays


def roll_out(env_id: str, backend: str, control: str) -> Arrays:
    """Return a batch's and a single environment's trajectory under random actions."""
    import gymnasium

    steps = 4 if "Camera" in env_id else STEPS
    kwargs: dict[str, Any] = {"backend": backend, "control": control, "start_noise": 0.1}
    label, rng = f"{env_id}/{backend}/{control}", np.random.default_rng(0)
    rows: dict[str, list[Any]] = {}
    with_batch = gymnasium.make_vec(env_id, num_envs=ARMS, **kwargs)
    actions = rng.uniform(-1, 1, (steps, ARMS, with_batch.single_action_space.shape[0]))
    keep(rows, "batch", with_batch.reset(seed=3)[0], {})
    for action in actions:
        observation, reward, terminated, truncated, info = with_batch.step(action)
        final = info.pop("final_info", {})
        keep(rows, "batch", observation, {**info, "reward": reward, "terminated": terminated, "truncated": truncated})
        keep(rows, "final", None, {name: value for name, value in final.items() if not name.startswith("_")})
    with_batch.close()
    single = gymnasium.make(env_id, **kwargs)
    keep(rows, "single", single.reset(seed=3)[0], {})
    for action in actions[: steps // 2, 0]:
        observation, reward, terminated, truncated, info = single.step(action)
        keep(rows, "single", observation, {**info, "reward": reward, "terminated": terminated, "truncated": truncated})
    single.close()
    return {f"{label}/{name}": np.array(values) for name, values in rows.items()}


def keep(rows: dict[str, list[Any]], label: str, observation: Any, values: dict[str, Any]) -> None:
    """Append an observation and named values to their rows; Gymnasium's masks and final observations are left out."""
    parts = observation if isinstance(observation, dict) else {} if observation is None else {"observation": observation}
    for name, value in {**parts, **values}.items():
        if not name.startswith(("_", "final_")):
            rows.setdefault(f"{label}/{name}", []).append(np.asarray(value).copy())


def train(env_id: str, algo: str, steps: int) -> Arrays:
    """Return the weights of a short training and the figures of its evaluation."""
    import torch

    from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate
    from gym_gazebo2.algos import train as train_run

    arrays: Arrays = {}
    with tempfile.TemporaryDirectory() as folder:
        run = train_run(
            TrainConfig(env=env_id, algo=algo, steps=steps, out=f"{folder}/run", progress="quiet", eval_every=steps)
        )
        evaluation = dataclasses.asdict(evaluate(run.path, EvaluateConfig(runs=6)))
        with zipfile.ZipFile(run.path / "model.zip") as file, file.open("policy.pth") as stream:
            weights = torch.load(stream, weights_only=True)
    for name, value in weights.items():
        arrays[f"{env_id}/{algo}/weights/{name}"] = value.numpy()
    for name in ("mean_reward", "success_rate", "accuracy_rms_mm", "repeatability_rms_mm", "iso9283_ap_mm", "iso9283_rp_mm"):
        arrays[f"{env_id}/{algo}/evaluation/{name}"] = np.array(evaluation[name])
    arrays[f"{env_id}/{algo}/evaluation/errors_mm"] = np.array(evaluation["errors_mm"])
    return arrays


if __name__ == "__main__":
    main()
