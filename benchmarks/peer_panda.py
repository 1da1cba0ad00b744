"""Print the control steps per CPU-second of panda-gym's PandaReach-v3, as JSON. Runs in the peers' environment."""

import json
import sys
import time

import gymnasium as gym
import panda_gym  # noqa: F401


def main() -> None:
    """Step with random actions for the number of CPU-seconds in the first argument."""
    env = gym.make("PandaReach-v3")
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(100)]
    end, start, steps = float(sys.argv[1]), time.process_time(), 0
    while time.process_time() - start < end:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        steps += len(actions)
    print(json.dumps({"panda-gym PandaReach-v3": steps / (time.process_time() - start)}))


if __name__ == "__main__":
    main()
