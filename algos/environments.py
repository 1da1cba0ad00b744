"""The environments of a training, as its configuration describes them: those that it learns in, and those of evaluations."""

from __future__ import annotations

from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.evaluation.rollout import make_eval_env
from gym_gazebo2.algos.table import wrap_actions
from gym_gazebo2.algos.vec_env import ScaledRewards, make_vec_env, normalize

__all__ = ["make_evaluation_env", "make_training_env", "wrap_training_env"]


def make_training_env(config: ResolvedConfig) -> VecEnv:
    """Make the environments that the algorithm learns in."""
    env = make_vec_env(config.env, config.num_envs, vec=config.vec, seed=config.seed, **config.training_kwargs)
    return wrap_training_env(config, env)


def wrap_training_env(config: ResolvedConfig, env: VecEnv) -> VecEnv:
    """Return environments with actions that the algorithm can choose, scaled rewards, and normalisation where asked for."""
    env = wrap_actions(config.algo, env)
    if config.reward_scale != 1.0:
        env = ScaledRewards(env, config.reward_scale)
    if not config.is_normalized:
        return env
    return normalize(
        env, norm_obs=config.normalize, norm_reward=config.normalize_reward, gamma=config.hyperparameters.get("gamma", 0.99)
    )


def make_evaluation_env(config: ResolvedConfig) -> VecEnv:
    """Make the environments of evaluations. Their statistics are copied from the training's before each."""
    env = wrap_actions(config.algo, make_eval_env(config.env, config.eval_runs, **config.training_kwargs))
    return normalize(env, training=False, norm_reward=False) if config.normalize else env
