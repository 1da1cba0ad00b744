"""Run a trained policy for one episode, print reward and tool error of each step, and hold the arm at its goal.

Run it with ``python examples/run_policy.py POLICY``. POLICY is

- a run folder of ``gym-gazebo2 train``, of any algorithm, or the ``model.zip`` in it; or
- a zip that ``train_ppo.py``, ``train_trpo.py`` or ``train_acktr.py`` saved. Give ``--algo`` and ``--env`` for it. Use only
  files from people you trust: stable-baselines3 unpickles them.

``--backend gazebo`` runs the policy in Gazebo.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np

from gym_gazebo2.algos import ModelPolicy, RunFolder, make_vec_env, read_model_file
from gym_gazebo2.algos.table import ALGORITHMS, get_algorithm, wrap_actions
from gym_gazebo2.errors import GymGazebo2Error


def is_bare(path: Path) -> bool:
    """Return whether a zip is stable-baselines3's own. The zip of a run also holds configuration and normalisation."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "config.json" not in archive.namelist()


def main() -> None:
    """Load the policy, run it, and print each step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("policy", type=Path)
    parser.add_argument("--algo", choices=ALGORITHMS, default="ppo", help="algorithm of an example's zip")
    parser.add_argument("--env", default="MARA-v0", help="environment id of an example's zip")
    parser.add_argument("--backend", default="mujoco")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    kwargs = {"seed": args.seed, "backend": args.backend, "start_noise": 0.1}
    path = args.policy if args.policy.is_file() else RunFolder.open(args.policy).model
    if not is_bare(path):
        file = read_model_file(path)
        model = file.build()
        env = file.wrap(make_vec_env(file.config.env, **file.config.change_kwargs(kwargs)))
    else:
        model = get_algorithm(args.algo).load_class().load(path, device="cpu")
        env = wrap_actions(args.algo, make_vec_env(args.env, **kwargs))
    policy, arm = ModelPolicy(model), env.unwrapped.env
    observation, done, step, steps_there = env.reset(), [False], 0, 0
    while not done[0]:
        action = policy(observation)
        # Two steps at its goal: an arm that only passes through is not stopped.
        holding = steps_there >= 2 and arm.core.control == "delta"
        if holding:
            action = np.zeros_like(action)  # with control "delta" an action of zeros keeps the set-point
        observation, reward, done, infos = env.step(action)
        step, info = step + 1, infos[0]
        steps_there = steps_there + 1 if info["is_success"] else 0
        state = "holding" if holding and steps_there else "there" if steps_there else ""
        print(f"step {step:3}  reward {reward[0]:8.3f}  tool error {1e3 * info['position_error']:8.2f} mm  {state}")
    env.close()


if __name__ == "__main__":
    try:
        main()
    except GymGazebo2Error as error:
        sys.exit(str(error))
