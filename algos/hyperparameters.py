"""Hyperparameters as plain values, as JSON, YAML and a command line hold them, and the objects that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise
from stable_baselines3.common.utils import LinearSchedule

from gym_gazebo2.algos.networks import parse_policy_kwargs
from gym_gazebo2.algos.noise import OrnsteinUhlenbeckNoise
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["NOISES", "REPLAY_BUFFERS", "parse_hyperparameters", "parse_schedule"]

REPLAY_BUFFERS: dict[str, Any] = {"HerReplayBuffer": HerReplayBuffer, "default": None}
"""Name of a replay buffer → class; None lets stable-baselines3 choose by the observations."""

NOISES: dict[str, type[ActionNoise]] = {"normal": NormalActionNoise, "ornstein-uhlenbeck": OrnsteinUhlenbeckNoise}
"""``noise_type`` → class, as in rl-baselines3-zoo; ``noise_std`` is its deviation in units of the action's range."""


def parse_hyperparameters(values: Mapping[str, Any], num_actions: int, activation: str) -> dict[str, Any]:
    """Return keywords of an algorithm from plain values.

    Args:
        values: "lin_x" is a schedule from x to 0; ``replay_buffer_class`` is a row of ``REPLAY_BUFFERS``, ``noise_type``
            one of ``NOISES``; ``policy_kwargs`` as in ``networks.parse_policy_kwargs``; ``train_freq`` may be a list.
        num_actions: Numbers in an action.
        activation: The activation that the algorithm's policy has by itself.

    Raises:
        UnknownNameError: A name stands in no table.
        InvalidArgumentError: A schedule or a network cannot be read.
    """
    keywords = {name: parse_schedule(name, value) for name, value in values.items()}
    if "replay_buffer_class" in keywords:
        keywords["replay_buffer_class"] = _look_up("replay buffer", keywords["replay_buffer_class"], REPLAY_BUFFERS)
    if "noise_type" in keywords:
        noise, std = _look_up("noise", keywords.pop("noise_type"), NOISES), float(keywords.pop("noise_std", 0.1))
        keywords["action_noise"] = noise(np.zeros(num_actions), np.full(num_actions, std))
    if isinstance(keywords.get("train_freq"), list):
        keywords["train_freq"] = tuple(keywords["train_freq"])
    if "policy_kwargs" in keywords:
        keywords["policy_kwargs"] = parse_policy_kwargs(keywords["policy_kwargs"], activation)
    return keywords


def parse_schedule(name: str, value: Any) -> Any:
    """Return the schedule that "lin_x" stands for, from x to 0 over the training; anything else as it is.

    Raises:
        InvalidArgumentError: What follows "lin_" is no number.
    """
    if not (isinstance(value, str) and value.startswith("lin_")):
        return value
    try:
        return LinearSchedule(float(value.removeprefix("lin_")), 0.0, 1.0)
    except ValueError as error:
        raise InvalidArgumentError(name, value, "a number, or 'lin_' and a number") from error


def _look_up(kind: str, name: Any, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]
