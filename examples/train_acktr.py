"""Train an arm with ACKTR of this package, without this package's training loop.

Run it with ``python examples/train_acktr.py``. It needs the extra ``train``. Then run the policy:
``python examples/run_policy.py acktr_arm.zip --algo acktr``. Batched environments and a run folder are faster and more
convenient: ``gym-gazebo2 train --algo acktr``.
"""

from __future__ import annotations

import argparse

import gymnasium as gym
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import gym_gazebo2  # noqa: F401  (registers the ids, also where the package is not installed)
from gym_gazebo2.algos.acktr import ACKTR


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", default="MARA-v0")
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--out", default="acktr_arm.zip")
    args = parser.parse_args()

    env = DummyVecEnv([lambda: Monitor(gym.make(args.env, start_noise=0.1)) for _ in range(8)])
    # The reward rises with every step towards the goal, so a short horizon is enough, and learns faster.
    horizon = {"gamma": 0.95, "gae_lambda": 0.9}
    model = ACKTR(
        "MlpPolicy",
        env,
        n_steps=100,
        batch_size=100,
        target_kl=0.12,
        damping=0.1,
        critic="adam",
        policy_kwargs={"log_std_init": -0.5},
        seed=0,
        verbose=1,
        **horizon,
    )
    model.learn(args.steps)
    model.save(args.out)
    env.close()


if __name__ == "__main__":
    main()
