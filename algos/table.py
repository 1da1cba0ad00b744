"""The table of algorithms: one row each, imported when used."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.hyperparameters import parse_hyperparameters
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["ALGORITHMS", "Algorithm", "get_algorithm", "make_model"]


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """An algorithm that the runner knows.

    Attributes:
        path: "module:class" of the stable-baselines3 algorithm.
        paper: Where it comes from.
    """

    path: str
    paper: str

    def load_class(self) -> type[BaseAlgorithm]:
        """Import the class."""
        module, name = self.path.split(":")
        return getattr(importlib.import_module(module), name)


ALGORITHMS: dict[str, Algorithm] = {
    "ppo": Algorithm("stable_baselines3:PPO", "Schulman et al. 2017, arXiv:1707.06347"),
}


def get_algorithm(name: str) -> Algorithm:
    """Return a row of the table.

    Raises:
        UnknownNameError: There is no such row.
    """
    if name not in ALGORITHMS:
        raise UnknownNameError("algorithm", name, ALGORITHMS)
    return ALGORITHMS[name]


def make_model(algo: str, env: VecEnv, hyperparameters: dict[str, Any], seed: int) -> BaseAlgorithm:
    """Make an untrained model.

    Args:
        algo: Row of ``ALGORITHMS``.
        env: The environment to learn in.
        hyperparameters: Keywords of the algorithm, see ``parse_hyperparameters``.
        seed: Seed of every random generator.

    Raises:
        UnknownNameError: There is no such algorithm.
        InvalidArgumentError: The algorithm does not take such keywords or values.
    """
    policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    keywords = parse_hyperparameters(hyperparameters)
    try:
        return get_algorithm(algo).load_class()(policy, env, seed=seed, device="cpu", **keywords)
    except (TypeError, ValueError, AssertionError, RuntimeError, ArithmeticError, AttributeError, LookupError) as error:
        raise InvalidArgumentError(f"hyperparameters of {algo}", hyperparameters, f"keywords that it takes: {error}") from error
