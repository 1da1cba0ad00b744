"""The environment that a saved model expects, for programs that load the model with stable-baselines3.

Stable-baselines3's ``load`` returns the networks alone. A policy also depends on the normalisation of its observations, on the
meaning of its actions and on the robot. ``model.zip`` holds all of them, as JSON and as an npz file, and never as a pickle.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from gym_gazebo2.algos.choices import Vectorization
from gym_gazebo2.algos.runs.model_file import ModelFile, read_model_file
from gym_gazebo2.algos.table import wrap_actions
from gym_gazebo2.algos.vec_env import BatchedVecEnv, has_batched_form, make_vec_env
from gym_gazebo2.env import ArmEnv
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["make_model_env"]


def make_model_env(
    model: str | os.PathLike[str], env: gymnasium.Env[Any, Any] | VecEnv | None = None, num_envs: int = 1
) -> VecEnv:
    """Return an environment in which a saved model acts as it did in training.

    It normalises observations with the training's final statistics, which stay as they are. Rewards are not normalised.

    Args:
        model: A ``model.zip`` or ``best_model.zip``, or a run's folder, which stands for its ``model.zip``.
        env: An environment of the caller; None makes that of the training, with all of its keywords.
        num_envs: Number of environments, if ``env`` is None.

    Raises:
        RunError: The file is missing, corrupt, or not written by gym-gazebo2.
        InvalidArgumentError: The spaces of ``env``, or the meaning of its actions, differ from those of the training.
    """
    path = Path(model)
    file = read_model_file(path / "model.zip" if path.is_dir() else path)
    if env is None:
        vec: Vectorization = "batched" if has_batched_form(file.config.env) else "dummy"
        return file.wrap(make_vec_env(file.config.env, num_envs, vec=vec, **file.config.make_kwargs))
    inner = env if isinstance(env, VecEnv) else _vectorize(env)
    _check_action(file, inner)
    _check_spaces(file, wrap_actions(file.config.algo, inner))
    return file.wrap(inner)


def _vectorize(env: gymnasium.Env[Any, Any]) -> VecEnv:
    monitored = env if isinstance(env, Monitor) else Monitor(env)
    return DummyVecEnv([lambda: monitored])


def _check_action(file: ModelFile, env: VecEnv) -> None:
    """Compare control and control period of an arm's environment with the model's: otherwise equal actions move it differently.

    Environments of other packages have neither.
    """
    inner = env.unwrapped
    if isinstance(inner, BatchedVecEnv):
        arms = inner.arms
    elif isinstance(inner, DummyVecEnv) and isinstance(inner.envs[0].unwrapped, ArmEnv):
        arms = inner.envs[0].unwrapped.core
    else:
        return
    for name, found in (("control", arms.options.control), ("control_dt", arms.control_dt)):
        expected = file.action.get(name)
        if expected is not None and found != expected:
            sentence = f"The environment has {name}={found!r}, but {file.path} was trained with {name}={expected!r}."
            raise InvalidArgumentError("env", found, sentence=f"{sentence} Make it with {name}={expected!r}, or leave out env.")


def _check_spaces(file: ModelFile, env: VecEnv) -> None:
    """Compare kinds and shapes of the spaces; bounds may differ, as they do between two tasks of one arm."""
    with contextlib.closing(file.make_idle_env()) as idle:
        for name, label in (("observation_space", "observations"), ("action_space", "actions")):
            found, expected = _describe(getattr(env, name)), _describe(getattr(idle, name))
            if found != expected:
                sentence = f"{file.path} was trained on {file.config.env} with the {label} {expected}, but env has {found}."
                raise InvalidArgumentError("env", found, sentence=f"{sentence} Leave out env, or make one with equal spaces.")


def _describe(space: spaces.Space[Any]) -> str:
    """Return the kind and the shape of a space."""
    if isinstance(space, spaces.Dict):
        return f"{{{', '.join(f'{name}: {_describe(part)}' for name, part in space.items())}}}"
    return f"{type(space).__name__}({space.n if isinstance(space, spaces.Discrete) else space.shape})"
