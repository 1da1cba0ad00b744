"""ACKTR: actor and critic on natural gradients from Kronecker-factored curvature, inside a trust region."""

import copy
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, cast

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutBufferSamples, Schedule
from stable_baselines3.common.utils import FloatSchedule
from torch import nn
from torch.nn import functional as F

from gym_gazebo2.algos.natural.critic import fit_by_gradient, fit_by_kfac, measure_std
from gym_gazebo2.algos.natural.fisher import (
    LOG_STD_FISHER,
    Metric,
    compute_kl,
    compute_policy_metric,
    compute_value_metric,
    sample_log_prob,
    sample_value_log_prob,
)
from gym_gazebo2.algos.natural.guarded import GuardedAlgorithm, check_rollout, get_actions, log_training, normalize
from gym_gazebo2.algos.natural.kfac import KFAC
from gym_gazebo2.algos.natural.trust_region import take_natural_step
from gym_gazebo2.checks import read_number, read_whole
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

SelfACKTR = TypeVar("SelfACKTR", bound="ACKTR")

CRITICS = ("adam", "kfac")

SAMPLES_PER_WIDTH = 8
"""Samples for the curvature, as a multiple of the widest layer's width."""

MAX_KL_RATIO = 1.5
"""A step whose measured divergence exceeds this multiple of the target is halved."""

DOUBT = 4.0
"""Standard errors by which a divergence measured on a sample must stay below that; else all of the batch is measured."""

MAX_HALVINGS = 10


class Part(NamedTuple):
    """Part of a batch."""

    observations: Any
    actions: th.Tensor
    distribution: Distribution
    """The policy's before the step, with its graph."""
    values: th.Tensor
    """Predictions (n,), with their graph; empty where the critic has layers of its own."""


