"""The state of an algorithm between two iterations, as tensors, arrays and numbers.

Three functions read it and three put it back, for every algorithm of the table. The state is: networks and optimisers, under
the names that stable-baselines3's ``save`` uses; the last observation; the replay buffer; the states of a recurrent policy and
of action noise; and counters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.noise import VectorizedActionNoise
from stable_baselines3.common.save_util import recursive_getattr, recursive_setattr

from gym_gazebo2.algos.noise import OrnsteinUhlenbeckNoise
from gym_gazebo2.errors import UnsupportedError

__all__ = [
    "Arrays",
    "get_arrays",
    "get_counters",
    "get_tensors",
    "iterate_arrays",
    "select",
    "set_arrays",
    "set_counters",
    "set_tensors",
    "start_new_episodes",
]

Arrays = dict[str, NDArray[Any]]
"""Arrays by name. A prefix with a point groups them, such as "replay."."""

COUNTERS = (
    "num_timesteps",
    "_n_updates",
    "_current_progress_remaining",
    "_episode_num",
    "_n_calls",
    "exploration_rate",
)
"""Attributes of stable-baselines3's algorithms that are numbers and change in training; each algorithm has some of them.

Our own algorithms declare theirs, as ``adaptive_numbers`` (``natural.guarded``).
"""

OBSERVATIONS = ("_last_obs", "_last_original_obs")
"""Attributes of an algorithm that hold the last observation, an array or a dictionary of arrays."""


def get_tensors(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the states of networks and optimisers, and single tensors, by the name of the attribute."""
    states, variables = model._get_torch_save_params()
    tensors = {name: recursive_getattr(model, name).state_dict() for name in states}
    return tensors | {name: recursive_getattr(model, name) for name in variables}


def set_tensors(model: BaseAlgorithm, tensors: Mapping[str, Any]) -> None:
    """Set the result of ``get_tensors``.

    Raises:
        KeyError: A network, an optimiser or a tensor is missing.
        ValueError: The state is of an optimiser with other parameters.
        RuntimeError: The state is of a network with other shapes.
    """
    states, variables = model._get_torch_save_params()
    for name in states:
        recursive_getattr(model, name).load_state_dict(tensors[name])
    for name in variables:
        # In place: the optimiser of such a variable (SAC's entropy coefficient) holds a reference to this tensor.
        recursive_setattr(model, f"{name}.data", tensors[name].data)


def get_arrays(model: BaseAlgorithm) -> Arrays:
    """Return observations, episode starts, recurrent states, noise and the filled part of the replay buffer.

    Raises:
        UnsupportedError: The replay buffer keeps the infos of the steps, which are not arrays.
    """
    arrays: Arrays = {"last_starts": model._last_episode_starts}
    for name in OBSERVATIONS:
        value = getattr(model, name, None)
        if value is not None:
            rows = value if isinstance(value, dict) else {"": value}
            arrays |= {f"{name}.{key}": row for key, row in rows.items()}
    arrays |= {f"lstm.{i}": tensor.numpy() for i, tensor in enumerate(_list_recurrent(model))}
    arrays |= {f"noise.{i}": noise.noise_prev for i, noise in enumerate(_list_noises(model))}
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        arrays |= {f"replay.{name}": value for name, value in _get_replay(buffer).items()}
    return arrays


