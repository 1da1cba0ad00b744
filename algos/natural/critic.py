"""One step of a critic that shares no layer with the actor: by gradient, or by K-FAC inside a trust region."""

import math

import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch.nn import functional as F

from gym_gazebo2.algos.natural.fisher import compute_value_metric, sample_value_log_prob
from gym_gazebo2.algos.natural.kfac import KFAC
from gym_gazebo2.algos.natural.trust_region import take_natural_step

MIN_STD = 1e-6
"""Least deviation of p(v | s), for a critic whose every prediction is right."""


def measure_std(value_loss: th.Tensor, weight: float = 0.5) -> float:
    """Measure the deviation of p(v | s) by the residuals, where the paper sets one.

    The region then means the same whatever the scale of the rewards; the damping does not.

    Args:
        value_loss: Mean squared error.
        weight: Weight of the squared error over its mean; a half makes the deviation that of the residuals.

    Returns:
        The deviation, in the unit of the rewards.
    """
    return max(math.sqrt(value_loss.item() / (2 * weight)), MIN_STD)


def fit_by_gradient(policy: ActorCriticPolicy, optimizer: th.optim.Optimizer, batch: RolloutBufferSamples) -> float:
    """Take one step of a first-order optimizer on the mean squared error.

    Args:
        policy: Policy that holds the critic.
        optimizer: Optimizer of the critic's parameters.
        batch: Observations and returns (n,).

    Returns:
        The mean squared error before the step.
    """
    value_loss = F.mse_loss(policy.predict_values(batch.observations).flatten(), batch.returns)
    optimizer.zero_grad()
    th.autograd.backward(value_loss)
    optimizer.step()
    optimizer.zero_grad()
    return value_loss.item()


def fit_by_kfac(policy: ActorCriticPolicy, kfac: KFAC, batch: RolloutBufferSamples, target_kl: float) -> float:
    """Take one Gauss-Newton step, its targets sampled around the predictions (arXiv:1708.05144, section 3.1).

    Args:
        policy: Policy that holds the critic.
        kfac: Optimizer of the critic's parameters.
        batch: Observations and returns (n,).
        target_kl: Trust region of the step [nat]: values move by √(2 target_kl) deviations, in root mean square.

    Returns:
        The mean squared error before the step.
    """
    with kfac.capture():
        values = policy.predict_values(batch.observations).flatten()
    value_loss = F.mse_loss(values, batch.returns)
    std = measure_std(value_loss)
    loss, log_likelihood = value_loss / (2 * std**2), sample_value_log_prob(values, std)
    metric = compute_value_metric(values, std)
    take_natural_step(kfac, log_likelihood, loss, metric, len(values), target_kl, max_step_size=math.inf)
    return value_loss.item()
