"""ACKTR: actor and critic on natural gradients from Kronecker-factored curvature, inside a trust region.

``ACKTR.train`` is the algorithm in five numbered steps. The numerics are in ``natural``: K-FAC, the Fisher matrices of the
distributions, the trust region and the critic's step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, cast

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
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
    compute_policy_metric,
    compute_value_metric,
    sample_log_prob,
    sample_value_log_prob,
)
from gym_gazebo2.algos.natural.guarded import GuardedAlgorithm, check_rollout, log_training, normalize
from gym_gazebo2.algos.natural.kfac import KFAC
from gym_gazebo2.algos.natural.parts import Part, evaluate_part, measure_kl, split_batch
from gym_gazebo2.algos.natural.trust_region import compute_natural_direction, compute_step_size, move_inside_region
from gym_gazebo2.checks import read_number, read_whole
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["ACKTR", "CRITICS", "MAX_KL_RATIO", "SAMPLES_PER_WIDTH"]

SelfACKTR = TypeVar("SelfACKTR", bound="ACKTR")

CRITICS = ("adam", "kfac")

SAMPLES_PER_WIDTH = 8
"""Samples for the curvature, as a multiple of the widest layer's width: 520 for layers of 64 units and a bias."""

MAX_KL_RATIO = 1.5
"""A step is halved while its measured divergence exceeds this multiple of the target."""


class Objective(NamedTuple):
    """What an update descends, and the distribution whose Fisher matrix measures the step."""

    loss: torch.Tensor
    """Scalar."""
    log_likelihood: torch.Tensor
    """Log-likelihood (m,) of outcomes sampled from the model, one per sample of the first part."""
    metric: Metric
    """Outputs of the networks for all parts of the batch. With respect to these the Fisher matrix is diagonal."""