def set_arrays(model: BaseAlgorithm, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Set the result of ``get_arrays``."""
    model._last_episode_starts = arrays["last_starts"]
    for name in OBSERVATIONS:
        rows = select(arrays, f"{name}.")
        if rows:
            setattr(model, name, rows.get("", rows))  # "" is the name of an observation that is one array
    for i, tensor in enumerate(_list_recurrent(model)):
        tensor.copy_(torch.from_numpy(arrays[f"lstm.{i}"]))
    for i, noise in enumerate(_list_noises(model)):
        noise.restore(arrays[f"noise.{i}"])
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        _set_replay(buffer, select(arrays, "replay."))


def start_new_episodes(model: BaseAlgorithm) -> None:
    """Let the next ``learn`` start new episodes. A buffer for hindsight keeps the episodes that were cut off as they are."""
    model._last_obs = None  # stable-baselines3 resets the environments if there is no last observation
    buffer = getattr(model, "replay_buffer", None)
    if isinstance(buffer, HerReplayBuffer):
        buffer.truncate_last_trajectory()


def get_counters(model: BaseAlgorithm) -> dict[str, Any]:
    """Return counters, the statistics behind the log, and the generator of random first actions, as JSON values."""
    counters = {name: getattr(model, name) for name in _list_counters(model)}
    return {
        **counters,
        "ep_infos": list(model.ep_info_buffer),
        "ep_successes": [bool(value) for value in model.ep_success_buffer],
        "log": {key: float(value) for key, value in model.logger.name_to_value.items()},
        "action_random": model.action_space.np_random.bit_generator.state,
    }


def set_counters(model: BaseAlgorithm, counters: Mapping[str, Any]) -> None:
    """Set the result of ``get_counters``."""
    for name in _list_counters(model):
        setattr(model, name, counters[name])
    window = model._stats_window_size
    model.ep_info_buffer, model.ep_success_buffer = deque(counters["ep_infos"], window), deque(counters["ep_successes"], window)
    model.logger.name_to_value.update(counters["log"])
    model.action_space.np_random.bit_generator.state = counters["action_random"]


def _list_counters(model: BaseAlgorithm) -> list[str]:
    return [name for name in COUNTERS if hasattr(model, name)] + [*getattr(model, "adaptive_numbers", ())]


def _list_recurrent(model: BaseAlgorithm) -> list[torch.Tensor]:
    states = getattr(model, "_last_lstm_states", None)
    return [] if states is None else [*states.pi, *states.vf]


def _list_noises(model: BaseAlgorithm) -> list[OrnsteinUhlenbeckNoise]:
    """Return the action noises with a state, one per environment.

    ``learn`` copies a single noise for several environments. Here this happens before, so that the copies' states can be set.
    """
    noise = getattr(model, "action_noise", None)
    if noise is not None and model.n_envs > 1 and not isinstance(noise, VectorizedActionNoise):
        noise = model.action_noise = VectorizedActionNoise(noise, model.n_envs)
    return [one for one in getattr(noise, "noises", [noise]) if isinstance(one, OrnsteinUhlenbeckNoise)]


def iterate_arrays(buffer: BaseBuffer) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield every array of a buffer by name; the arrays of a dictionary are named "dictionary.key", others "name."."""
    for name, value in vars(buffer).items():
        rows = value.items() if isinstance(value, dict) else [("", value)]
        for key, array in rows:
            if isinstance(array, np.ndarray) and array.dtype != object:
                yield f"{name}.{key}", array


def _get_replay(buffer: ReplayBuffer) -> Arrays:
    if getattr(buffer, "copy_info_dict", False):
        raise UnsupportedError("A replay buffer with copy_info_dict=True cannot be saved. Train without copy_info_dict.")
    filled = buffer.size()  # only the filled rows are saved: a buffer for a million steps is mostly empty at first
    arrays = {name: a[:filled] if len(a) == buffer.buffer_size else a for name, a in iterate_arrays(buffer)}
    return arrays | {"position": np.array([buffer.pos, buffer.full])}


def _set_replay(buffer: ReplayBuffer, arrays: Mapping[str, NDArray[Any]]) -> None:
    position, is_full = arrays["position"].tolist()
    buffer.pos, buffer.full = int(position), bool(is_full)
    for name, array in iterate_arrays(buffer):
        array[: len(arrays[name])] = arrays[name]


def select(arrays: Mapping[str, NDArray[Any]], prefix: str) -> Arrays:
    """Return the arrays whose names start with a prefix, named without it."""
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
