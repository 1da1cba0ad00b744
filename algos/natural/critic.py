"""One step of a critic that shares no layer with the actor: by gradient, or by K-FAC inside a trust region."""

from __future__ import annotations

import math

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch.nn import functional as F

from gym_gazebo2.algos.natural.fisher import compute_value_metric, sample_value_log_prob
from gym_gazebo2.algos.natural.kfac import KFAC
from gym_gazebo2.algos.natural.trust_region import compute_natural_direction, compute_step_size

__all__ = ["MIN_STD", "fit_by_gradient", "fit_by_kfac", "measure_std"]

MIN_STD = 1e-6
"""Smallest deviation of p(v | s) [reward], so that a critic without any error does not divide by zero."""


def measure_std(value_loss: torch.Tensor, weight: float = 0.5) -> float:
    """Measure the deviation σ of p(v | s) from the residuals of the values: σ² = mean squared error / (2 weight).

    The paper sets σ = 1. Here σ is measured, so the trust region means the same for rewards of any scale. The damping does
    not: it is a constant, made for values around one.

    Args:
        value_loss: Mean squared error of the values.
        weight: Weight of the values in the loss, ``vf_coef`` of ACKTR; 0.5 makes σ the deviation of the residuals.

    Returns:
        σ, in the unit of the rewards.
    """
    return max(math.sqrt(value_loss.item() / (2 * weight)), MIN_STD)


def fit_by_gradient(policy: ActorCriticPolicy, optimizer: torch.optim.Optimizer, batch: RolloutBufferSamples) -> float:
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
    torch.autograd.backward(value_loss)
    optimizer.step()
    optimizer.zero_grad()  # leave no gradient on the policy, which would be copied and pickled with it
    return value_loss.item()


def fit_by_kfac(policy: ActorCriticPolicy, kfac: KFAC, batch: RolloutBufferSamples, target_kl: float) -> float:
    """Take one Gauss-Newton step, with targets sampled around the predictions (Wu et al., arXiv:1708.05144, section 3.1).

    Args:
        policy: Policy that holds the critic.
        kfac: Optimizer of the critic's parameters.
        batch: Observations and returns (n,).
        target_kl: Trust region of the step [nat]: values change by √(2 target_kl) σ, in root mean square.

    Returns:
        The mean squared error before the step.
    """
    with kfac.capture():
        values = policy.predict_values(batch.observations).flatten()
    value_loss = F.mse_loss(values, batch.returns)
    std = measure_std(value_loss)
    loss = value_loss / (2 * std**2)  # −E[log p(return | s)], up to a constant
    kfac.update_curvature(sample_value_log_prob(values, std))
    direction, quadratic_form = compute_natural_direction(kfac, loss, compute_value_metric(values, std), len(values))
    # Unlike the actor's, this step is not measured and halved: the next minibatch corrects a critic that moved too far,
    # whereas a policy that moved too far collects the next batch.
    kfac.move(direction, compute_step_size(quadratic_form, target_kl, max_step_size=math.inf))
    return value_loss.item()
