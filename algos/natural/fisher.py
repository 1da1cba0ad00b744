"""Actor and critic as distributions: outcomes drawn from them, their exact Fisher matrices, their divergence."""

import torch as th
from stable_baselines3.common.distributions import Distribution, kl_divergence
from torch.distributions import Bernoulli, Categorical, Normal

from gym_gazebo2.errors import InvalidArgumentError

Metric = list[tuple[th.Tensor, th.Tensor]]
"""Pairs of outputs and weights, both (n, ...): a change du of the outputs has the squared Fisher norm Σ weight du²."""

LOG_STD_FISHER = 2.0
"""Fisher information of a Gaussian's log standard deviation, whatever its mean and deviation."""


def sample_log_prob(distribution: Distribution) -> th.Tensor:
    """Give the log-likelihood (n,) of actions drawn from the policy itself: those of the batch give another matrix."""
    return distribution.log_prob(distribution.sample().detach())


def sample_value_log_prob(values: th.Tensor, std: float) -> th.Tensor:
    """Give the log-likelihood (n,), up to a constant, of targets drawn around the values (n,) with deviation `std`."""
    targets = values.detach() + std * th.randn_like(values)
    return -0.5 * ((values - targets) / std) ** 2


def compute_policy_metric(distribution: Distribution) -> Metric:
    """Give the outputs of a policy in which its Fisher matrix is diagonal.

    Args:
        distribution: Gaussian, categorical, multi-categorical or Bernoulli, over a batch of n observations.

    Returns:
        Mean and deviation with 1/σ² and 2/σ², log-probabilities with p, logits with p (1 − p).

    Raises:
        InvalidArgumentError: If the family is another one.
    """
    inner = distribution.distribution
    families = inner if isinstance(inner, list) else [inner]
    return [pair for family in families for pair in _compute_family_metric(family)]


def _compute_family_metric(family: th.distributions.Distribution) -> Metric:
    if isinstance(family, Normal):
        precision = family.scale.detach() ** -2
        return [(family.loc, precision), (family.scale, 2 * precision)]
    if isinstance(family, Categorical):
        return [(family.logits, family.probs.detach())]
    if isinstance(family, Bernoulli):
        return [(family.logits, (family.probs * (1 - family.probs)).detach())]
    raise InvalidArgumentError("distribution", type(family).__name__, "Normal, Categorical or Bernoulli")


def compute_value_metric(values: th.Tensor, std: float) -> Metric:
    """Give the Gauss-Newton metric of values (n,), read as means of Gaussians with deviation `std`."""
    return [(values, th.full_like(values, std**-2))]


def compute_kl(old: Distribution, new: Distribution, n: int) -> th.Tensor:
    """Compute KL(old ‖ new) [nat] of each of n observations, (n,), summed over the dimensions of an action."""
    return kl_divergence(old, new).reshape(n, -1).sum(dim=1)
