"""Actor and critic as distributions: outcomes sampled from them, their exact Fisher matrices, their divergence."""

from __future__ import annotations

import torch
from stable_baselines3.common.distributions import Distribution, kl_divergence
from torch.distributions import Bernoulli, Categorical, Normal

from gym_gazebo2.errors import InvalidArgumentError

__all__ = [
    "LOG_STD_FISHER",
    "Metric",
    "compute_kl",
    "compute_policy_metric",
    "compute_value_metric",
    "sample_log_prob",
    "sample_value_log_prob",
]

Metric = list[tuple[torch.Tensor, torch.Tensor]]
"""Pairs of outputs and weights, both (n, ...): a change du of the outputs has the squared Fisher norm Σ weight du²."""

LOG_STD_FISHER = 2.0
"""Fisher information of a Gaussian's log standard deviation: E[(z² − 1)²] = 2, for any mean and deviation."""


def sample_log_prob(distribution: Distribution) -> torch.Tensor:
    """Return the log-likelihood (n,) of actions sampled from the policy.

    The actions of the batch would give the empirical Fisher matrix, which is another matrix: it is right only for actions
    drawn from this very policy, so at most for the first of several steps on a batch.
    """
    # Without detach(), SB3's reparametrised sample μ + σε would cancel the gradient with respect to μ.
    return distribution.log_prob(distribution.sample().detach())


def sample_value_log_prob(values: torch.Tensor, std: float) -> torch.Tensor:
    """Return the log-likelihood (n,), up to a constant, of targets sampled around the values (n,) with deviation ``std``."""
    targets = values.detach() + std * torch.randn_like(values)
    return -0.5 * ((values - targets) / std) ** 2


def compute_policy_metric(distribution: Distribution) -> Metric:
    """Return the outputs of a policy in which its Fisher matrix is diagonal, with the diagonal.

    Args:
        distribution: Gaussian, categorical, multi-categorical or Bernoulli distribution over a batch of n observations.

    Returns:
        Mean and deviation with 1/σ² and 2/σ², log-probabilities with p, logits with p (1 − p).

    Raises:
        InvalidArgumentError: The distribution is of another family.
    """
    inner = distribution.distribution
    families = inner if isinstance(inner, list) else [inner]  # SB3's MultiCategorical holds a list of Categorical
    return [pair for family in families for pair in _compute_family_metric(family)]


def _compute_family_metric(family: torch.distributions.Distribution) -> Metric:
    # Weights are constants at the current parameters, so they are detached. Otherwise autograd would also differentiate
    # them when ``trust_region.Pullback.push`` computes J Δ.
    if isinstance(family, Normal):
        precision = family.scale.detach() ** -2
        return [(family.loc, precision), (family.scale, 2 * precision)]
    if isinstance(family, Categorical):
        # Torch normalises these logits to log p. For them Σ p d(log p)² equals the Fisher norm dzᵀ(diag p − ppᵀ)dz in raw
        # logits z, as Σ p d(log p) = 0.
        return [(family.logits, family.probs.detach())]
    if isinstance(family, Bernoulli):
        return [(family.logits, (family.probs * (1 - family.probs)).detach())]
    raise InvalidArgumentError("distribution", type(family).__name__, "Normal, Categorical or Bernoulli")


def compute_value_metric(values: torch.Tensor, std: float) -> Metric:
    """Return the Gauss-Newton metric of values (n,), read as means of Gaussians with deviation ``std``."""
    return [(values, torch.full_like(values, std**-2))]


def compute_kl(old: Distribution, new: Distribution, n: int) -> torch.Tensor:
    """Compute KL(old ‖ new) [nat] of each of n observations, (n,), summed over the dimensions of an action."""
    return kl_divergence(old, new).reshape(n, -1).sum(dim=1)
