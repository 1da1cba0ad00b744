"""The learner's proxy of the environments that workers step: it has their spaces and their state."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.distributed.places import WorkerStatus
from gym_gazebo2.algos.distributed.shards import Collector, CollectTask, EnvState, Fragment, ResetTask, Weights
from gym_gazebo2.algos.vec_env import make_vec_env
from gym_gazebo2.errors import UnsupportedError, UsageError

__all__ = ["ShardedVecEnv", "find_spaces", "join_rows"]


def find_spaces(config: ResolvedConfig) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """Return the observation and action spaces of one environment. No simulator is started for it."""
    kwargs = config.training_kwargs if config.backend is None else config.change_kwargs({"backend": "fake"})
    with contextlib.closing(make_vec_env(config.env, 1, vec="dummy", **kwargs)) as env:
        return env.observation_space, env.action_space


class ShardedVecEnv(VecEnv):
    """A proxy of all arms of a training. This process holds their state, and workers step them.

    A saved state has rows for all arms, as that of the plain environments: a checkpoint can be resumed with another number of
    shards, or without any.

    Attributes:
        shard_size: Arms of a shard.
        collector: Where the shards' tasks are performed.
    """

    def __init__(
        self, collector: Collector, num_envs: int, num_shards: int, spaces: tuple[spaces.Space[Any], spaces.Space[Any]]
    ) -> None:
        """Make the proxy. The environments start with the first reset.

        Args:
            collector: Where the shards' tasks are performed; closed with this.
            num_envs: All arms.
            num_shards: Shards, a divisor of ``num_envs``.
            spaces: Observation and action space of one environment.
        """
        self.render_mode = None
        super().__init__(num_envs, *spaces)
        self.collector, self.shard_size = collector, num_envs // num_shards
        self._states: list[EnvState | None] = [None] * num_shards

    @property
    def starts(self) -> list[int]:
        """Index of the first arm of each shard."""
        return list(range(0, self.num_envs, self.shard_size))

    @property
    def workers(self) -> list[WorkerStatus]:
        """The state of each worker; empty where the shards are in this process."""
        return self.collector.workers

    def reset(self) -> VecEnvObs:
        """Start an episode of every arm, seeded where ``seed`` was called before."""
        states = enumerate(zip(self.starts, self._states, strict=True))
        tasks = [ResetTask(shard, first, self._seeds[first], state) for shard, (first, state) in states]
        results = self.collector.perform(tasks, {})
        self._reset_seeds()
        self._states = [result.state for result in results]
        return join_rows([result.observation for result in results])

    def require_state(self, shard: int) -> EnvState:
        """Return the state of a shard's environments.

        Raises:
            UsageError: There was no reset yet.
        """
        state = self._states[shard]
        if state is None:
            raise UsageError("A rollout was asked for before reset(). Call reset() first.")
        return state

    def collect(self, tasks: Sequence[CollectTask], weights: Weights) -> list[Fragment]:
        """Return a fragment of each shard."""
        return self.collector.perform(tasks, weights)

    def keep_states(self, fragments: Sequence[Fragment]) -> None:
        """Take the states after an iteration as those of the environments."""
        self._states = [fragment.state for fragment in fragments]

    def get_state(self) -> tuple[dict[str, NDArray[Any]], list[Any]]:
        """Return arrays by name, with a row for each arm, and the state of each arm's generator.

        Raises:
            UnsupportedError: The environments' state cannot be saved.
        """
        states = [state for state in self._states if state is not None and state.arrays is not None]
        if len(states) < len(self._states):
            raise UnsupportedError("The state of these environments cannot be saved.")
        arrays = join_rows([state.arrays for state in states])
        return arrays, [generator for state in states for generator in state.generators]

    def set_state(self, arrays: Mapping[str, NDArray[Any]], generators: Sequence[Any]) -> None:
        """Continue from the result of ``get_state``, with or without workers. Names without rows are ignored."""
        rows = {name: array for name, array in arrays.items() if np.ndim(array) and len(array) == self.num_envs}
        parts = [slice(first, first + self.shard_size) for first in self.starts]
        self._states = [EnvState({k: v[part] for k, v in rows.items()}, list(generators[part]), "") for part in parts]

    def close(self) -> None:
        """End the workers; closing twice is fine."""
        self.collector.close()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Refuse: workers step the environments.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError("Workers step these environments. Collect whole rollouts instead.")

    def step_wait(self) -> VecEnvStepReturn:
        """Refuse, as ``step_async``.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError("Workers step these environments. Collect whole rollouts instead.")

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of this object, once per arm asked for."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the environments are on workers.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(f"Cannot set {attr_name} of environments on workers.")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Refuse: the environments are on workers.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(f"Cannot call {method_name} of environments on workers.")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Return False for each environment: the environments, and so their wrappers, are not in this process."""
        return [False for _ in self._get_indices(indices)]


def join_rows(parts: Sequence[Any]) -> Any:
    """Join arrays, or dictionaries of arrays, along their rows."""
    if isinstance(parts[0], dict):
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)
