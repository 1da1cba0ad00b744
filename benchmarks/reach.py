"""Measure Reach-v0 on real arms, as their makers ship them: train the preset with several seeds, and evaluate each policy.

``python -m benchmarks.reach`` prints a row per arm. The package ``example-robot-data`` has the URDFs. The first columns show
what an arm reaches without learning, when it follows the joint step of its observation: the network adds the difference.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from gym_gazebo2.algos import RunFolder, TrainConfig, train
from gym_gazebo2.algos.evaluation.rollout import Episodes, ModelPolicy, make_eval_env, run_episodes
from gym_gazebo2.algos.runs.any_model import open_model
from gym_gazebo2.errors import UsageError

ENV_ID = "Reach-v0"
STEPS = 100
"""Steps of an episode."""
WITHIN = {"within 5 mm": 0.005, "within 3 mm": 0.003}
"""Label → distance of the tool to its goal at the end of an episode [m]."""

CPU_FILE = "cpu_s.json"
"""File in the run's folder with the processor time of the training, over all threads [s]. On a machine that is shared, the wall
time says little."""

ARMS: dict[str, tuple[str, str]] = {
    "ur5": ("ur_description/urdf/ur5_robot.urdf", "tool0"),
    "panda": ("panda_description/urdf/panda.urdf", "panda_hand_tcp"),
    "xarm7": ("xarm_description/urdf/xarm7.urdf", "link7"),
    "so101": ("so_arm_description/urdf/so101.urdf", "gripper_frame_link"),
}
"""Arm → its file below the robots of ``example-robot-data``, and the tool's link. The files are used unchanged."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train and evaluate arms.

    Attributes:
        arms: Rows of the table of arms.
        seeds: Seeds of the trainings; none: only the column without learning is measured.
        steps: Environment steps of a training; None: the preset's.
        runs: Episodes of each evaluation.
        first_episode: Seed of the first of them. Trainings evaluate from 10 000 on, so the default is other goals.
        start_noise: Half-width of the noise on the start pose in evaluations [rad].
        backend: Backend of the evaluations, such as gazebo.
        out: Folder for the runs; finished ones are used again. None: a temporary folder.
    """

    arms: tuple[str, ...] = tuple(ARMS)
    seeds: tuple[int, ...] = (10, 11, 12)
    steps: int | None = None
    runs: int = 100
    first_episode: int = 50_000
    start_noise: float = 0.1
    backend: str = "mujoco"
    out: Path | None = None


def find_urdf(arm: str) -> str:
    """Return the path of an arm's URDF.

    Raises:
        UsageError: ``example-robot-data`` is not installed.
    """
    try:
        files = metadata.files("example-robot-data") or []
    except metadata.PackageNotFoundError as error:
        raise UsageError("example-robot-data is not installed. Run: pip install example-robot-data") from error
    return str(Path(str(next(file for file in files if file.as_posix().endswith(ARMS[arm][0])).locate())).resolve())


def follow(arm: str, args: Arguments) -> dict[str, float]:
    """Return the figures of an arm that follows the joint step of its observation."""
    kwargs: dict[str, Any] = {
        "robot": find_urdf(arm),
        "tool_frame": ARMS[arm][1],
        "start_noise": args.start_noise,
        "backend": args.backend,
    }
    with contextlib.closing(make_eval_env(ENV_ID, args.runs, **kwargs)) as env:
        dof = env.action_space.shape[0]  # the step comes behind the joint positions

        def act(observation: NDArray[Any]) -> NDArray[Any]:
            step = observation[:, dof : 2 * dof]
            return step / np.maximum(1.0, np.abs(step).max(axis=1, keepdims=True))

        return summarize(run_episodes(env, lambda: act, STEPS, args.first_episode, args.runs))


def learn(arm: str, seed: int, args: Arguments, folder: Path) -> dict[str, float]:
    """Train one policy, unless the folder has it, and return its figures."""
    path = folder / f"{arm}-seed{seed}"
    run = RunFolder.open(path) if (path / "model.zip").is_file() else _train(arm, seed, args.steps, path)
    file = open_model(run.path)
    kwargs = file.config.change_kwargs({"start_noise": args.start_noise, "backend": args.backend})
    with contextlib.closing(file.wrap(make_eval_env(ENV_ID, args.runs, **kwargs))) as env:
        model = file.build()
        episodes = run_episodes(env, lambda: ModelPolicy(model), STEPS, args.first_episode, args.runs)
    return {**summarize(episodes), **json.loads((path / CPU_FILE).read_text())}


def _train(arm: str, seed: int, steps: int | None, path: Path) -> RunFolder:
    urdf, tool_frame = find_urdf(arm), ARMS[arm][1]
    start = time.process_time()
    run = train(TrainConfig(ENV_ID, robot=urdf, tool_frame=tool_frame, steps=steps, seed=seed, out=path, progress="quiet"))
    run.write_json(CPU_FILE, {"cpu_s": round(time.process_time() - start, 1)})
    return run


def summarize(episodes: Episodes) -> dict[str, float]:
    """Return the shares of episodes that end near the goal, and of those with a contact."""
    distance = episodes.measures["position_error"]
    figures = {label: float(np.mean(distance <= limit)) for label, limit in WITHIN.items()}
    collided = np.zeros(len(distance)) if episodes.has_collided is None else episodes.has_collided
    return {**figures, "contact": float(np.mean(collided))}


def show(rows: Sequence[dict[str, float]], name: str, form: Callable[[float], str]) -> str:
    """Return the median of a figure, with the range if there are several values."""
    values = [row[name] for row in rows]
    span = f" ({form(min(values))}–{form(max(values))})" if len(values) > 1 else ""
    return form(statistics.median(values)) + span


def print_arm(arm: str, args: Arguments, folder: Path) -> None:
    """Measure one arm, and print its row."""
    percent, minutes = (lambda value: f"{100 * value:.0f} %"), (lambda value: f"{value / 60.0:.1f}")
    alone = [follow(arm, args)]
    cells = [arm, *(show(alone, name, percent) for name in (*WITHIN, "contact"))]
    if args.seeds:
        rows = []
        for seed in args.seeds:
            rows.append(learn(arm, seed, args, folder))
            print(f"{arm}, seed {seed}: " + ", ".join(f"{k} {v:.3g}" for k, v in rows[-1].items()), flush=True)
        cells += [*(show(rows, name, percent) for name in (*WITHIN, "contact")), show(rows, "cpu_s", minutes)]
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure, print."""
    args = tyro.cli(Arguments)
    names = [*WITHIN, "contact"]
    header = ["arm", *(f"step alone: {name}" for name in names)]
    header += [*(f"trained: {name}" for name in names), "training, processor time [min]"] if args.seeds else []
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
    with contextlib.ExitStack() as stack:
        folder = args.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for arm in args.arms:
            print_arm(arm, args, folder)


if __name__ == "__main__":
    main()
