"""Keywords of algorithms, read before anything is made: stable-baselines3 accepts some that fail, or do nothing, much later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from stable_baselines3.common.utils import LinearSchedule

from gym_gazebo2.checks import read_number, read_whole
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["SCHEDULES", "parse_hyperparameters"]

SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")
"""Keywords that may be schedules in stable-baselines3's algorithms."""


def parse_hyperparameters(
    hyperparameters: Mapping[str, Any], schedules: Collection[str] = SCHEDULES, automatic: Collection[str] = ()
) -> dict[str, Any]:
    """Return the keywords for the algorithm's constructor; "lin_x" becomes a schedule from x to 0, as in rl-baselines3-zoo.

    Args:
        hyperparameters: Plain values.
        schedules: Keywords that may be schedules.
        automatic: Keywords that may be "auto", or "auto_" and a start: what the algorithm learns by itself.

    Raises:
        InvalidArgumentError: A value that no algorithm can work with.
    """
    return {
        name: value if name in automatic and _is_automatic(value) else _parse(name, value, schedules)
        for name, value in hyperparameters.items()
    }


def _parse(name: str, value: Any, schedules: Collection[str]) -> Any:
    if isinstance(value, str) and value.startswith("lin_"):
        if name not in schedules:
            raise InvalidArgumentError(name, value, f"no schedule; only {', '.join(schedules)} may be one")
        return LinearSchedule(_check(name, _parse_start(name, value)), 0.0, 1.0)
    return value if callable(value) or (value is None and name in OPTIONAL) else _check(name, value)


def _parse_start(name: str, value: str) -> float:
    expected = "a number, or 'lin_' and a number"
    try:
        return read_number(name, float(value.removeprefix("lin_")), expected)
    except ValueError as error:
        raise InvalidArgumentError(name, value, expected) from error


def _check(name: str, value: Any) -> Any:
    return RULES[name](name, value) if name in RULES else value


def _read_positive(name: str, value: Any) -> float:
    return read_number(name, value, "a positive number", lambda x: x > 0)


def _read_share(name: str, value: Any) -> float:
    return read_number(name, value, "a number from 0 to 1", lambda x: 0 <= x <= 1)


def _read_coefficient(name: str, value: Any) -> float:
    return read_number(name, value, "a number of at least 0", lambda x: x >= 0)


def _is_automatic(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("auto")


COUNTS = (
    "n_steps",
    "n_epochs",
    "batch_size",
    "buffer_size",
    "stats_window_size",
    "n_critic_updates",
    "policy_delay",
    "target_update_interval",
    "cg_max_steps",
    "line_search_max_iter",
    "sub_sampling_factor",
)
POSITIVES = ("learning_rate", "clip_range", "clip_range_vf", "max_grad_norm", "target_kl")
SHARES = ("gamma", "gae_lambda", "tau")
COEFFICIENTS = ("vf_coef", "ent_coef", "noise_std")
RULES: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(COUNTS, read_whole),
    **dict.fromkeys(POSITIVES, _read_positive),
    **dict.fromkeys(SHARES, _read_share),
    **dict.fromkeys(COEFFICIENTS, _read_coefficient),
    "learning_starts": lambda name, value: read_whole(name, value, least=0),
}
"""Keyword → what makes a plain value of it, or refuses it; keywords that are not here go to the algorithm as they are."""
OPTIONAL = ("clip_range_vf", "target_kl")
"""Keywords for which None means: not at all."""
