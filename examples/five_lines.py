"""An arm, a goal, an episode: the environment by itself, without any learning library."""

from __future__ import annotations

import gymnasium as gym

import gym_gazebo2  # noqa: F401  (registers the ids)


def main() -> None:
    """Move MARA for one episode with random actions and print how far the tool stays from its goal."""
    env = gym.make("MARA-v0", start_noise=0.1)
    _, info = env.reset(seed=0)
    truncated = False
    while not truncated:
        _, reward, _, truncated, info = env.step(env.action_space.sample())
    print(f"after {info['time']:.2f} s the tool is {1e3 * info['position_error']:.1f} mm from its goal, reward {reward:.3f}")
    env.close()


if __name__ == "__main__":
    main()
