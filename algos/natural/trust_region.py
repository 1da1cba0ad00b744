"""The trust region: how long a step along a direction may be, so that the distribution moves by a given divergence."""

from collections.abc import Sequence
from typing import NamedTuple

import torch as th

from gym_gazebo2.algos.natural.fisher import Metric
from gym_gazebo2.algos.natural.kfac import KFAC


class Step(NamedTuple):
    """A step that was taken."""

    direction: list[th.Tensor]
    """Δ, one tensor for each parameter of the optimizer."""
    size: float
    """η, without unit; the parameters moved by −η Δ."""
    predicted_kl: float
    """½ η² ΔᵀFΔ [nat]."""


def take_natural_step(
    kfac: KFAC, log_likelihood: th.Tensor, loss: th.Tensor, metric: Metric, rows: int, target_kl: float, max_step_size: float
) -> Step:
    """Move down the loss, along its natural gradient, as far as the trust region lets.

    Args:
        kfac: Optimizer that captured the pass from which the log-likelihood was computed.
        log_likelihood: Log-likelihood (m,) of outcomes drawn from the model.
        loss: Scalar to descend; it depends on the parameters through the metric's outputs only.
        metric: Outputs of the model, in which its Fisher matrix is diagonal; those of a batch in parts stand one after another.
        rows: Size n of the batch.
        target_kl: δ [nat].
        max_step_size: η_max.

    Returns:
        The step; no gradient is left.
    """
    kfac.update_curvature(log_likelihood)
    outputs, weights = zip(*metric, strict=True)
    pullback = Pullback(outputs, kfac.params, th.autograd.grad(loss, outputs, retain_graph=True))
    direction = kfac.compute_direction(pullback.gradients)
    quadratic_form = compute_squared_norm(pullback.push(direction), weights, rows)
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


class Pullback:
    """The Jacobian J of outputs with respect to parameters, used twice at little more than the cost of one backward pass.

    Jᵀu is linear in u, so that the derivative of u ↦ (Jᵀu)·Δ is J Δ: the pass that pulls the gradient of a loss back to the
    parameters leaves the graph that pushes a direction forward to the outputs.
    """

    def __init__(self, outputs: Sequence[th.Tensor], parameters: Sequence[th.Tensor], cotangents: Sequence[th.Tensor]) -> None:
        """Pull back.

        Args:
            outputs: Outputs that carry a graph.
            parameters: Leaves of that graph.
            cotangents: u, one tensor shaped like each output.
        """
        self._cotangents = [cotangent.detach().requires_grad_() for cotangent in cotangents]
        self._gradients = th.autograd.grad(outputs, parameters, self._cotangents, create_graph=True)
        self.gradients = [gradient.detach() for gradient in self._gradients]
        """Jᵀu, one tensor a parameter."""

    def push(self, direction: Sequence[th.Tensor]) -> tuple[th.Tensor, ...]:
        """Compute J Δ, one tensor an output; once, as it frees the graph."""
        return th.autograd.grad(self._gradients, self._cotangents, direction)


def compute_quadratic_form(metric: Metric, parameters: Sequence[th.Tensor], direction: Sequence[th.Tensor]) -> float:
    """Compute ΔᵀFΔ with the exact Fisher matrix on the batch.

    Args:
        metric: Outputs that carry a graph, with their weights.
        parameters: Leaves of that graph.
        direction: Δ, one tensor a parameter.

    Returns:
        The mean over the batch.
    """
    outputs, weights = zip(*metric, strict=True)
    pullback = Pullback(outputs, parameters, [th.zeros_like(output) for output in outputs])
    return compute_squared_norm(pullback.push(direction), weights, len(outputs[0]))


def compute_squared_norm(changes: Sequence[th.Tensor], weights: Sequence[th.Tensor], rows: int) -> float:
    """Compute Σ weight du² of changes du of the outputs (n, ...), in the mean over the batch that they are parts of."""
    terms = [th.dot((weight * change).flatten(), change.flatten()) for weight, change in zip(weights, changes, strict=True)]
    return th.stack(terms).sum().item() / rows
