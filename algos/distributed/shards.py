"""A shard: arms [first, first + size) of a training, moved by a copy of the policy. Its result is a pure function of its task.

A task carries all that the result depends on: the state of the environments, statistics, the last observation and the random
state. So any worker can do any task, also twice, and nothing is lost with a worker.

Environments whose state cannot be saved (Gazebo, one process per environment) are the exception. The worker that did the last
task of the same arms goes on where it stands; any other worker starts new episodes, from a seed that the task determines.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.distributed.moments import Moments, get_moments, get_own_moments, set_moments, track_moments
from gym_gazebo2.algos.distributed.places import WorkerStatus
from gym_gazebo2.algos.distributed.rows import ArmRows
from gym_gazebo2.algos.environments import make_training_env
from gym_gazebo2.algos.finite import is_finite
from gym_gazebo2.algos.runs.checkpoint import Resumable
from gym_gazebo2.algos.runs.model_state import Arrays, get_arrays, iterate_arrays, set_arrays
from gym_gazebo2.algos.table import make_model
from gym_gazebo2.algos.vec_env import BatchedVecEnv
from gym_gazebo2.errors import NonFiniteError, UnsupportedError

__all__ = ["CollectTask", "Collector", "EnvState", "Fragment", "LocalShards", "ResetTask", "Shard", "Start", "get_rollout"]

Weights = Mapping[str, NDArray[Any]]
"""Parameter of the policy → its values."""


@dataclasses.dataclass(frozen=True)
class EnvState:
    """State of a shard's environments.

    Attributes:
        arrays: Name → array (size, …) of ``Resumable.get_state``; None if the state cannot be saved.
        generators: State of each environment's random generator.
        state_id: Identifies this state. A worker whose environments are in this state can continue with them.
    """

    arrays: Arrays | None
    generators: Sequence[Any]
    state_id: str


@dataclasses.dataclass(frozen=True)
class ResetTask:
    """Start new episodes.

    Attributes:
        shard: Number of the shard.
        first: Index of its first arm.
        seed: Seed of its first environment; None: its random generators go on.
        state: State before; None before the first reset.
        attempt: Number of times that this task was given to a worker that was lost.
    """

    shard: int
    first: int
    seed: int | None
    state: EnvState | None = None
    attempt: int = 0


@dataclasses.dataclass(frozen=True)
class Start:
    """The result of a ``ResetTask``.

    Attributes:
        observation: Batched observation (size, …), as the environments return it.
        state: State of the environments.
        seconds: Time that it took [s].
    """

    observation: Any
    state: EnvState
    seconds: float


@dataclasses.dataclass(frozen=True)
class CollectTask:
    """Collect a fragment: some steps of each arm of the shard.

    Attributes:
        shard: Number of the shard.
        first: Index of its first arm.
        num_steps: Steps of each arm.
        num_timesteps: Environment steps of the training so far, over all arms.
        seeds: Numbers from which new episodes are seeded, where the environments' state is lost.
        state: State of the environments.
        arrays: Rows of the algorithm's own state: last observation, episode starts, recurrent states.
        returns: (size,) discounted returns so far; None without ``VecNormalize``.
        moments: The running moments of ``VecNormalize``; empty without it.
        torch_state: Random state of torch, from which the actions of *all* arms are drawn.
        attempt: Number of times that this task was given to a worker that was lost.
    """

    shard: int
    first: int
    num_steps: int
    num_timesteps: int
    seeds: tuple[int, ...]
    state: EnvState
    arrays: Arrays
    returns: NDArray[np.float64] | None
    moments: Moments
    torch_state: NDArray[np.uint8]
    attempt: int = 0


@dataclasses.dataclass(frozen=True)
class Fragment:
    """The result of a ``CollectTask``: the shard's part of the rollout, and its state afterwards.

    Attributes:
        rollout: Arrays of the rollout buffer by name, advantages included. Returns are left out: they are the sum of advantages
            and values, and 4 of 148 bytes per step.
        endings: Step, arm within the shard and info of each episode that ended.
        state: State of the environments.
        arrays: As in the task.
        returns: As in the task.
        moments: All running moments.
        own_moments: Those of this fragment's samples.
        torch_state: As in the task.
        seconds: Time that it took [s].
    """

    rollout: Arrays
    endings: list[tuple[int, int, dict[str, Any]]]
    state: EnvState
    arrays: Arrays
    returns: NDArray[np.float64] | None
    moments: Moments
    own_moments: Moments
    torch_state: NDArray[np.uint8]
    seconds: float

    @property
    def num_bytes(self) -> int:
        """Size of its arrays, nearly all that travels [byte]."""
        parts = (self.rollout, self.arrays, self.state.arrays or {})
        return sum(array.nbytes for part in parts for array in part.values())


class Collector(Protocol):
    """Performs the tasks of an iteration: in this process, or on workers."""

    @property
    def workers(self) -> list[WorkerStatus]:
        """The state of each worker; empty in this process."""

    def perform(self, tasks: Sequence[Any], weights: Weights) -> list[Any]:
        """Return the results, in the order of the tasks."""

    def close(self) -> None:
        """Release everything; closing twice is fine."""


class Shard:
    """Environments and a policy that perform the tasks of any shard of this size, one at a time.

    Attributes:
        model: A copy of the algorithm, which collects and never learns.
        env: The environments, without wrappers.
    """

    def __init__(self, config: ResolvedConfig, size: int) -> None:
        """Make environments and policy.

        Args:
            config: The configuration of the whole training.
            size: Arms of a shard.
        """
        own = dataclasses.replace(config, num_envs=size)
        with warnings.catch_warnings():
            # What stable-baselines3 warns of, such as a batch larger than this rollout, concerns learning.
            warnings.filterwarnings("ignore", module="stable_baselines3|sb3_contrib")
            self.model: Any = make_model(config.algo, make_training_env(own), config.hyperparameters, config.seed)
        self.model.set_logger(Logger(None, []))
        self.model.ep_info_buffer, self.model.ep_success_buffer = deque(maxlen=1), deque(maxlen=1)
        self.env = self.model.env.unwrapped
        if isinstance(self.env, BatchedVecEnv):
            self.env.splits_infos = False
        self._rows = ArmRows(size, config.num_envs)
        self._rows.install(self.model.policy)
        self._state_id = ""

    def perform(self, task: ResetTask | CollectTask, weights: Weights) -> Start | Fragment:
        """Perform a task."""
        return self.reset(task) if isinstance(task, ResetTask) else self.collect(task, weights)

    def reset(self, task: ResetTask) -> Start:
        """Start new episodes."""
        started = time.perf_counter()
        if task.state is not None and task.state.arrays is not None:
            self._set_env_state(task.state.arrays, task.state.generators)
        if task.seed is not None:
            self.env.seed(task.seed)
        observation = self.env.reset()
        return Start(observation, self._get_env_state(), time.perf_counter() - started)

    def collect(self, task: CollectTask, weights: Weights) -> Fragment:
        """Collect a fragment with stable-baselines3's own ``collect_rollouts``.

        Args:
            task: Where to begin.
            weights: The policy.

        Raises:
            NonFiniteError: An environment returned NaN or infinity.
        """
        started = time.perf_counter()
        model, normalizer = self.model, self.model.get_vec_normalize_env()
        model.policy.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        model.num_timesteps = task.num_timesteps
        self._rows.move_to(task.first)
        set_arrays(model, {name: np.array(value) for name, value in task.arrays.items()})
        if normalizer is not None:
            set_moments(normalizer, task.moments)
            track_moments(normalizer)
            normalizer.returns = np.array(task.returns)
        self._continue_env(task)
        torch.set_rng_state(torch.tensor(task.torch_state))
        recorder = _Recorder(task.num_timesteps)
        recorder.init_callback(model)
        model.collect_rollouts(model.env, recorder, model.rollout_buffer, task.num_steps)
        return Fragment(
            rollout={name: array[: task.num_steps] for name, array in get_rollout(model.rollout_buffer).items()},
            endings=recorder.endings,
            state=self._get_env_state(),
            arrays={name: np.array(value) for name, value in get_arrays(model).items()},  # LSTM states are reused in place
            returns=None if normalizer is None else normalizer.returns,
            moments=get_moments(normalizer),
            own_moments=get_own_moments(normalizer),
            torch_state=torch.get_rng_state().numpy(),
            seconds=time.perf_counter() - started,
        )

    def close(self) -> None:
        """Release the environments; closing twice is fine."""
        self.env.close()

    def _continue_env(self, task: CollectTask) -> None:
        """Bring the environments into the task's state, or else start new episodes."""
        if task.state.arrays is not None:
            self._set_env_state(task.state.arrays, task.state.generators)
        elif task.state.state_id != self._state_id:
            self.env.seed(int(np.random.SeedSequence([*task.seeds, task.attempt]).generate_state(1)[0] >> 1))
            self.model._last_obs = self.model.env.reset()
            self.model._last_episode_starts = np.ones(self.env.num_envs, dtype=bool)

    def _get_env_state(self) -> EnvState:
        self._state_id = uuid.uuid4().hex
        if not isinstance(self.env, Resumable):
            return EnvState(None, (), self._state_id)
        try:
            arrays, generators = self.env.get_state()
        except UnsupportedError:
            return EnvState(None, (), self._state_id)
        return EnvState({name: np.array(value) for name, value in arrays.items()}, list(generators), self._state_id)

    def _set_env_state(self, arrays: Arrays, generators: Sequence[Any]) -> None:
        # Copies: what Ray delivers is read-only memory, shared with other processes.
        self.env.set_state({name: np.array(value) for name, value in arrays.items()}, generators)


