"""One episode of an arm with random actions: the environment alone, without a learning library.

Run it with ``python examples/five_lines.py``. It needs the extra ``mujoco``.
"""

from __future__ import annotations

import gymnasium as gym

import gym_gazebo2  # noqa: F401  (registers the ids, also where the package is not installed)


def main() -> None:
    """Move MARA for one episode with random actions, and print the distance of the tool from its goal."""
    env = gym.make("MARA-v0", start_noise=0.1)
    _, info = env.reset(seed=0)
    truncated = False
    while not truncated:
        _, reward, _, truncated, info = env.step(env.action_space.sample())
    print(f"after {info['time']:.2f} s the tool is {1e3 * info['position_error']:.1f} mm from its goal, reward {reward:.3f}")
    env.close()


if __name__ == "__main__":
    main()
