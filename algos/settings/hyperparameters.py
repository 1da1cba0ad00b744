"""Checks of hyperparameters, before anything is made.

Stable-baselines3 accepts some invalid values, and fails much later or ignores them. Here each value is checked once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from stable_baselines3.common.utils import LinearSchedule

from gym_gazebo2.checks import read_number, read_positive, read_whole
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["SCHEDULES", "parse_hyperparameters"]

SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")
"""Keywords that may be schedules in stable-baselines3's algorithms."""


def parse_hyperparameters(
    hyperparameters: Mapping[str, Any],
    schedules: Collection[str] = SCHEDULES,
    automatic: Collection[str] = (),
    switches: Collection[str] = (),
) -> dict[str, Any]:
    """Return checked values for an algorithm's constructor; "lin_x" becomes a schedule from x to 0, as in rl-baselines3-zoo.

    Args:
        hyperparameters: Plain values.
        schedules: Keywords that may be schedules.
        automatic: Keywords that may be "auto", or "auto_" and a first value: the algorithm learns them.
        switches: Keywords that are true or false.

    Raises:
        InvalidArgumentError: A value is invalid for every algorithm.
    """

    def parse(name: str, value: Any) -> Any:
        if name in automatic and isinstance(value, str) and value.startswith("auto"):
            return value
        if isinstance(value, str) and value.startswith("lin_"):
            return _make_schedule(name, value, schedules)
        # A schedule as a function comes only from Python code: JSON and text have none.
        if callable(value) or (value is None and name in OPTIONAL):
            return value
        if name in switches and not isinstance(value, bool):
            raise InvalidArgumentError(name, value, "true or false")
        return _check(name, value)

    return {name: parse(name, value) for name, value in hyperparameters.items()}


def _make_schedule(name: str, value: str, schedules: Collection[str]) -> LinearSchedule:
    if name not in schedules:
        allowed = f"Schedules are allowed for: {', '.join(schedules)}."
        raise InvalidArgumentError(name, value, sentence=f"{name} cannot be a schedule ({value!r}). {allowed}")
    expected = "a number, or 'lin_' and a number"
    try:
        start = read_number(name, float(value.removeprefix("lin_")), expected)
    except ValueError as error:
        raise InvalidArgumentError(name, value, expected) from error
    return LinearSchedule(_check(name, start), 0.0, 1.0)


def _check(name: str, value: Any) -> Any:
    if name.endswith("_kwargs") and not isinstance(value, Mapping):
        raise InvalidArgumentError(name, value, "a dictionary, such as dict(key=value)")
    return RULES[name](name, value) if name in RULES else value


def _read_share(name: str, value: Any) -> float:
    return read_number(name, value, "a number from 0 to 1", lambda x: 0 <= x <= 1)


def _read_coefficient(name: str, value: Any) -> float:
    return read_number(name, value, "a number of at least 0", lambda x: x >= 0)


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
SHARES = ("gamma", "gae_lambda", "tau", "handover")
COEFFICIENTS = ("vf_coef", "ent_coef", "noise_std")
RULES: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(COUNTS, read_whole),
    **dict.fromkeys(POSITIVES, read_positive),
    **dict.fromkeys(SHARES, _read_share),
    **dict.fromkeys(COEFFICIENTS, _read_coefficient),
    "learning_starts": lambda name, value: read_whole(name, value, least=0),
}
"""Keyword → function that returns its plain value, or raises. The algorithm alone checks keywords that are not here."""
OPTIONAL = ("clip_range_vf", "target_kl")
"""Keywords that None switches off."""
