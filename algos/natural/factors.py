"""The curvature A ⊗ G of one block: its factors on a batch, their running averages, and the damped inverse.

The state of a block is a plain dictionary of tensors and numbers, so that an optimizer can save it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch as th

from gym_gazebo2.algos.natural.layers import LinearBlock
from gym_gazebo2.errors import UsageError

SAMPLES_PER_WIDTH = 4.0
"""Samples that an automatic decay keeps in a factor, as a multiple of the factor's width."""

WIDE = 1024
"""Width from which a factor, left to an automatic interval, is decomposed at every tenth update only."""

WIDE_INTERVAL = 10

EIGENVALUE_SHIFT = 1e-6
"""Shift of the eigenvalues during decomposition, as a multiple of their mean."""


def compute_factors(
    block: LinearBlock, inputs: th.Tensor, gradients: Sequence[th.Tensor | None]
) -> tuple[th.Tensor, th.Tensor]:
    """Compute A = E[Σₜ a aᵀ] and G = E[Σₜ g gᵀ] / t of one pass, the expectations over its n samples.

    Args:
        block: The layer's view of its tensors.
        inputs: Inputs (n, ...) of the layer.
        gradients: For each log-likelihood, its gradients (n, ...) with respect to the layer's outputs, or None.

    Returns:
        A (d_in, d_in) and G (d_out, d_out), the latter summed over the log-likelihoods.

    Raises:
        UsageError: If no log-likelihood depends on the layer.
        FloatingPointError: If a factor is not finite.
    """
    present = [block.expand_gradients(inputs, gradient) for gradient in gradients if gradient is not None]
    if not present:
        raise UsageError(f"Expected a log-likelihood that depends on {block.layer}, got none that does.")
    a, g = block.expand_inputs(inputs), present[0] if len(present) == 1 else th.cat(present)
    factors = compute_second_moment(a).div_(len(a)), compute_second_moment(g).div_(len(a) * a.shape[1])
    for name, factor in zip(("inputs", "output gradients"), factors, strict=True):
        if not math.isfinite(factor.sum().item()):
            raise FloatingPointError(f"Expected finite {name} of {block.layer}, got NaN or infinity among them.")
    return factors


def compute_second_moment(rows: th.Tensor) -> th.Tensor:
    """Compute the sum of x xᵀ (d, d) over rows (n, t, d)."""
    flat = rows.flatten(0, 1)
    return flat.T @ flat


def choose_decay(decay: float | None, samples: int, width: int) -> float:
    """Give the decay of one factor: the one asked for, or the least that averages enough samples."""
    return max(0.0, 1.0 - samples / (SAMPLES_PER_WIDTH * width)) if decay is None else decay


def choose_interval(interval: int | None, width: int) -> int:
    """Give the updates between two decompositions of one factor: those asked for, or one where it is not wide."""
    if interval is not None:
        return interval
    return WIDE_INTERVAL if width >= WIDE else 1


def update_average(
    state: dict[str, Any], a: th.Tensor, g: th.Tensor, samples: int, decay: float | None, interval: int | None
) -> None:
    """Average one batch's factors into the state, and decompose them when their turn comes.

    Args:
        state: State of the block, changed in place.
        a: A (d_in, d_in) of the batch.
        g: G (d_out, d_out) of the batch.
        samples: Size of the batch.
        decay: Weight of the past, or None to choose it.
        interval: Updates between two decompositions, or None to choose it.
    """
    updates = state.get("updates", 0)
    state["updates"] = updates + 1
    for name, factor in (("input", a), ("output", g)):
        past = choose_decay(decay, samples, len(factor))
        # For a constant decay the weight is 1 − decay^t, which corrects the bias of an average that starts at zero.
        state[f"{name}_weight"] = past * state.get(f"{name}_weight", 0.0) + (1 - past)
        state[f"{name}_factor"] = past * state.get(f"{name}_factor", 0.0) + (1 - past) * factor if past else factor
        if updates % choose_interval(interval, len(factor)) == 0:
            average = state[f"{name}_factor"] / state[f"{name}_weight"]
            state[f"{name}_eigenvalues"], state[f"{name}_eigenvectors"] = decompose(average)


def decompose(factor: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
    """Compute eigenvalues (d,), none below zero, and eigenvectors (d, d) of a factor (d, d).

    The factor is scaled, and shifted by a small multiple of the identity, which changes no eigenvector: LAPACK fails in
    single precision on the denormal numbers that saturated units leave in a factor.
    """
    scale = max(factor.diagonal().mean().item(), th.finfo(factor.dtype).tiny)
    scaled = factor / scale
    scaled.diagonal().add_(EIGENVALUE_SHIFT)
    values, vectors = th.linalg.eigh(scaled)
    return values.sub_(EIGENVALUE_SHIFT).clamp_(min=0).mul_(scale), vectors


def solve(state: dict[str, Any], gradient: th.Tensor, damping: float) -> th.Tensor:
    """Compute (A ⊗ G + λI)⁻¹ g in the eigenbasis of the factors.

    Args:
        state: State of the block.
        gradient: g (d_out, d_in).
        damping: λ.

    Raises:
        UsageError: If the state holds no curvature yet.
    """
    if "updates" not in state:
        raise UsageError("Expected update_curvature() before the first direction, got no curvature yet.")
    q_a, q_g = state["input_eigenvectors"], state["output_eigenvectors"]
    eigenvalues = th.outer(state["output_eigenvalues"], state["input_eigenvalues"])
    scaled = q_g.T @ gradient @ q_a / (eigenvalues + damping)
    solution: th.Tensor = q_g @ scaled @ q_a.T
    return solution
