"""A training on a cluster in steps: it waits for a line of standard input where the test wants to interfere.

Usage: cluster_driver.py ADDRESS INVITE RESULT ITERATION… ; RESULT is a file for what the training has led to. Before each of
these iterations it prints the state of the workers, and waits for a line: "go", "all" to wait for all workers first, or "lost"
to wait until Ray has noticed that a machine is gone.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from contextlib import closing
from pathlib import Path

import ray
from stable_baselines3.common.callbacks import BaseCallback

from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.places import Limits
from gym_gazebo2.algos.distributed.session import RaySession
from tests.processes import wait_until
from tests.shards import configure, describe, learn

SHARDS, ITERATIONS = 4, 12
WORKERS = "workers:"


def make_config():
    """With normalisation, so that the bits depend on the shards and their order."""
    return dataclasses.replace(configure(env="MARA-v0", normalize=True), missing_workers="go-on")


def count_machines():
    """Return the number of machines with CPUs that Ray takes for alive. It also lists those that have left."""
    return sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())


def show(fleet):
    """Print the workers after a word of their own: Ray prints to the same stream."""
    print(WORKERS, json.dumps([dataclasses.asdict(worker) for worker in fleet.workers]), flush=True)


class Steps(BaseCallback):
    def __init__(self, fleet, stops):
        super().__init__()
        self.fleet, self.stops, self.iteration = fleet, stops, 0

    def _on_rollout_start(self):
        if self.iteration in self.stops:
            show(self.fleet)
            word = input()
            if word == "all":
                self.fleet.wait_ready()
            elif word == "lost":
                wait_until(lambda: count_machines() < len(self.fleet.workers))
        self.iteration += 1

    def _on_step(self):
        return True


def main(address, invite, result, *stops):
    config = make_config()
    with closing(RaySession(address, invite=invite)):
        limits = Limits(task_floor_s=60.0)  # a worker that is cut off is not replaced: its tasks are done by the other one
        with closing(Fleet(config, config.num_envs // SHARDS, 2, limits=limits)) as fleet:
            fleet.wait_ready()
            callback = Steps(fleet, [*map(int, stops), ITERATIONS])
            model = learn(config, SHARDS, iterations=ITERATIONS, collector=fleet, callback=callback)
            show(fleet)
    Path(result).write_bytes(pickle.dumps(describe(model)))
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
