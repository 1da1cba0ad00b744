"""The trust region: how long a step along a direction may be, so that the distribution moves by a given divergence."""

from collections.abc import Sequence
from typing import NamedTuple

import torch as th

from gym_gazebo2.algos.kfac import KFAC
from gym_gazebo2.algos.policy_fisher import Metric


class Step(NamedTuple):
    """A step that was taken."""

    direction: list[th.Tensor]
    """Δ, one tensor for each parameter of the optimizer."""
    size: float
    """η, without unit; the parameters moved by −η Δ."""
    predicted_kl: float
    """½ η² ΔᵀFΔ [nat]."""


def take_natural_step(
    kfac: KFAC, log_likelihood: th.Tensor, loss: th.Tensor, metric: Metric, target_kl: float, max_step_size: float
) -> Step:
    """Move down the loss, along its natural gradient, as far as the trust region lets.

    Args:
        kfac: Optimizer that captured the pass from which everything else was computed.
        log_likelihood: Log-likelihood (n,) of outcomes drawn from the model.
        loss: Scalar to descend.
        metric: Outputs of the model, in which its Fisher matrix is diagonal.
        target_kl: δ [nat].
        max_step_size: η_max.

    Returns:
        The step; no gradient is left.
    """
    kfac.update_curvature(log_likelihood)
    kfac.zero_grad()
    th.autograd.backward(loss, retain_graph=True)
    direction = kfac.compute_direction()
    kfac.zero_grad()
    quadratic_form = compute_quadratic_form(metric, kfac.params, direction)
    size = compute_step_size(quadratic_form, target_kl, max_step_size)
    kfac.move(direction, size)
    return Step(direction, size, 0.5 * size**2 * quadratic_form)


def compute_step_size(quadratic_form: float, target_kl: float, max_step_size: float) -> float:
    """Compute η = min(η_max, √(2δ / ΔᵀFΔ)) (Wu et al., arXiv:1708.05144, section 3.2).

    Args:
        quadratic_form: ΔᵀFΔ.
        target_kl: δ [nat].
        max_step_size: η_max.

    Returns:
        η; zero where the direction moves no output, so that even an unbounded step would be in vain.

    Raises:
        FloatingPointError: If the quadratic form is not finite.
    """
    if not 0 <= quadratic_form < float("inf"):
        raise FloatingPointError(f"Expected a finite, non-negative quadratic form ΔᵀFΔ, got {quadratic_form}.")
    return 0.0 if quadratic_form == 0 else min(max_step_size, (2 * target_kl / quadratic_form) ** 0.5)


def compute_quadratic_form(metric: Metric, parameters: Sequence[th.Tensor], direction: Sequence[th.Tensor]) -> float:
    """Compute ΔᵀFΔ with the exact Fisher matrix on the batch, from one Jacobian-vector product.

    Args:
        metric: Outputs that carry a graph, with their weights.
        parameters: Leaves of that graph.
        direction: Δ, one tensor a parameter.

    Returns:
        The mean over the batch.
    """
    changes = compute_jacobian_product([outputs for outputs, _ in metric], parameters, direction)
    terms = [(weights * change**2).sum() for (_, weights), change in zip(metric, changes, strict=True)]
    return th.stack(terms).sum().item() / len(metric[0][0])


def compute_jacobian_product(
    outputs: Sequence[th.Tensor], parameters: Sequence[th.Tensor], direction: Sequence[th.Tensor]
) -> tuple[th.Tensor, ...]:
    """Compute J Δ on the graph at hand: Jᵀu is linear in u, and the derivative of u ↦ (Jᵀu)·Δ is J Δ."""
    vectors = [th.zeros_like(output, requires_grad=True) for output in outputs]
    products = th.autograd.grad(outputs, parameters, vectors, create_graph=True)
    return th.autograd.grad(products, vectors, direction)
