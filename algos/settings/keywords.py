"""Keywords of an algorithm's constructor, from the plain values that JSON, YAML and a command line hold."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise

from gym_gazebo2.algos.networks import parse_policy_kwargs
from gym_gazebo2.algos.noise import OrnsteinUhlenbeckNoise
from gym_gazebo2.algos.settings.hyperparameters import SCHEDULES, parse_hyperparameters
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["NOISES", "REPLAY_BUFFERS", "list_keywords", "make_keywords", "parse_assignments"]

REPLAY_BUFFERS: dict[str, Any] = {"HerReplayBuffer": HerReplayBuffer, "default": None}
"""Name of a replay buffer → class; None lets stable-baselines3 choose by the observations."""

RUNNER_S = ("self", "policy", "env", "seed", "device", "verbose", "tensorboard_log", "_init_setup_model")
"""Arguments of a constructor that the runner gives, or has no use for."""
NOISE_KEYS = ("noise_type", "noise_std")

NOISES: dict[str, type[ActionNoise]] = {"normal": NormalActionNoise, "ornstein-uhlenbeck": OrnsteinUhlenbeckNoise}
"""``noise_type`` → class, as in rl-baselines3-zoo; ``noise_std`` is its deviation in units of the action's range."""


def make_keywords(
    values: Mapping[str, Any],
    num_actions: int,
    activation: str,
    schedules: Collection[str] = SCHEDULES,
    automatic: Collection[str] = (),
) -> dict[str, Any]:
    """Return keywords of an algorithm from plain values.

    Args:
        values: As for ``parse_hyperparameters``; ``replay_buffer_class`` is a row of ``REPLAY_BUFFERS``, ``noise_type``
            one of ``NOISES``; ``policy_kwargs`` as in ``networks.parse_policy_kwargs``; ``train_freq`` may be a list.
        num_actions: Numbers in an action.
        activation: The activation that the algorithm's policy has by itself.
        schedules: Keywords that may be schedules.
        automatic: Keywords that may be "auto".

    Raises:
        UnknownNameError: A name stands in no table.
        InvalidArgumentError: A value cannot be read.
    """
    keywords = parse_hyperparameters(values, schedules, automatic)
    if "replay_buffer_class" in keywords:
        keywords["replay_buffer_class"] = _look_up("replay buffer", keywords["replay_buffer_class"], REPLAY_BUFFERS)
    if "noise_type" in keywords:
        noise, std = _look_up("noise", keywords.pop("noise_type"), NOISES), keywords.pop("noise_std", 0.1)
        keywords["action_noise"] = noise(np.zeros(num_actions), np.full(num_actions, std))
    if isinstance(keywords.get("train_freq"), list):
        keywords["train_freq"] = tuple(keywords["train_freq"])
    if "policy_kwargs" in keywords:
        keywords["policy_kwargs"] = parse_policy_kwargs(keywords["policy_kwargs"], activation)
    return keywords


def parse_assignments(words: Iterable[str]) -> dict[str, Any]:
    """Return hyperparameters from "key=value" words, as a command line has them.

    Args:
        words: Each a key, with points between the parts of a nested one, and a JSON value; what is no JSON is text, such as
            "lin_3e-4". A dash in a key is an underscore.

    Raises:
        InvalidArgumentError: A word has no key or no value, or its key is a part of one that has a value.
    """
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        *path, last = key.replace("-", "_").split(".")
        if not (equals and text and last and all(path)):
            raise InvalidArgumentError("hyperparameter", word, "KEY=VALUE, such as learning_rate=3e-4")
        inner = values
        for part in path:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise InvalidArgumentError("hyperparameter", word, f"no part of {part}, which is {inner!r} already")
        inner[last] = _parse_text(text)
    return values


def _parse_text(text: str) -> Any:
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except json.JSONDecodeError:
        return text


def _look_up(kind: str, name: Any, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]


def list_keywords(cls: type) -> Iterator[str]:
    """Yield the keywords of a class's constructor, and of its bases' where it passes any on."""
    for one in cls.__mro__:
        own = vars(one).get("__init__")
        parameters = [] if own is None else inspect.signature(own).parameters.values()
        yield from (p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in RUNNER_S)
        if parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return