class ACKTR(GuardedAlgorithm):
    """Actor-Critic using Kronecker-Factored Trust Region.

    Each update moves the actor along its natural gradient, to the edge of the trust region. A critic with layers of its own is
    fitted to the returns. Where actor and critic share layers, both move together, with the Fisher matrix of
    p(a, v | s) = p(a | s) p(v | s).

    Paper: Wu, Mansimov, Liao, Grosse and Ba, https://arxiv.org/abs/1708.05144. Unlike there, the length of a step comes
    from the exact Fisher matrix of the batch: the factored approximation under-predicts the divergence ten- to twentyfold.

    Attributes:
        shares_layers: Whether actor and critic have parameters in common.
        critic_optimizer: Optimizer of a separate critic; ``policy.optimizer`` is the actor's, or the joint one.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    identifying_setting: ClassVar[str] = "critic_target_kl"
    ent_coef: float
    vf_coef: float
    shares_layers: bool
    critic_optimizer: torch.optim.Optimizer

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
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        """Check the settings and build networks and optimizers.

        Args:
            policy: MlpPolicy, CnnPolicy, MultiInputPolicy, or a policy class. The networks that K-FAC trains must consist of
                linear, convolutional and layer-norm layers; state-dependent exploration is not supported.
            env: The environment to learn from, or its id.
            learning_rate: Learning rate of a separate critic under Adam, or its schedule over the remaining progress, 1 to 0.
            n_steps: Steps per environment and update; the batch is n_steps · n_envs.
            batch_size: Minibatch of a separate critic.
            gamma: Discount.
            gae_lambda: λ of generalized advantage estimation.
            target_kl: δ [nat], the KL divergence of one update, or its schedule.
            max_step_size: η_max, the largest step size of the actor or the joint network, or its schedule.
            damping: λ of K-FAC.
            stats_decay: Weight of the past in the curvature, in [0, 1). None: no averaging if a batch has at least 4
                samples per unit of the layer's width; smaller batches are averaged just enough to make up for it. Old curvature
                makes the algorithm unstable.
            stats_samples: Number of random samples of the batch from which the curvature of the actor or the joint network is
                estimated; as many others check the step. None takes 8 times the width of the widest layer.
            curvature_interval: Updates between two eigendecompositions. None means 1, and 10 for factors at least 1024 wide,
                such as those of the convolutional policy.
            momentum: Weight of the previous direction, in [0, 1).
            critic: Optimizer of a separate critic, which shares no layer with the actor.
            n_critic_updates: Passes of a separate critic over the batch.
            critic_target_kl: Trust region [nat] of each K-FAC step of a separate critic, or its schedule.
            ent_coef: Weight of the entropy in the loss.
            vf_coef: Weight of the values where layers are shared: their part of the loss is vf_coef · MSE / c, where the
                constant c is the MSE of this batch. So the weight means the same for rewards of any scale. In p(v | s),
                σ² = MSE / (2 vf_coef). The larger the weight, the larger the values' share of the trust region.
            normalize_advantage: Whether to normalise advantages over the batch.
            rollout_buffer_class: Rollout buffer; None chooses it by the observation space.
            rollout_buffer_kwargs: Keyword arguments of the rollout buffer.
            stats_window_size: Episodes over which the logger averages.
            tensorboard_log: Folder of TensorBoard events; None writes no events.
            policy_kwargs: Keyword arguments of the policy; ``optimizer_class`` replaces the critic's Adam.
            verbose: 0 for silence, 1 for information, 2 for debugging.
            seed: Seed of all random generators.
            device: Torch device.
            _init_setup_model: Whether to build the networks now.

        Raises:
            InvalidArgumentError: A setting is out of range, or a layer is not supported.
            UnknownNameError: There is no such critic.
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
            max_grad_norm=float("inf"),  # the trust region bounds the step instead
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
            setattr(self, name, _read_number_or_schedule(name, getattr(self, name)))
        for name in ("batch_size", "n_critic_updates", "n_steps"):
            setattr(self, name, read_whole(name, getattr(self, name)))
        self.ent_coef = read_number("ent_coef", self.ent_coef, "a finite number")
        if self.stats_samples is not None:
            self.stats_samples = read_whole("stats_samples", self.stats_samples)
        samples = self.n_steps * self.n_envs
        if samples < 2:
            raise InvalidArgumentError("n_steps * n_envs", samples, "at least 2 samples per update")

    def _setup_optimizers(self) -> None:
        actor, critic = self._find_parameters()
        self.shares_layers = not actor.isdisjoint(critic)
        if self.shares_layers:
            expected = "a finite positive number, as actor and critic share layers"
            self.vf_coef = read_number("vf_coef", self.vf_coef, expected, lambda x: x > 0)
            self.policy.optimizer = self._make_kfac(actor | critic)
            return
        # Two trust regions: with one, a large error of the values would use up the policy's whole divergence.
        adam_class, adam_settings = self.policy.optimizer_class, self.policy.optimizer_kwargs
        self.policy.optimizer = self._make_kfac(actor)
        if self.critic == "kfac":
            self.critic_optimizer = self._make_kfac(critic)
        else:
            # Sort the parameters as the policy does. A set has no order, and Adam saves its state by position.
            ordered = [p for p in self.policy.parameters() if p in critic]
            self.critic_optimizer = adam_class(ordered, lr=self.lr_schedule(1), **adam_settings)  # type: ignore[call-arg]

    def _find_parameters(self) -> tuple[set[nn.Parameter], set[nn.Parameter]]:
        """Find the parameters that the actor and the critic depend on, from the graph of one forward pass.

        This works for every policy class. Names of attributes would not: they differ between classes.
        """
        # Evaluation mode: in training mode BatchNorm fails on a single sample, before K-FAC can name it as unsupported.
        self.policy.set_training_mode(False)
        # A copy, because sampling advances the space's generator, from which environments may draw.
        observation, _ = self.policy.obs_to_tensor(copy.deepcopy(self.observation_space).sample())
        distribution = self.policy.get_distribution(observation)
        if not all(output.requires_grad for output, _ in compute_policy_metric(distribution)):
            frozen = [name for name, p in self.policy.named_parameters() if not p.requires_grad]
            sentence = f"The policy's mean or deviation depends on frozen parameters only: {frozen}. Make them trainable."
            raise InvalidArgumentError("frozen parameters", frozen, sentence=sentence)
        outputs = (distribution.log_prob(distribution.mode()), self.policy.predict_values(observation))
        parameters = [p for p in self.policy.parameters() if p.requires_grad]
        rows = [torch.autograd.grad(output.sum(), parameters, allow_unused=True) for output in outputs]
        # None, not zero, marks a parameter that is not in the graph.
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
        """Update actor and critic with the current rollout buffer (Wu et al., arXiv:1708.05144, sections 3.1 and 3.2).

        Raises:
            InvalidArgumentError: A schedule has become negative or infinite.
            NonFiniteError: An observation or a return is not finite; the policy stays as it was.
        """
        check_rollout(self)
        self.policy.set_training_mode(True)
        kfac = cast(KFAC, self.policy.optimizer)
        target_kl, max_step_size = self._read_schedule("target_kl"), self._read_schedule("max_step_size")

        # 1. Batch: the loss L of one rollout by the current policy, L = −E[Â log π(a|s)] and the terms of entropy and values.
        batch = next(self.rollout_buffer.get(batch_size=None))
        parts = self._pass_forward(kfac, batch)
        objective = self._compute_joint_objective(batch, parts) if self.shares_layers else self._compute_objective(batch, parts)

        # 2. Statistics: per layer A = E[a aᵀ] and G = E[g gᵀ], for outcomes sampled from the model instead of those taken:
        #    only these give the true Fisher matrix, by which the direction is natural.
        kfac.update_curvature(objective.log_likelihood)

        # 3. Direction: Δ = (A ⊗ G + λI)⁻¹ ∇L, layer by layer; and ΔᵀFΔ with the exact Fisher matrix of the whole batch.
        direction, quadratic_form = compute_natural_direction(kfac, objective.loss, objective.metric, len(batch.advantages))

        # 4. Trust region: η = min(η_max, √(2δ / ΔᵀFΔ)), θ ← θ − ηΔ; η is halved while the measured divergence is above 1.5 δ.
        step_size = compute_step_size(quadratic_form, target_kl, max_step_size)
        max_kl = MAX_KL_RATIO * target_kl
        kept_size, kl = move_inside_region(kfac, direction, step_size, partial(measure_kl, self.policy, parts, max_kl), max_kl)

        # 5. Critic: where it has layers of its own, the same with its Gauss-Newton matrix in a region of its own, or Adam.
        if not self.shares_layers:
            self._fit_critic()

        self._n_updates += 1
        self.logger.record("train/loss", objective.loss.item())
        self.logger.record("train/kl", kl)
        self.logger.record("train/predicted_kl", 0.5 * step_size**2 * quadratic_form)
        self.logger.record("train/target_kl", target_kl)
        self.logger.record("train/step_size", kept_size)
        log_training(self)

    def _pass_forward(self, kfac: KFAC, batch: RolloutBufferSamples) -> list[Part]:
        """Pass the batch forward in parts; K-FAC records the pass of the first part, the sample for the curvature."""
        sample_size = SAMPLES_PER_WIDTH * kfac.width if self.stats_samples is None else self.stats_samples
        sample, *others = split_batch(batch, self.action_space, sample_size)
        with kfac.capture():
            parts = [evaluate_part(self.policy, *sample, self.shares_layers)]
        return parts + [evaluate_part(self.policy, *part, self.shares_layers) for part in others]

    def _compute_objective(self, batch: RolloutBufferSamples, parts: Sequence[Part]) -> Objective:
        """Compute the policy's loss; its metric is that of π(a|s), with sampled actions (Wu et al., section 3.1)."""
        log_prob = torch.cat([part.distribution.log_prob(part.actions) for part in parts])
        with torch.set_grad_enabled(self.ent_coef != 0):  # logged in any case, but no graph where the weight is zero
            entropy = torch.cat([cast(torch.Tensor, part.distribution.entropy()) for part in parts])
        advantages = normalize(batch.advantages) if self.normalize_advantage else batch.advantages
        policy_loss = -(advantages * log_prob).mean()
        entropy_loss = -entropy.mean()
        self.logger.record("train/policy_loss", policy_loss.item())
        self.logger.record("train/entropy_loss", entropy_loss.item())
        loss = policy_loss + self.ent_coef * entropy_loss
        metric = [pair for part in parts for pair in compute_policy_metric(part.distribution)]
        return Objective(loss, sample_log_prob(parts[0].distribution), metric)

    def _compute_joint_objective(self, batch: RolloutBufferSamples, parts: Sequence[Part]) -> Objective:
        """Compute the loss of policy and values; its metric is that of p(a, v | s), both sampled (Wu et al., section 3.1)."""
        value_loss = F.mse_loss(torch.cat([part.values for part in parts]), batch.returns)
        # With the paper's σ = 1 and returns around 100, the values would use nearly the whole trust region. Almost nothing
        # would be left for the policy.
        std = measure_std(value_loss, self.vf_coef)
        policy = self._compute_objective(batch, parts)
        self.logger.record("train/value_loss", value_loss.item())
        return Objective(
            policy.loss + value_loss / (2 * std**2),
            policy.log_likelihood + sample_value_log_prob(parts[0].values, std),
            policy.metric + [pair for part in parts for pair in compute_value_metric(part.values, std)],
        )

    def _fit_critic(self) -> None:
        """Fit a separate critic to the returns, in minibatches."""
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
            expected = f"a finite number of at least 0 from its schedule, also after {self.num_timesteps} steps"
            raise InvalidArgumentError(name, value, expected)
        return value

    def learn(
        self: SelfACKTR,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "ACKTR",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfACKTR:
        """Learn for a number of environment steps; see stable-baselines3's ``BaseAlgorithm.learn``."""
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
            raise InvalidArgumentError("critic", changes["critic"], f"{data['critic']!r}, as in the file")

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        return state_dicts + ([] if self.shares_layers else ["critic_optimizer"]), variables


def _read_number_or_schedule(name: str, value: Any) -> Any:
    """Return a positive number, or a schedule that starts with one."""
    expected = "a finite positive number, or a schedule that starts with one"
    start = read_number(name, value(1.0) if callable(value) else value, expected, lambda x: x > 0)
    return value if callable(value) else start
