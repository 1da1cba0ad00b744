"""Whether the buffers and networks of an algorithm fit into memory, estimated before they are made."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.memory import check_memory

__all__ = ["check_model_memory"]

FLOAT32 = 4
SCALARS = 6 * FLOAT32
"""Rewards, episode starts, values, log probabilities, advantages and returns of one step [bytes]."""
COPIES = 8
"""Copies of each weight: actor and critic, and for each the gradient and Adam's two moments."""


def check_model_memory(cls: type[BaseAlgorithm], env: VecEnv, keywords: Mapping[str, Any]) -> None:
    """Raise an error if the buffer or the networks of an algorithm do not fit into memory.

    Args:
        cls: The algorithm's class.
        env: The environments.
        keywords: Keywords of its constructor.

    Raises:
        InvalidArgumentError: A buffer ("n_steps" or "buffer_size") or the networks ("policy_kwargs") are too large.
    """
    observation, action = _count_bytes(env.observation_space), _count_bytes(env.action_space)
    if issubclass(cls, OffPolicyAlgorithm):
        transition = 2 * observation + action + 2 * FLOAT32  # the next observation is stored, too; reward and end
        check_memory("buffer_size", _get(cls, keywords, "buffer_size"), transition, "the replay buffer")
    else:
        step = env.num_envs * (observation + action + SCALARS)
        purpose = f"the rollout buffer of {env.num_envs} environments"
        check_memory("n_steps", _get(cls, keywords, "n_steps"), step, purpose)
        labels = _get(cls, keywords, "buffer_size")  # 0 for algorithms that learn from a rollout alone
        check_memory("buffer_size", labels, observation + action, "the labelled observations")
    layers = (keywords.get("policy_kwargs") or {}).get("net_arch") or []
    for widths in layers.values() if isinstance(layers, dict) else [layers]:
        if _are_widths(widths):  # the policy refuses other values itself
            weights = sum(a * b for a, b in itertools.pairwise([observation // FLOAT32, *widths]))
            check_memory("num_hidden", max(widths), COPIES * FLOAT32 * weights / max(widths), "the networks")


def _are_widths(widths: Any) -> bool:
    return isinstance(widths, list | tuple) and bool(widths) and all(isinstance(width, int) and width > 0 for width in widths)


def _get(cls: type[BaseAlgorithm], keywords: Mapping[str, Any], name: str) -> int:
    """Return a keyword, or its default in the class that declares it."""
    if name in keywords:
        return int(keywords[name])
    for base in cls.__mro__:
        parameter = inspect.signature(base.__init__).parameters.get(name)  # type: ignore[misc]
        if parameter is not None and isinstance(parameter.default, int):
            return parameter.default
    return 0


def _count_bytes(space: spaces.Space[Any]) -> int:
    if isinstance(space, spaces.Dict):
        return sum(map(_count_bytes, space.values()))
    return int(np.prod(space.shape or (1,))) * int(np.dtype(space.dtype or np.float32).itemsize)
