"""Measure control steps per CPU-second of MARA-v0, compared with raw MuJoCo and with other packages.

``python -m benchmarks.throughput`` prints a table; ``--json FILE`` also writes it. The machine may be shared. So every row is
measured in several short slices that take turns, and the best slice counts: the ratios then belong to the same moment.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import tyro

import gym_gazebo2  # noqa: F401
from gym_gazebo2.backends.mujoco.clock import stop_clock

ENV_ID = "MARA-v0"
SLICES = 5
RAW, TIMED = "raw mj_step, one control period each", "the same, with MuJoCo's clock"
PEERS = {"panda-gym": "peer_panda", "EnvPool": "peer_envpool"}
ROOT = Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the speed of the environments.

    Attributes:
        seconds: CPU-seconds per row.
        peers: Python of the environment that ``make peers`` installs.
        json: Also write the figures to this file.
    """

    seconds: float = 5.0
    peers: str | None = None
    json: str | None = None


def make_single() -> Callable[[], int]:
    """Return a function that runs one episode of the single environment, and returns its steps."""
    env = gym.make(ENV_ID)
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (100, *env.action_space.shape)).astype(np.float32)

    def run() -> int:
        env.reset()
        for action in actions:
            env.step(action)
        return len(actions)

    return run


def make_batch(num_envs: int, num_threads: int) -> Callable[[], int]:
    """Return a function that runs twenty steps of a batch, and returns the control steps."""
    env = gym.make_vec(ENV_ID, num_envs=num_envs, start_noise=0.1, backend_options={"num_threads": num_threads})
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (20, *env.action_space.shape)).astype(np.float32)

    def run() -> int:
        for action in actions:
            env.step(action)
        return len(actions) * num_envs

    return run


def make_raw() -> Callable[[], int]:
    """Return a function that steps the model of the environment with random actions, by MuJoCo alone."""
    core = gym.make(ENV_ID).unwrapped.core
    model, substeps = core.backend.model, core.backend.num_substeps
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    speed = rng.uniform(-1, 1, (100, model.nu)) * core.robot.control_speed

    def run() -> int:
        mujoco.mj_resetData(model, data)
        for row in speed:
            data.ctrl[:] = row
            mujoco.mj_step(model, data, substeps)
        return len(speed)

    return run


def make_timed() -> Callable[[], int]:
    """Return a function that does the same while MuJoCo's clock runs, which the backend has stopped."""
    run = make_raw()

    def run_with_clock() -> int:
        mujoco.set_mjcb_time(None)
        try:
            return sum(run() for _ in range(20))  # so many that stopping the clock takes no part of the time
        finally:
            stop_clock()

    return run_with_clock


def measure(rows: dict[str, Callable[[], int]], seconds: float, clock: Callable[[], float]) -> dict[str, float]:
    """Return the best rate of each row over slices that take turns [1/s]."""
    rates: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(SLICES):
        for name, run in rows.items():
            steps, start = 0, clock()
            while (elapsed := clock() - start) < seconds / SLICES:
                steps += run()
            rates[name].append(steps / elapsed)
    return {name: max(values) for name, values in rates.items()}


def measure_peers(python: str, seconds: float) -> dict[str, float]:
    """Run the peers' modules in their own environment. A peer that is not installed there is left out, with its error."""
    figures: dict[str, float] = {}
    for name, module in PEERS.items():
        # As modules: beside a script, Python would find this folder's panda_gym.py in place of the package.
        command = [python, "-m", f"benchmarks.{module}", str(seconds)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600 + 10 * seconds, check=False)
        if done.returncode == 0:
            figures |= json.loads(done.stdout.splitlines()[-1])
        else:
            print(f"{name} did not run: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    return figures


def main() -> None:
    """Measure and print."""
    args = tyro.cli(Arguments)
    rows = {
        "single environment": make_single(),
        "batch of 64": make_batch(64, 1),
        "batch of 256": make_batch(256, 1),
        RAW: make_raw(),
        TIMED: make_timed(),
    }
    figures = measure(rows, args.seconds, time.process_time)
    threads = {f"batch of 256, {n} thread(s)": make_batch(256, n) for n in (1, 2)}
    wall = measure(threads, args.seconds, time.perf_counter)
    if args.peers:
        figures |= measure_peers(args.peers, args.seconds)
    print(f"{ENV_ID}: control steps per CPU-second (one thread), and as a multiple of raw physics")
    for name, rate in figures.items():
        print(f"  {name:42} {rate:10,.0f}  {rate / figures[RAW]:6.2f}")
    single, panda = figures["single environment"], figures.get("panda-gym PandaReach-v3")
    if panda:
        print(f"  single environment against panda-gym: {single / panda:.1f} times")
    print("control steps per second of wall time")
    for name, rate in wall.items():
        print(f"  {name:42} {rate:10,.0f}  {rate / next(iter(wall.values())):6.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps({"cpu": figures, "wall": wall}, indent=2) + "\n")


if __name__ == "__main__":
    main()
