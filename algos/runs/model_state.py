"""Everything that an algorithm remembers between two iterations, as tensors, arrays and numbers.

Three functions read it and three put it back, for every row of the table: networks and optimisers by the names that the
algorithm itself gives to stable-baselines3's ``save``, the observation that it would act on, its replay buffer, the state of
a recurrent policy and of action noise, and counters.
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
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.noise import VectorizedActionNoise
from stable_baselines3.common.save_util import recursive_getattr, recursive_setattr

from gym_gazebo2.algos.noise import OrnsteinUhlenbeckNoise
from gym_gazebo2.errors import UnsupportedError

__all__ = ["begin_anew", "get_arrays", "get_counters", "get_tensors", "set_arrays", "set_counters", "set_tensors"]

Arrays = dict[str, NDArray[Any]]

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


def get_tensors(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the networks' and optimisers' states, and single tensors, by attribute."""
    states, variables = model._get_torch_save_params()
    tensors = {name: recursive_getattr(model, name).state_dict() for name in states}
    return tensors | {name: recursive_getattr(model, name) for name in variables}


def set_tensors(model: BaseAlgorithm, tensors: Mapping[str, Any]) -> None:
    """Put back what ``get_tensors`` returned.

    Raises:
        KeyError: Something is missing.
        ValueError: An optimiser is another one.
        RuntimeError: A network has another shape.
    """
    states, variables = model._get_torch_save_params()
    for name in states:
        recursive_getattr(model, name).load_state_dict(tensors[name])
    for name in variables:
        recursive_setattr(model, f"{name}.data", tensors[name].data)


def get_arrays(model: BaseAlgorithm) -> Arrays:
    """Return observations, episode starts, recurrent states, noise and the filled part of the replay buffer.

    Raises:
        UnsupportedError: The replay buffer keeps the infos of the steps, which are no arrays.
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
    """Put back what ``get_arrays`` returned."""
    model._last_episode_starts = arrays["last_starts"]
    for name in OBSERVATIONS:
        rows = _strip(arrays, f"{name}.")
        if rows:
            setattr(model, name, rows.get("", rows))
    for i, tensor in enumerate(_list_recurrent(model)):
        tensor.copy_(torch.from_numpy(arrays[f"lstm.{i}"]))
    for i, noise in enumerate(_list_noises(model)):
        noise.restore(arrays[f"noise.{i}"])
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        _set_replay(buffer, _strip(arrays, "replay."))


def begin_anew(model: BaseAlgorithm) -> None:
    """Let the next ``learn`` start new episodes; hindsight takes those that were cut off as they are."""
    model._last_obs = None
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
    """Put back what ``get_counters`` returned."""
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
    """Return the action noises that remember, one an environment; `learn` would make them so."""
    noise = getattr(model, "action_noise", None)
    if noise is not None and model.n_envs > 1 and not isinstance(noise, VectorizedActionNoise):
        noise = model.action_noise = VectorizedActionNoise(noise, model.n_envs)
    return [one for one in getattr(noise, "noises", [noise]) if isinstance(one, OrnsteinUhlenbeckNoise)]


def _iterate_replay(buffer: ReplayBuffer) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield every array of a replay buffer by name; what is a dictionary there has names with a point."""
    for name, value in vars(buffer).items():
        rows = value.items() if isinstance(value, dict) else [("", value)]
        for key, array in rows:
            if isinstance(array, np.ndarray) and array.dtype != object:
                yield f"{name}.{key}", array


def _get_replay(buffer: ReplayBuffer) -> Arrays:
    if getattr(buffer, "copy_info_dict", False):
        raise UnsupportedError("A replay buffer with copy_info_dict cannot be saved. Leave copy_info_dict out.")
    filled = buffer.size()
    arrays = {name: a[:filled] if len(a) == buffer.buffer_size else a for name, a in _iterate_replay(buffer)}
    return arrays | {"position": np.array([buffer.pos, buffer.full])}


def _set_replay(buffer: ReplayBuffer, arrays: Mapping[str, NDArray[Any]]) -> None:
    position, is_full = arrays["position"].tolist()
    buffer.pos, buffer.full = int(position), bool(is_full)
    for name, array in _iterate_replay(buffer):
        array[: len(arrays[name])] = arrays[name]


def _strip(arrays: Mapping[str, NDArray[Any]], prefix: str) -> Arrays:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
