"""Measure the time of an import and of a reset, and the growth of memory over many resets and steps.

``python -m benchmarks.footprint`` prints the figures of docs/figures.md.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time

import gymnasium as gym
import psutil

RESETS, STEPS, ARMS, IMPORTS = 10_000, 1_000_000, 256, 5
IMPORT = "import time; start = time.perf_counter(); import gym_gazebo2; print(time.perf_counter() - start)"


def measure_import() -> float:
    """Return the best import time of some fresh processes [s]."""
    command, options = [sys.executable, "-c", IMPORT], {"capture_output": True, "text": True}
    runs = [subprocess.run(command, check=True, timeout=60, **options) for _ in range(IMPORTS)]
    return min(float(run.stdout) for run in runs)


def get_memory() -> float:
    """Return the resident memory of this process [MB]."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def main() -> None:
    """Measure and print."""
    print(f"import gym_gazebo2: {measure_import():.3f} s")
    single, batch = gym.make("MARA-v0", start_noise=0.1), gym.make_vec("MARA-v0", num_envs=ARMS)
    single.reset(seed=0)
    batch.reset(seed=0)
    actions = batch.action_space.sample()
    for _ in range(200):
        single.reset()
        batch.step(actions)
    before, start = get_memory(), time.process_time()
    for _ in range(RESETS):
        single.reset()
    print(f"reset: {1e3 * (time.process_time() - start) / RESETS:.3f} ms of CPU time")
    print(f"memory after {RESETS} resets: {get_memory() - before:+.2f} MB")
    for _ in range(STEPS // ARMS):
        batch.step(actions)
    print(f"memory after {STEPS} further steps: {get_memory() - before:+.2f} MB")


if __name__ == "__main__":
    main()