class ACKTR(GuardedAlgorithm):
    """Actor-Critic using Kronecker-Factored Trust Region.

    Each update moves the actor along its natural gradient, as far as the trust region lets. A critic of its own is
    fitted to the returns; where actor and critic share layers, both move together, with the Fisher matrix of
    p(a, v | s) = p(a | s) p(v | s).

    Paper: Wu, Mansimov, Liao, Grosse and Ba, https://arxiv.org/abs/1708.05144. Unlike there, the length of a step comes
    from the exact Fisher matrix on the batch: its factored approximation under-predicts the divergence manyfold.

    Attributes:
        shares_layers: Whether actor and critic have parameters in common.
        critic_optimizer: Optimizer of a critic of its own; `policy.optimizer` is the actor's, or the joint one.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    mark: ClassVar[str] = "critic_target_kl"
    ent_coef: float
    vf_coef: float
    shares_layers: bool
    critic_optimizer: th.optim.Optimizer

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int = 2048,
        batch_size: int = 256,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        target_kl: float | Schedule = 0.01,
        max_step_size: float | Schedule = 10.0,
        damping: float = 0.3,
        stats_decay: float | None = None,
        stats_samples: int | None = None,
        curvature_interval: int | None = None,
        momentum: float = 0.0,
        critic: Literal["adam", "kfac"] = "kfac",
        n_critic_updates: int = 5,
        critic_target_kl: float | Schedule = 0.01,
        ent_coef: float = 0.0,
        vf_coef: float = 0.1,
        normalize_advantage: bool = True,
        rollout_buffer_class: type[RolloutBuffer] | None = None,
        rollout_buffer_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        """Check the settings and build networks and optimizers.

        Args:
            policy: MlpPolicy, CnnPolicy, MultiInputPolicy, or a policy class. What K-FAC trains must be made of linear,
                convolutional and layer-norm layers; state-dependent exploration is not supported.
            env: The environment to learn from, or its id.
            learning_rate: Learning rate of a critic under Adam, or its schedule over the remaining progress, 1 to 0.
            n_steps: Steps of each environment an update; the batch is n_steps · n_envs.
            batch_size: Minibatch of a critic of its own.
            gamma: Discount.
            gae_lambda: λ of generalized advantage estimation.
            target_kl: δ [nat], the divergence of one update, or its schedule.
            max_step_size: η_max of the actor's or the joint step, or its schedule.
            damping: λ of K-FAC.
            stats_decay: Weight of the past in the curvature, in [0, 1). None averages only as far as a batch is small
                against the width of a layer; stale curvature is what makes the algorithm unstable.
            stats_samples: Samples of the batch, drawn at random, that the curvature of actor or joint network is taken from,
                and as many others to check the step on. None takes as many as the widest layer needs.
            curvature_interval: Updates between two eigendecompositions. None takes one, and ten for factors at least 1024
                wide, such as those of the convolutional policy.
            momentum: Weight of the previous direction, in [0, 1).
            critic: Optimizer of a critic that shares no layer with the actor.
            n_critic_updates: Passes of such a critic over the batch.
            critic_target_kl: Trust region [nat] of each K-FAC step of such a critic, or its schedule.
            ent_coef: Weight of the entropy in the loss.
            vf_coef: Weight, where layers are shared, of the squared error of the values over its mean, so that it means
                the same whatever the scale of the rewards; σ² = mean squared error / (2 vf_coef) in p(v | s). The larger,
                the more of the trust region the values take.
            normalize_advantage: Whether to normalise advantages over the batch.
            rollout_buffer_class: Rollout buffer; chosen by the observation space where None.
            rollout_buffer_kwargs: Its keyword arguments.
            stats_window_size: Episodes over which the logger averages.
            tensorboard_log: Folder of TensorBoard events; None for no events.
            policy_kwargs: Keyword arguments of the policy; `optimizer_class` replaces the critic's Adam.
            verbose: 0 for silence, 1 for information, 2 for debugging.
            seed: Seed of all random generators.
            device: Torch device.
            _init_setup_model: Whether to build the networks now.

        Raises:
            InvalidArgumentError: If a setting is out of range or a layer is not supported.
            UnknownNameError: If there is no such critic.
        """
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            gae_lambda=gae_lambda,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            max_grad_norm=float("inf"),  # the trust region bounds the step
            use_sde=False,
            sde_sample_freq=-1,
            rollout_buffer_class=rollout_buffer_class,
            rollout_buffer_kwargs=rollout_buffer_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
            supported_action_spaces=(spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary),
        )
        self.batch_size = batch_size
        self.target_kl = target_kl
        self.max_step_size = max_step_size
        self.damping = damping
        self.stats_decay = stats_decay
        self.stats_samples = stats_samples
        self.curvature_interval = curvature_interval
        self.momentum = momentum
        self.critic = critic
        self.n_critic_updates = n_critic_updates
        self.critic_target_kl = critic_target_kl
        self.normalize_advantage = normalize_advantage
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._check_settings()
        super()._setup_model()
        self.target_kl_schedule = FloatSchedule(self.target_kl)
        self.max_step_size_schedule = FloatSchedule(self.max_step_size)
        self.critic_target_kl_schedule = FloatSchedule(self.critic_target_kl)
        self._setup_optimizers()

    def _check_settings(self) -> None:
        if self.critic not in CRITICS:
            raise UnknownNameError("critic", self.critic, CRITICS)
        for name in ("target_kl", "max_step_size", "critic_target_kl"):
            setattr(self, name, _read_start(name, getattr(self, name)))
        for name in ("batch_size", "n_critic_updates", "n_steps"):
            setattr(self, name, read_whole(name, getattr(self, name)))
        self.ent_coef = read_number("ent_coef", self.ent_coef, "a finite number")
        if self.stats_samples is not None:
            self.stats_samples = read_whole("stats_samples", self.stats_samples)
        samples = self.n_steps * self.n_envs
        if samples < 2:
            raise InvalidArgumentError("n_steps * n_envs", samples, "at least 2 samples for an update")

    def _setup_optimizers(self) -> None:
        actor, critic = self._find_parameters()
        self.shares_layers = not actor.isdisjoint(critic)
        if self.shares_layers:
            expected = "a finite positive number where actor and critic share layers"
            self.vf_coef = read_number("vf_coef", self.vf_coef, expected, lambda x: x > 0)
        make_adam, settings = self.policy.optimizer_class, self.policy.optimizer_kwargs
        self.policy.optimizer = self._make_kfac(actor | critic if self.shares_layers else actor)
        if self.shares_layers:
            return
        if self.critic == "kfac":
            self.critic_optimizer = self._make_kfac(critic)
        else:
            ordered = [p for p in self.policy.parameters() if p in critic]
            self.critic_optimizer = make_adam(ordered, lr=self.lr_schedule(1), **settings)  # type: ignore[call-arg]

    def _find_parameters(self) -> tuple[set[nn.Parameter], set[nn.Parameter]]:
        """Find which parameters the actor and which the critic depends on, by asking the graph."""
        # A copy, because sampling moves the space's generator, which environments may draw from.
        self.policy.set_training_mode(False)  # one sample is too few for some layers, which K-FAC then names
        observation, _ = self.policy.obs_to_tensor(copy.deepcopy(self.observation_space).sample())
        distribution = self.policy.get_distribution(observation)
        if not all(output.requires_grad for output, _ in compute_policy_metric(distribution)):
            frozen = [name for name, p in self.policy.named_parameters() if not p.requires_grad]
            raise InvalidArgumentError("frozen parameters", frozen, "none that all of a mean, or of a deviation, depends on")
        outputs = (distribution.log_prob(distribution.mode()), self.policy.predict_values(observation))
        parameters = [p for p in self.policy.parameters() if p.requires_grad]
        rows = [th.autograd.grad(output.sum(), parameters, allow_unused=True) for output in outputs]
        actor, critic = ({p for p, g in zip(parameters, row, strict=True) if g is not None} for row in rows)
        return actor, critic

    def _make_kfac(self, parameters: Collection[nn.Parameter]) -> KFAC:
        log_std = getattr(self.policy, "log_std", None)
        return KFAC(
            self.policy,
            parameters,
            exact_fisher={log_std: LOG_STD_FISHER} if log_std is not None and log_std in parameters else {},
            damping=self.damping,
            decay=self.stats_decay,
            interval=self.curvature_interval,
            momentum=self.momentum,
        )

    def train(self) -> None:
        """Update actor and critic with the current rollout buffer.

        Raises:
            InvalidArgumentError: If a schedule has fallen below zero, or is not finite.
            NonFiniteError: If an observation or a return is not finite; the policy stays as it was.
        """
        check_rollout(self)
        self.policy.set_training_mode(True)
        batch = next(self.rollout_buffer.get(batch_size=None))
        if self.shares_layers:
            self._train_jointly(batch)
        else:
            self._train_actor(batch)
            self._train_critic()
        self._n_updates += 1
        log_training(self)

    def _train_actor(self, batch: RolloutBufferSamples) -> None:
        """Step along the natural gradient of the policy, its actions sampled (Wu et al., section 3.1)."""
        parts = list(self._look(batch))
        loss = self._compute_policy_loss(batch, parts)
        metric = [pair for part in parts for pair in compute_policy_metric(part.distribution)]
        self._take_policy_step(parts, sample_log_prob(parts[0].distribution), loss, metric)

    def _train_jointly(self, batch: RolloutBufferSamples) -> None:
        """Step along the natural gradient of p(a, v | s), both outputs sampled (Wu et al., section 3.1)."""
        parts = list(self._look(batch))
        value_loss = F.mse_loss(th.cat([part.values for part in parts]), batch.returns)
        std = measure_std(value_loss, self.vf_coef)
        loss = self._compute_policy_loss(batch, parts) + value_loss / (2 * std**2)
        log_likelihood = sample_log_prob(parts[0].distribution) + sample_value_log_prob(parts[0].values, std)
        metric = [pair for part in parts for pair in compute_policy_metric(part.distribution)]
        metric += [pair for part in parts for pair in compute_value_metric(part.values, std)]
        self._take_policy_step(parts, log_likelihood, loss, metric)
        self.logger.record("train/value_loss", value_loss.item())

    def _look(self, batch: RolloutBufferSamples) -> Iterator[Part]:
        """Yield the batch in parts; the first, whose pass is captured, is large enough for the curvature."""
        for index, (observations, actions) in enumerate(self._split(batch)):
            with nullcontext() if index else self._kfac.capture():
                if self.shares_layers:
                    values, *_ = self.policy.evaluate_actions(observations, actions)
                    distribution = self.policy.action_dist
                else:
                    values, distribution = actions.new_empty(0), self.policy.get_distribution(observations)
            yield Part(observations, actions, copy.copy(distribution), values.flatten())

    def _split(self, batch: RolloutBufferSamples) -> Iterator[tuple[Any, th.Tensor]]:
        """Yield observations and actions: a sample for the curvature, one as large for the check, the rest."""
        count = SAMPLES_PER_WIDTH * self._kfac.width if self.stats_samples is None else self.stats_samples
        actions, observations = get_actions(batch, self.action_space), batch.observations  # in random order from the buffer
        for part in (slice(0, count), slice(count, 2 * count), slice(2 * count, None)):
            if len(actions[part]):
                is_dict = isinstance(observations, dict)
                yield {k: rows[part] for k, rows in observations.items()} if is_dict else observations[part], actions[part]

    def _compute_policy_loss(self, batch: RolloutBufferSamples, parts: Sequence[Part]) -> th.Tensor:
        log_prob = th.cat([part.distribution.log_prob(part.actions) for part in parts])
        with th.set_grad_enabled(self.ent_coef != 0):
            entropy = th.cat([cast(th.Tensor, part.distribution.entropy()) for part in parts])
        advantages = normalize(batch.advantages) if self.normalize_advantage else batch.advantages
        policy_loss = -(advantages * log_prob).mean()
        entropy_loss = -entropy.mean()
        self.logger.record("train/policy_loss", policy_loss.item())
        self.logger.record("train/entropy_loss", entropy_loss.item())
        return policy_loss + self.ent_coef * entropy_loss

    def _take_policy_step(self, parts: Sequence[Part], log_likelihood: th.Tensor, loss: th.Tensor, metric: Metric) -> None:
        """Step inside the trust region, and back where its quadratic model was wrong: by halves, and at last whole."""
        target_kl, max_step_size = self._read_schedule("target_kl"), self._read_schedule("max_step_size")
        rows = sum(len(part.actions) for part in parts)
        before = [parameter.detach().clone() for parameter in self._kfac.params]
        step = take_natural_step(self._kfac, log_likelihood, loss, metric, rows, target_kl, max_step_size)
        size, kl = step.size, self._measure_kl(parts, target_kl)
        for _ in range(MAX_HALVINGS):
            if kl <= MAX_KL_RATIO * target_kl:
                break
            size /= 2
            self._kfac.move(step.direction, -size)
            kl = self._measure_kl(parts, target_kl)
        if not kl <= MAX_KL_RATIO * target_kl:  # also where it is NaN
            self._kfac.put(before)
            size, kl = 0.0, 0.0
        self.logger.record("train/loss", loss.item())
        self.logger.record("train/kl", kl)
        self.logger.record("train/predicted_kl", step.predicted_kl)
        self.logger.record("train/target_kl", target_kl)
        self.logger.record("train/step_size", size)

    @th.no_grad()
    def _measure_kl(self, parts: Sequence[Part], target_kl: float) -> float:
        """Measure the divergence on samples of which the curvature is not, and where those leave a doubt on all."""
        measured = th.empty(0)
        for part in (*parts[1:], parts[0]):
            kl = compute_kl(part.distribution, self.policy.get_distribution(part.observations), len(part.actions))
            measured = th.cat([measured.to(kl), kl])
            bound = measured.mean() + DOUBT * measured.std(correction=0) / len(measured) ** 0.5
            if len(measured) >= len(parts[0].actions) and bound <= MAX_KL_RATIO * target_kl:
                break
        return measured.mean().item()

    def _train_critic(self) -> None:
        """Fit a critic of its own to the returns, in minibatches."""
        optimizer = self.critic_optimizer
        if isinstance(optimizer, KFAC):
            target_kl = self._read_schedule("critic_target_kl")
            losses = [fit_by_kfac(self.policy, optimizer, batch, target_kl) for batch in self._draw_minibatches()]
        else:
            self._update_learning_rate(optimizer)
            losses = [fit_by_gradient(self.policy, optimizer, batch) for batch in self._draw_minibatches()]
        self.logger.record("train/value_loss", np.mean(losses))

    def _draw_minibatches(self) -> Iterator[RolloutBufferSamples]:
        for _ in range(self.n_critic_updates):
            yield from self.rollout_buffer.get(self.batch_size)

    def _read_schedule(self, name: str) -> float:
        value: float = getattr(self, f"{name}_schedule")(self._current_progress_remaining)
        if not 0 <= value < math.inf:
            expected = f"a schedule that is finite and never falls below zero, as after {self.num_timesteps} steps"
            raise InvalidArgumentError(name, value, expected)
        return value

    @property
    def _kfac(self) -> KFAC:
        return cast(KFAC, self.policy.optimizer)

    def learn(
        self: SelfACKTR,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "ACKTR",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfACKTR:
        """Learn for a number of environment steps; see stable-baselines3's `BaseAlgorithm.learn`."""
        return super().learn(
            total_timesteps=total_timesteps,
            callback=callback,
            log_interval=log_interval,
            tb_log_name=tb_log_name,
            reset_num_timesteps=reset_num_timesteps,
            progress_bar=progress_bar,
        )

    @classmethod
    def _check_changes(cls, data: dict[str, Any], parameters: dict[str, Any], changes: dict[str, Any]) -> None:
        if "critic_optimizer" in parameters and changes.get("critic", data["critic"]) != data["critic"]:
            raise InvalidArgumentError("critic", changes["critic"], f"{data['critic']!r}, whose state is in the file")

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        return state_dicts + ([] if self.shares_layers else ["critic_optimizer"]), variables


def _read_start(name: str, value: Any) -> Any:
    """Return a positive number, or a schedule that starts with one."""
    expected = "a finite positive number, or a schedule that starts with one"
    start = read_number(name, value(1.0) if callable(value) else value, expected, lambda x: x > 0)
    return value if callable(value) else start
