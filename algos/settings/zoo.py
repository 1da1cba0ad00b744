"""Reads hyperparameter files of rl-baselines3-zoo, without evaluating anything in them.

The zoo writes Python expressions into strings, such as ``"dict(net_arch=[64, 64], activation_fn=nn.ReLU)"``. Here they are
parsed, and only literals, ``dict(…)`` and the names of ``ACTIVATIONS`` and ``OPTIMIZERS`` are understood.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gym_gazebo2.algos.env_id import drop_module
from gym_gazebo2.algos.networks import ACTIVATIONS, OPTIMIZERS
from gym_gazebo2.algos.presets import Preset
from gym_gazebo2.algos.settings.files import read_mapping
from gym_gazebo2.algos.settings.keywords import list_keywords
from gym_gazebo2.algos.table import get_algorithm
from gym_gazebo2.checks import read_number
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["parse_expression", "read_zoo"]

RUNNER_KEYS = ("n_timesteps", "n_envs", "normalize", "policy", "noise_type", "noise_std")
"""Keys that are no keywords of an algorithm."""
EXPRESSIONS = ("policy_kwargs", "replay_buffer_kwargs", "rollout_buffer_kwargs", "normalize", "train_freq")
"""Keys whose strings are expressions."""
NAMES = {f"{prefix}{cls.__name__}": name for name, cls in ACTIVATIONS.items() for prefix in ("nn.", "th.nn.", "torch.nn.")}
NAMES |= {f"{prefix}{name}": name for name in OPTIMIZERS for prefix in ("", "th.optim.", "torch.optim.")}


ADVICE = "Give --zoo a hyperparameter file of rl-baselines3-zoo."


def read_zoo(path: str | os.PathLike[str], env_id: str, algo: str) -> Preset:
    """Return the settings of an environment id, or those of the file's entry ``default``.

    Args:
        path: A YAML file, an entry an environment.
        env_id: Environment id.
        algo: Row of the table of algorithms that the file is meant for.

    Raises:
        RunError: The file is missing or no such YAML.
        UnknownNameError: There is no entry for the id, or a key in it that neither the runner nor the algorithm knows.
        InvalidArgumentError: The entry is no mapping, or a value in it cannot be read.
        MissingDependencyError: PyYAML is not installed.
    """
    entries = read_mapping(Path(path), ADVICE)
    name = drop_module(env_id) if drop_module(env_id) in entries else "default"
    if name not in entries:
        raise UnknownNameError(f"entry of {path} for the environment", env_id, map(str, entries))
    if not isinstance(entries[name], dict):
        raise InvalidArgumentError(f"entry {name} of {path}", entries[name], "a mapping of hyperparameters")
    values = {key: _read_value(key, value) for key, value in entries[name].items()}
    known = {*RUNNER_KEYS, *list_keywords(get_algorithm(algo).load_class())}
    for key in values:
        if key not in known:
            raise UnknownNameError(f"hyperparameter of {algo} (entry {name} of {path})", key, known)
    steps = _read_count("n_timesteps", values.pop("n_timesteps", 1_000_000))
    num_envs = _read_count("n_envs", values.pop("n_envs", 1))
    return Preset(steps, values, num_envs, **_read_normalize(values.pop("normalize", False)))


def parse_expression(name: str, text: str) -> Any:
    """Return the plain value of an expression; activations and optimisers become their names here.

    Raises:
        InvalidArgumentError: The text is no expression, or one that holds anything else than data.
    """
    try:
        return _evaluate(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        expected = f"literals, dict(…) and names such as {', '.join(sorted(NAMES)[:4])} only ({error})"
        raise InvalidArgumentError(name, text, expected) from error


def _evaluate(node: ast.expr) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluate(node.operand)
        case ast.List() | ast.Tuple():
            return [_evaluate(item) for item in node.elts]
        case ast.Dict() if None not in node.keys:  # which stands for **
            return {_evaluate(key): _evaluate(value) for key, value in zip(node.keys, node.values, strict=True) if key}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(keyword.arg for keyword in keywords):
            return {keyword.arg: _evaluate(keyword.value) for keyword in keywords}
        case ast.Name() | ast.Attribute():
            return _look_up(ast.unparse(node))
    raise ValueError(f"{ast.unparse(node)} is not understood")


def _look_up(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"{name} is not understood")
    return NAMES[name]


def _read_value(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key in EXPRESSIONS:
        value = parse_expression(key, value)
        return _modernize(value) if key == "policy_kwargs" else value
    try:
        return float(value)  # YAML 1.1 takes 1e-3, without a point, for a string
    except ValueError:
        return value


def _modernize(policy_kwargs: Any) -> Any:
    """Return the same with the older form of separate networks, a list of one dictionary, as the dictionary."""
    if not isinstance(policy_kwargs, dict):
        raise InvalidArgumentError("policy_kwargs", policy_kwargs, "dict(…)")
    match policy_kwargs.get("net_arch"):
        case [dict() as networks]:
            return {**policy_kwargs, "net_arch": networks}
    return policy_kwargs


def _read_count(name: str, value: Any) -> int:
    return int(read_number(name, value, "a whole number of at least 1", lambda x: x >= 1 and x.is_integer()))


def _read_normalize(value: Any) -> dict[str, bool]:
    switches = {"norm_obs": value, "norm_reward": value} if isinstance(value, bool) else value
    if not isinstance(switches, Mapping) or not set(switches) <= {"norm_obs", "norm_reward"}:
        raise InvalidArgumentError("normalize", value, "true, false, or a dictionary of norm_obs and norm_reward")
    observations, rewards = switches.get("norm_obs", True), switches.get("norm_reward", True)
    if rewards and not observations:
        raise InvalidArgumentError("normalize", value, "rewards normalised together with observations")
    return {"normalize": observations, "normalize_reward": rewards}
