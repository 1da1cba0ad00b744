"""DAgger: a policy learns the actions of a teacher that sees more than it does, in the states that it gets into itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch.nn import functional as F

from gym_gazebo2.algos.natural.guarded import GuardedAlgorithm, check_rollout, take_gradient_step
from gym_gazebo2.algos.networks import CenteredCNN
from gym_gazebo2.algos.runs.any_model import open_model
from gym_gazebo2.algos.runs.model_file import ModelFile
from gym_gazebo2.algos.teacher import Teacher
from gym_gazebo2.checks import read_number, read_whole
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["DAgger", "LabelBuffer"]

LOG_STD_INIT = -2.0
"""Log deviation of the noise with which the policy acts in training [1]. It is not trained."""
Rows = NDArray[Any] | dict[str, NDArray[Any]]
"""Batched observations, as an array or a dictionary of arrays."""


class DAgger(GuardedAlgorithm):
    """Dataset Aggregation: imitation of a teacher in the states that the policy itself visits.

    Paper: Ross, Gordon and Bagnell, https://arxiv.org/abs/1011.0686, algorithm 3.1. In each step the teacher acts with the
    probability β, and the policy otherwise; β falls linearly from 1 to 0. The teacher's action is recorded in every step,
    whoever acts. The mean of the policy is then fitted to the recorded actions. Unlike in the paper, the oldest steps are
    forgotten, and an iteration continues from the weights of the one before.

    The teacher sees the flat observation of the same state, so the environment must be a batched one of this package.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    identifying_setting: ClassVar[str] = "handover"
    replay_buffer: LabelBuffer

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        teacher: str | Path | None = None,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int = 32,
        batch_size: int = 128,
        n_epochs: int = 4,
        buffer_size: int = 20_000,
        handover: float = 0.5,
        max_grad_norm: float = 0.5,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        """Check the settings and build the networks.

        Args:
            policy: MlpPolicy, CnnPolicy, MultiInputPolicy, or a policy class.
            env: The environment to learn in.
            teacher: Run folder or model file of the teacher. It is read when the training begins.
            learning_rate: Learning rate, or its schedule over the remaining progress, 1 to 0.
            n_steps: Steps per environment and update.
            batch_size: Minibatch.
            n_epochs: How often each step is drawn on average: an update has n_epochs · n_steps · n_envs / batch_size
                minibatches.
            buffer_size: Number of labelled steps that are kept.
            handover: Share of the training over which β falls from 1 to 0; with 0 the policy acts from the start.
            max_grad_norm: Largest norm of the gradient.
            stats_window_size: Episodes over which the logger averages.
            tensorboard_log: Folder of TensorBoard events; None writes no events.
            policy_kwargs: Keyword arguments of the policy. ``log_std_init`` (-2) sets the noise with which it acts in
                training.
            verbose: 0 for silence, 1 for information, 2 for debugging.
            seed: Seed of all random generators.
            device: Torch device.
            _init_setup_model: Whether to build the networks now.

        Raises:
            InvalidArgumentError: A setting is out of range.
        """
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=read_whole("n_steps", n_steps),
            # The settings of rewards and values have no effect.
            gamma=0.99,
            gae_lambda=1.0,
            ent_coef=0.0,
            vf_coef=0.0,
            max_grad_norm=max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs={"log_std_init": LOG_STD_INIT, **(policy_kwargs or {})},
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
            supported_action_spaces=(spaces.Box,),
        )
        self.teacher = None if teacher is None else str(teacher)
        self.batch_size, self.n_epochs = read_whole("batch_size", batch_size), read_whole("n_epochs", n_epochs)
        self.buffer_size = read_whole("buffer_size", buffer_size)
        self.handover = read_number("handover", handover, "a number from 0 to 1", lambda x: 0 <= x <= 1)
        self._source: Teacher | None = None
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self.buffer_size < self.n_envs:
            expected = f"at least {self.n_envs}, one step of each environment"
            raise InvalidArgumentError("buffer_size", self.buffer_size, expected)
        super()._setup_model()
        for module in self.policy.modules():
            if isinstance(module, CenteredCNN):
                module.is_tracking = True
        self.replay_buffer = LabelBuffer(self.buffer_size, self.observation_space, self.action_space, self.device)

    def learn_from(self, file: ModelFile) -> None:
        """Take a teacher.

        Args:
            file: Its model.

        Raises:
            InvalidArgumentError: It cannot teach in this environment.
        """
        self._source = Teacher(file, self.require_env())

    def require_env(self) -> VecEnv:
        """Return the environment.

        Raises:
            InvalidArgumentError: The model was loaded without one.
        """
        if self.env is None:
            raise InvalidArgumentError("env", None, sentence="The model has no environment. Give one with set_env.")
        return self.env

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Set the environment. The teacher is read again when a training in it begins."""
        super().set_env(env, force_reset)
        self._source = None

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        if self._source is None:
            if self.teacher is None:
                sentence = "dagger needs a teacher. Give the folder of a finished run with --hyper teacher=RUN."
                raise InvalidArgumentError("teacher", None, sentence=sentence)
            self.learn_from(open_model(self.teacher))
        return super()._setup_learn(*args, **kwargs)

    def compute_teacher_share(self, progress: float) -> float:
        """Return β, the share of steps in which the teacher acts.

        Args:
            progress: Share of the training that is done, 0 to 1.
        """
        return max(0.0, 1.0 - progress / self.handover) if self.handover > 0.0 else 0.0

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Collect steps in which teacher or policy acts, and record the teacher's action in each.

        Args:
            env: The training environments.
            callback: Called at each step.
            rollout_buffer: Buffer to fill.
            n_rollout_steps: Steps per environment.

        Returns:
            Whether to continue training.
        """
        share = self.compute_teacher_share(self.num_timesteps / self._total_timesteps)
        self.logger.record("train/teacher_share", share)
        return super().collect_rollouts(_Lesson(env, self, share), callback, rollout_buffer, n_rollout_steps)

    def label(self) -> NDArray[Any]:
        """Record the teacher's actions for the last observations, and return them."""
        if self._source is None or self._last_obs is None:
            raise InvalidArgumentError("teacher", None, sentence="The training has not begun. Call learn.")
        labels = self._source.choose_actions()
        self.replay_buffer.add(self._last_obs, labels)
        return labels

    def train(self) -> None:
        """Fit the mean of the policy to the recorded actions.

        Raises:
            NonFiniteError: An observation or a reward is not finite; the policy stays as it was.
        """
        check_rollout(self)
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        num_batches = -(-self.n_epochs * self.n_steps * self.n_envs // self.batch_size)
        for _ in range(num_batches):
            batch = self.replay_buffer.sample(self.batch_size)
            mean = self.policy.get_distribution(batch.observations).mode()
            loss = F.mse_loss(mean, batch.labels)
            take_gradient_step(self, loss)
            self.logger.record_mean("train/imitation_loss", loss.item())
        self._n_updates += num_batches
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_source"]


class _Lesson(VecEnvWrapper):
    """The environments in a rollout: the teacher labels every step, and takes over a share of them."""

    def __init__(self, venv: VecEnv, student: DAgger, share: float) -> None:
        super().__init__(venv)
        self._student, self._share = student, share

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        labels = self._student.label()
        taught = torch.rand(len(labels), 1).numpy() < self._share  # from torch's generator, whose state checkpoints hold
        self.venv.step_async(np.where(taught, labels, actions))

    def step_wait(self) -> VecEnvStepReturn:
        return self.venv.step_wait()


class Lessons(NamedTuple):
    """A minibatch of labelled observations.

    Attributes:
        observations: Observations as the policy takes them.
        labels: (m, size) actions of the teacher.
    """

    observations: Any
    labels: torch.Tensor


class LabelBuffer(BaseBuffer):
    """The newest labelled observations. Images stay bytes.

    Attributes:
        observations: Observations by key; "" where they are one array.
        labels: (buffer_size, size) actions of the teacher.
        pos: Place of the next observation.
        full: Whether each place holds one.
    """

    pos: int
    full: bool

    def __init__(
        self, buffer_size: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], device: torch.device
    ) -> None:
        """Make an empty buffer.

        Args:
            buffer_size: Number of observations that it holds.
            observation_space: Space of the observations.
            action_space: Space of the labels.
            device: Torch device of the minibatches.
        """
        super().__init__(buffer_size, observation_space, action_space, device)
        parts = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {"": observation_space}
        self.observations = {key: np.zeros((buffer_size, *(part.shape or ())), dtype=part.dtype) for key, part in parts.items()}
        self.labels = np.zeros((buffer_size, self.action_dim), dtype=np.float32)

    def add(self, observations: Rows, labels: NDArray[Any]) -> None:  # type: ignore[override]
        """Add observations (n rows) and their labels (n, size). They replace the oldest ones where the buffer is full."""
        rows = observations if isinstance(observations, dict) else {"": observations}
        places = (self.pos + np.arange(len(labels))) % self.buffer_size
        for key, value in rows.items():
            self.observations[key][places] = value
        self.labels[places] = labels
        end = self.pos + len(labels)
        self.pos, self.full = end % self.buffer_size, self.full or end >= self.buffer_size

    def _get_samples(self, batch_inds: NDArray[np.int64], env: Any = None) -> Lessons:  # type: ignore[override]
        rows = {key: self.to_torch(value[batch_inds], copy=False) for key, value in self.observations.items()}
        return Lessons(rows.get("", rows), self.to_torch(self.labels[batch_inds], copy=False))
