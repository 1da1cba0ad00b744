"""Keywords of an algorithm's constructor, from the plain values that JSON, YAML and a command line hold."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise

from gym_gazebo2.algos.networks import parse_policy_kwargs
from gym_gazebo2.algos.noise import OrnsteinUhlenbeckNoise
from gym_gazebo2.algos.settings.hyperparameters import SCHEDULES, parse_hyperparameters
from gym_gazebo2.errors import UnknownNameError

__all__ = ["NOISES", "NOISE_KEYS", "REPLAY_BUFFERS", "find_keywords", "make_keywords"]

REPLAY_BUFFERS: dict[str, Any] = {"HerReplayBuffer": HerReplayBuffer, "default": None}
"""Name of a replay buffer → class; None lets stable-baselines3 choose by the observations."""

RESERVED = ("self", "policy", "env", "seed", "device", "verbose", "tensorboard_log", "_init_setup_model")
"""Arguments of a constructor that are no hyperparameters: ``make_model`` sets them, or leaves their default."""
NOISE_KEYS = ("noise_type", "noise_std")

NOISES: dict[str, type[ActionNoise]] = {"normal": NormalActionNoise, "ornstein-uhlenbeck": OrnsteinUhlenbeckNoise}
"""``noise_type`` → class, as in rl-baselines3-zoo; ``noise_std`` is its standard deviation in units of the action's range."""


def make_keywords(
    values: Mapping[str, Any],
    num_actions: int,
    activation: str,
    schedules: Collection[str] = SCHEDULES,
    automatic: Collection[str] = (),
    switches: Collection[str] = (),
) -> dict[str, Any]:
    """Return keywords of an algorithm from plain values.

    Args:
        values: As for ``parse_hyperparameters``; ``replay_buffer_class`` is a row of ``REPLAY_BUFFERS``, ``noise_type``
            one of ``NOISES``; ``policy_kwargs`` as in ``networks.parse_policy_kwargs``; ``train_freq`` may be a list.
        num_actions: Numbers in an action.
        activation: Default activation of the algorithm's policy.
        schedules: Keywords that may be schedules.
        automatic: Keywords that may be "auto".
        switches: Keywords that are true or false.

    Raises:
        UnknownNameError: A name is in no table.
        InvalidArgumentError: A value is invalid.
    """
    keywords = parse_hyperparameters(values, schedules, automatic, switches)
    if "replay_buffer_class" in keywords:
        keywords["replay_buffer_class"] = _look_up("replay buffer", keywords["replay_buffer_class"], REPLAY_BUFFERS)
    if "noise_type" in keywords:
        noise, std = _look_up("noise", keywords.pop("noise_type"), NOISES), keywords.pop("noise_std", 0.1)
        keywords["action_noise"] = noise(np.zeros(num_actions), np.full(num_actions, std))
    if isinstance(keywords.get("train_freq"), list):  # JSON has no tuples, and stable-baselines3 accepts no lists
        keywords["train_freq"] = tuple(keywords["train_freq"])
    if "policy_kwargs" in keywords:
        keywords["policy_kwargs"] = parse_policy_kwargs(keywords["policy_kwargs"], activation)
    return keywords


def _look_up(kind: str, name: Any, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]


def find_keywords(cls: type) -> dict[str, Any]:
    """Return keyword → annotation of a class's constructor, and of its bases' as long as it has ``**kwargs``."""
    found: dict[str, Any] = {}
    for one in cls.__mro__:
        own = vars(one).get("__init__")
        if own is None:
            continue
        parameters = inspect.signature(own).parameters.values()
        named = {p.name: p.annotation for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in RESERVED}
        found = named | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found
