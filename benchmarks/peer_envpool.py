"""Print the steps per CPU-second of EnvPool's Reacher-v4 in batches of 64, as JSON. Runs in the peers' environment."""

import json
import sys
import time

import envpool
import numpy as np


def main() -> None:
    """Step with random actions for the number of CPU-seconds in the first argument."""
    num_envs = 64
    env = envpool.make_gymnasium("Reacher-v4", num_envs=num_envs, num_threads=1)
    env.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (num_envs, *env.action_space.shape))
    end, start, steps = float(sys.argv[1]), time.process_time(), 0
    while time.process_time() - start < end:
        for _ in range(20):
            env.step(actions)
        steps += 20 * num_envs
    print(json.dumps({"EnvPool Reacher-v4, batch of 64": steps / (time.process_time() - start)}))


if __name__ == "__main__":
    main()
