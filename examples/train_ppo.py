"""Train MARA-v0 with PPO and measure how near the tool comes to its goal.

Run with ``python examples/train_ppo.py``; needs ``pip install 'gym_gazebo2[train]'``. Takes about a minute on a laptop;
``--steps`` makes it shorter, ``--env`` chooses another arm or task, ``--help`` shows the rest.
"""

from __future__ import annotations

import tyro

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, train


def main() -> None:
    """Train, evaluate, print."""
    run = train(tyro.cli(TrainConfig))
    result = evaluate(run.path, EvaluateConfig(runs=30))
    print(f"Run folder:    {run.path}")
    print(f"Tool error:    {result.accuracy_rms_mm:.3f} mm RMS over {result.runs} runs from perturbed starts")
    print(f"Repeatability: {result.repeatability_rms_mm:.3f} mm RMS")
    print(f"Success rate:  {result.success_rate:.0%} within 5 mm")
    print(f"Training:      {result.train_steps} steps in {result.train_wall_s:.1f} s")


if __name__ == "__main__":
    main()
