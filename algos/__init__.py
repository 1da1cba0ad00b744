"""Algorithms: runners over a table of stable-baselines3 algorithms, and evaluation.

Needs the extra ``train``: ``pip install 'gym_gazebo2[train]'``.
"""

from __future__ import annotations

from gym_gazebo2.errors import MissingDependencyError

try:
    import stable_baselines3  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(error.name or "stable_baselines3", "train") from error

from gym_gazebo2.algos.config import TrainConfig
from gym_gazebo2.algos.evaluate import EvaluateConfig, Evaluation, evaluate
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, make_eval_env
from gym_gazebo2.algos.model_env import make_model_env
from gym_gazebo2.algos.presets import Preset, register_preset
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.runs.sb3_file import save_normalization
from gym_gazebo2.algos.train import resume, train
from gym_gazebo2.algos.vec_env import BatchedVecEnv, make_vec_env

__all__ = [
    "BatchedVecEnv",
    "EvaluateConfig",
    "Evaluation",
    "ModelPolicy",
    "Preset",
    "RunFolder",
    "TrainConfig",
    "evaluate",
    "make_eval_env",
    "make_model_env",
    "make_vec_env",
    "read_model_file",
    "register_preset",
    "resume",
    "save_normalization",
    "train",
]
