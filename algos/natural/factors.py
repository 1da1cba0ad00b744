"""The curvature A ⊗ G of one block: its factors on a batch, their running averages, and the damped inverse.

The state of a block is a plain dictionary of tensors and numbers, so that torch's optimizers can save and load it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from gym_gazebo2.algos.natural.layers import LinearBlock
from gym_gazebo2.errors import UsageError

__all__ = [
    "EIGENVALUE_SHIFT",
    "SAMPLES_PER_WIDTH",
    "WIDE",
    "WIDE_INTERVAL",
    "choose_decay",
    "choose_interval",
    "compute_factors",
    "compute_second_moment",
    "decompose",
    "solve",
    "update_average",
]

SAMPLES_PER_WIDTH = 4.0
"""Samples that an automatic decay keeps in a factor, as a multiple of the factor's width."""

WIDE, WIDE_INTERVAL = 1024, 10
"""Width from which an automatic interval decomposes a factor at every tenth update only.

An eigendecomposition takes 0.17 ms at a width of 64, and 4.4 s at the 3137 of the convolutional policy's last layer.
"""

EIGENVALUE_SHIFT = 1e-6
"""Shift of the eigenvalues during decomposition, as a multiple of their mean."""


def compute_factors(
    block: LinearBlock, inputs: torch.Tensor, gradients: Sequence[torch.Tensor | None]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute A = E[Σₜ a aᵀ] and G = E[Σₜ g gᵀ] / t of one pass, with expectations over its n samples.

    With one position (t = 1) these are the factors of Martens and Grosse (arXiv:1503.05671, section 3), with several those of
    a convolution (Grosse and Martens, arXiv:1602.01407).

    Args:
        block: The layer's view of its tensors.
        inputs: Inputs (n, ...) of the layer.
        gradients: For each log-likelihood, its gradients (n, ...) with respect to the layer's outputs, or None.

    Returns:
        A (d_in, d_in) and G (d_out, d_out), the latter summed over the log-likelihoods.

    Raises:
        UsageError: No log-likelihood depends on the layer.
        FloatingPointError: A factor is not finite.
    """
    present = [block.expand_gradients(inputs, gradient) for gradient in gradients if gradient is not None]
    if not present:
        raise UsageError(
            f"No log-likelihood depends on {block.layer}. Leave its parameters out, or use its output in the model."
        )
    # Rows of several log-likelihoods are stacked, but G divides by the n of the inputs: so their contributions add up.
    a, g = block.expand_inputs(inputs), present[0] if len(present) == 1 else torch.cat(present)
    factors = compute_second_moment(a).div_(len(a)), compute_second_moment(g).div_(len(a) * a.shape[1])
    for name, factor in zip(("inputs", "output gradients"), factors, strict=True):
        # The sum of a matrix is not finite if any entry is not, and reads one number instead of d².
        if not math.isfinite(factor.sum().item()):
            raise FloatingPointError(f"The {name} of {block.layer} contain NaN or infinity.")
    return factors


def compute_second_moment(rows: torch.Tensor) -> torch.Tensor:
    """Compute the sum of x xᵀ (d, d) over rows x (n, t, d)."""
    flat = rows.flatten(0, 1)
    return flat.T @ flat


def choose_decay(decay: float | None, samples: int, width: int) -> float:
    """Return the decay of one factor: the given one, or the smallest that averages enough samples.

    A running average with decay d holds about samples / (1 − d) samples. Old samples cost more than they help: with the
    customary 0.99 and a momentum of 0.9, ACKTR came to 532 on Walker2d after 1 M steps, and to 3193 with 0 and 0.
    """
    return max(0.0, 1.0 - samples / (SAMPLES_PER_WIDTH * width)) if decay is None else decay


def choose_interval(interval: int | None, width: int) -> int:
    """Return the updates between two decompositions of one factor: the given number, or 1, and 10 for wide factors."""
    if interval is not None:
        return interval
    return WIDE_INTERVAL if width >= WIDE else 1


def update_average(
    state: dict[str, Any], a: torch.Tensor, g: torch.Tensor, samples: int, decay: float | None, interval: int | None
) -> None:
    """Average one batch's factors into the state, and decompose them when the interval is over.

    Args:
        state: State of the block, changed in place.
        a: A (d_in, d_in) of the batch.
        g: G (d_out, d_out) of the batch.
        samples: Size of the batch.
        decay: Weight of the past; None chooses it by the width of the factor.
        interval: Updates between two decompositions; None chooses it by the width of the factor.
    """
    updates = state.get("updates", 0)
    state["updates"] = updates + 1
    for name, factor in (("input", a), ("output", g)):
        past = choose_decay(decay, samples, len(factor))
        # The average starts at zero. Dividing it by the weight corrects that; for a constant decay the weight is 1 − decay^t.
        state[f"{name}_weight"] = past * state.get(f"{name}_weight", 0.0) + (1 - past)
        state[f"{name}_factor"] = past * state.get(f"{name}_factor", 0.0) + (1 - past) * factor if past else factor
        # Averages change at every update, decompositions at every interval-th, the first included.
        if updates % choose_interval(interval, len(factor)) == 0:
            average = state[f"{name}_factor"] / state[f"{name}_weight"]
            state[f"{name}_eigenvalues"], state[f"{name}_eigenvectors"] = decompose(average)


def decompose(factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute eigenvalues (d,), none negative, and eigenvectors (d, d) of a factor (d, d).

    The factor is scaled to a mean eigenvalue of 1 and shifted by a small multiple of the identity; both leave the
    eigenvectors as they are. Without them LAPACK fails to converge in single precision on one in twenty of the factors with
    denormal numbers that saturated units leave.
    """
    scale = max(factor.diagonal().mean().item(), torch.finfo(factor.dtype).tiny)  # not zero, where every unit is dead
    scaled = factor / scale
    scaled.diagonal().add_(EIGENVALUE_SHIFT)
    values, vectors = torch.linalg.eigh(scaled)
    # Rounding leaves eigenvalues slightly below zero, which with a small damping would turn the direction around.
    return values.sub_(EIGENVALUE_SHIFT).clamp_(min=0).mul_(scale), vectors


def solve(state: dict[str, Any], gradient: torch.Tensor, damping: float) -> torch.Tensor:
    """Compute (A ⊗ G + λI)⁻¹ g in the eigenbasis of the factors.

    With A = Qa Λa Qaᵀ and G = Qg Λg Qgᵀ it is Qg [(Qgᵀ g Qa) / (λg λaᵀ + λ)] Qaᵀ: λ is added to the eigenvalues of the
    product, exactly. Adding a damping to A and G each, as Cholesky inverses need it, only approximates that.

    Args:
        state: State of the block.
        gradient: g (d_out, d_in).
        damping: λ.

    Returns:
        The solution (d_out, d_in).

    Raises:
        UsageError: The state holds no curvature yet.
    """
    if "updates" not in state:
        raise UsageError("K-FAC has no curvature yet. Call update_curvature() before the first direction.")
    q_a, q_g = state["input_eigenvectors"], state["output_eigenvectors"]
    eigenvalues = torch.outer(state["output_eigenvalues"], state["input_eigenvalues"])
    scaled = q_g.T @ gradient @ q_a / (eigenvalues + damping)
    solution: torch.Tensor = q_g @ scaled @ q_a.T
    return solution
