"""Read hyperparameter files of rl-baselines3-zoo, without evaluating anything in them.

The zoo writes Python expressions into strings, such as ``"dict(net_arch=[64, 64], activation_fn=nn.ReLU)"``. They follow
the grammar of ``settings.values``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.env_id import drop_module
from gym_gazebo2.algos.settings.files import read_mapping
from gym_gazebo2.algos.settings.values import parse_text
from gym_gazebo2.checks import read_number
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["read_zoo"]

WRAP = "Register an id of your own whose environment is wrapped so, and remove the line."
REFUSED = {
    "env_wrapper": WRAP,
    "vec_env_wrapper": WRAP,
    "frame_stack": WRAP,
    "callback": "Remove the line. Evaluations, checkpoints and stopping rules are options of gym-gazebo2 train.",
}
"""Key that names Python code to call, or wrappers around the environment → what to do instead."""
ADVICE = "Give --zoo a hyperparameter file of rl-baselines3-zoo."


def read_zoo(path: str | os.PathLike[str], env_id: str) -> dict[str, Any]:
    """Return the settings of an environment id, or those of the file's entry ``default``.

    Args:
        path: A YAML file with one entry per environment.
        env_id: Environment id.

    Returns:
        Fields of a ``Preset``: steps, num_envs, normalize, normalize_reward and hyperparameters.

    Raises:
        RunError: The file is missing, or is no YAML mapping.
        UnknownNameError: There is no entry for the id.
        InvalidArgumentError: The entry is no mapping, or a value in it is invalid.
        MissingDependencyError: PyYAML is not installed.
    """
    entries = read_mapping(Path(path), ADVICE)
    name = drop_module(env_id) if drop_module(env_id) in entries else "default"
    if name not in entries:
        raise UnknownNameError(f"entry of {path} for the environment", env_id, map(str, entries))
    if not isinstance(entries[name], dict):
        raise InvalidArgumentError(f"entry {name} of {path}", entries[name], "a mapping of hyperparameters")
    values = parse_text(entries[name])
    for key, remedy in REFUSED.items():
        if values.pop(key, None):  # the zoo's files also write null
            sentence = f"Entry {name} of {path} has {key}, which is not supported. {remedy}"
            raise InvalidArgumentError(key, entries[name][key], sentence=sentence)
    steps = _read_count("n_timesteps", values.pop("n_timesteps", 1_000_000))
    num_envs = _read_count("n_envs", values.pop("n_envs", 1))
    switches = _read_normalize(values.pop("normalize", False))
    return {"steps": steps, "num_envs": num_envs, **switches, "hyperparameters": _modernize(values)}


def _modernize(values: dict[str, Any]) -> dict[str, Any]:
    """Replace the older form of separate networks, a list that holds one dictionary, by that dictionary."""
    match values:
        case {"policy_kwargs": {"net_arch": [dict() as networks]} as policy_kwargs}:
            return {**values, "policy_kwargs": {**policy_kwargs, "net_arch": networks}}
    return values


def _read_count(name: str, value: Any) -> int:
    # The zoo writes counts as floats, such as 1e6.
    return int(read_number(name, value, "a whole number of at least 1", lambda x: x >= 1 and x.is_integer()))


def _read_normalize(value: Any) -> dict[str, bool]:
    switches = {"norm_obs": value, "norm_reward": value} if isinstance(value, bool) else value
    if not isinstance(switches, Mapping) or not set(switches) <= {"norm_obs", "norm_reward"}:
        raise InvalidArgumentError("normalize", value, "true, false, or a dictionary of norm_obs and norm_reward")
    return {"normalize": switches.get("norm_obs", True), "normalize_reward": switches.get("norm_reward", True)}