def get_rollout(buffer: RolloutBuffer) -> Arrays:
    """Return the arrays of a rollout buffer by name, (steps, arms, …), without returns and the indices of recurrent ones."""
    return {name: array for name, array in iterate_arrays(buffer) if array.ndim > 1 and name != "returns."}


class _Recorder(BaseCallback):
    """Keeps the infos of episodes that end: the learner needs no others."""

    def __init__(self, num_timesteps: int) -> None:
        super().__init__()
        self.endings: list[tuple[int, int, dict[str, Any]]] = []
        self._before = num_timesteps

    def _on_step(self) -> bool:
        for what, name in (("rewards", "rewards"), ("observations", "new_obs")):
            if not is_finite(self.locals[name]):
                raise NonFiniteError(what, self._before, "Likely causes: the environment, or too large an update step.")
        for arm in np.flatnonzero(self.locals["dones"]).tolist():
            info = {name: value for name, value in self.locals["infos"][arm].items() if name != "terminal_observation"}
            self.endings.append((self.n_calls - 1, arm, info))
        return True


class LocalShards:
    """Performs tasks one after the other in this process.

    It is the reference for the workers' results in tests, and the baseline of benchmarks.
    """

    def __init__(self, config: ResolvedConfig, size: int, count: int = 1) -> None:
        """Make environments and policies.

        Args:
            config: The configuration of the training.
            size: Arms of a shard.
            count: Places with environments of their own, among which shards are distributed.
        """
        self._shards = [Shard(config, size) for _ in range(count)]
        self.workers: list[WorkerStatus] = []

    def perform(self, tasks: Sequence[Any], weights: Weights) -> list[Any]:
        """Return the results, in the order of the tasks."""
        return [self._shards[task.shard % len(self._shards)].perform(task, weights) for task in tasks]

    def close(self) -> None:
        """Release the environments; closing twice is fine."""
        for shard in self._shards:
            shard.close()
