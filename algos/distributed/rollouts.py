"""The learner's side of a rollout: tasks from the algorithm's state, and the rollout buffer from the fragments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.distributed.env import ShardedVecEnv
from gym_gazebo2.algos.distributed.moments import get_moments, merge_moments
from gym_gazebo2.algos.distributed.shards import CollectTask, Fragment, get_rollout
from gym_gazebo2.algos.runs.model_state import get_arrays, set_arrays

__all__ = ["distribute"]


def distribute(cls: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """Return an on-policy algorithm whose rollouts are collected in shards. Name and learning are the same."""
    return type(cls.__name__, (ShardedRollouts, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})


class ShardedRollouts(OnPolicyAlgorithm):
    """Fills the rollout buffer of an on-policy algorithm from fragments. The environment is a ``ShardedVecEnv``."""

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Collect a rollout from the shards, and call the callback for each step as stable-baselines3 does.

        A callback that already knows that it will end the training has a true ``is_stopping``. stable-baselines3 asks it after
        the first step, so only one step is collected: the statistics of ``VecNormalize`` then are those of plain training.

        Args:
            env: The ``ShardedVecEnv``, in its wrappers.
            callback: Called for each step, after all steps were taken.
            rollout_buffer: Buffer to fill.
            n_rollout_steps: Steps of each environment.

        Returns:
            Whether to go on learning.
        """
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        sharded: ShardedVecEnv = env.unwrapped
        weights = {name: value.numpy() for name, value in self.policy.state_dict().items()}
        num_steps = 1 if getattr(callback, "is_stopping", False) else n_rollout_steps
        fragments = sharded.collect(list(self._make_tasks(sharded, num_steps)), weights)
        _fill(rollout_buffer, fragments)
        self._keep_states(sharded, fragments)
        if not self._replay(callback, rollout_buffer, fragments):
            return False
        callback.on_rollout_end()
        return True

    def _make_tasks(self, sharded: ShardedVecEnv, num_steps: int) -> Iterator[CollectTask]:
        """Yield the task of each shard. It holds those rows of the learner's state that belong to the shard's arms."""
        normalizer = self.get_vec_normalize_env()
        arrays, moments, torch_state = get_arrays(self), get_moments(normalizer), torch.get_rng_state().numpy()
        for shard, first in enumerate(sharded.starts):
            part = slice(first, first + sharded.shard_size)
            yield CollectTask(
                shard=shard,
                first=first,
                num_steps=num_steps,
                num_timesteps=self.num_timesteps,
                seeds=(self.seed or 0, first, self.num_timesteps),
                state=sharded.require_state(shard),
                arrays={k: v[(slice(None),) * _get_arm_axis(k) + (part,)] for k, v in arrays.items() if _is_needed(k)},
                returns=None if normalizer is None else normalizer.returns[part],
                moments=moments,
                torch_state=torch_state,
            )

    def _keep_states(self, sharded: ShardedVecEnv, fragments: Sequence[Fragment]) -> None:
        """Take over the state after the iteration, as if this process had stepped all arms."""
        first, *others = fragments
        names = [name for name in first.arrays if _is_needed(name)]
        set_arrays(self, {k: np.concatenate([f.arrays[k] for f in fragments], axis=_get_arm_axis(k)) for k in names})
        sharded.keep_states(fragments)
        torch.set_rng_state(torch.tensor(first.torch_state))  # every shard drew for all arms, so all states are equal
        if (normalizer := self.get_vec_normalize_env()) is not None:
            merge_moments(normalizer, first.moments, [other.own_moments for other in others])
            normalizer.returns = np.concatenate([fragment.returns for fragment in fragments])

    def _replay(self, callback: BaseCallback, buffer: RolloutBuffer, fragments: Sequence[Fragment]) -> bool:
        """Call the callback once per step, with what it would have seen in that step; return False where it asks to stop."""
        last: NDArray[np.bool_] = self._last_episode_starts  # type: ignore[assignment]
        num_steps = len(fragments[0].rollout["rewards."])
        infos = _spread_infos(fragments, num_steps, buffer.n_envs)
        for step in range(num_steps):
            is_last = step + 1 == num_steps
            dones = last if is_last else buffer.episode_starts[step + 1].astype(bool)
            self.num_timesteps += buffer.n_envs
            callback.update_locals(
                {
                    "self": self,
                    "env": self.env,
                    "n_steps": step,
                    "rewards": buffer.rewards[step],
                    "dones": dones,
                    "infos": infos[step],
                    "new_obs": self._last_obs if is_last else _select(buffer.observations, step + 1),
                }
            )
            if not callback.on_step():
                return False
            if dones.any():
                self._update_info_buffer(infos[step], dones)
        return True


def _fill(buffer: RolloutBuffer, fragments: Sequence[Fragment]) -> None:
    """Write the fragments side by side into a rollout buffer, with the shards' advantages, which are computed per arm."""
    for name, array in get_rollout(buffer).items():
        axis = 2 if name.startswith(("hidden_states", "cell_states")) else 1  # of the arms: (steps, layers, arms, hidden)
        parts = [fragment.rollout[name] for fragment in fragments]
        np.concatenate(parts, axis=axis, out=array[: len(parts[0])])
    num_steps = len(fragments[0].rollout["rewards."])
    # As stable-baselines3 computes them, so they have its bits.
    np.add(buffer.advantages[:num_steps], buffer.values[:num_steps], out=buffer.returns[:num_steps])
    buffer.pos, buffer.full = buffer.buffer_size, True


def _spread_infos(fragments: Sequence[Fragment], num_steps: int, num_envs: int) -> list[list[dict[str, Any]]]:
    """Return the infos of each step, one dictionary per arm; it is empty unless the arm's episode ended."""
    infos: list[list[dict[str, Any]]] = [[{} for _ in range(num_envs)] for _ in range(num_steps)]
    size = num_envs // len(fragments)
    for shard, fragment in enumerate(fragments):
        for step, arm, info in fragment.endings:
            infos[step][shard * size + arm] = info
    return infos


def _select(observations: Any, step: int) -> Any:
    return {key: rows[step] for key, rows in observations.items()} if isinstance(observations, dict) else observations[step]


def _get_arm_axis(name: str) -> int:
    """Return the axis of the arms in an array of ``get_arrays``: LSTM states are (layers, arms, hidden)."""
    return 1 if name.startswith("lstm.") else 0


def _is_needed(name: str) -> bool:
    """Return whether a rollout depends on an array: on-policy algorithms have no use for original observations."""
    return not name.startswith("_last_original_obs.")
