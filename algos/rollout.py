"""A path that earlier examples named; import ``ModelPolicy`` and ``make_eval_env`` from ``gym_gazebo2.algos``."""

from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, make_eval_env, run_episodes

__all__ = ["ModelPolicy", "make_eval_env", "run_episodes"]
