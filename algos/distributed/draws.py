"""Random actions of a shard. They equal the actions that the same arms would get if one process stepped all arms.

A policy draws one block of random numbers for all arms. If every shard drew a block of its own, the actions would depend on the
number of shards. So each shard draws the block for *all* arms from the learner's random state, which costs microseconds, and
uses the rows of its own arms. Every shard then ends with the same random state, that of plain training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch as th
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
    MultiCategoricalDistribution,
    StateDependentNoiseDistribution,
)

from gym_gazebo2.errors import UnsupportedError

__all__ = ["ArmRows"]


class ArmRows:
    """The rows of a shard's arms among those of all arms.

    Attributes:
        first: Index of the shard's first arm; set before each rollout.
        size: Arms of the shard.
        total: All arms.
    """

    def __init__(self, size: int, total: int) -> None:
        """Begin with the first shard.

        Args:
            size: Arms of the shard.
            total: All arms.
        """
        self.first, self.size, self.total = 0, size, total

    def select(self, block: th.Tensor) -> th.Tensor:
        """Return the shard's rows of a block (total, …)."""
        return block[self.first : self.first + self.size]

    def embed(self, rows: th.Tensor, filler: float) -> th.Tensor:
        """Return a block (total, …) with the shard's rows in their place."""
        block = th.full((self.total, *rows.shape[1:]), filler, dtype=rows.dtype)
        block[self.first : self.first + self.size] = rows
        return block

    def install(self, distribution: Distribution) -> None:
        """Let a policy's distribution draw for all arms, and return the shard's rows. One shard of all arms needs nothing.

        Raises:
            UnsupportedError: It is not known how this kind of distribution draws.
        """
        if self.size == self.total:
            return
        if isinstance(distribution, StateDependentNoiseDistribution):
            self._install_noise_matrices(distribution)
            return
        sample = SAMPLERS.get(type(distribution))
        if sample is None:
            name = type(distribution).__name__
            raise UnsupportedError(f"Cannot split a policy with the distribution {name} over shards. Use --shards 1.")
        distribution.sample = lambda: sample(distribution.distribution, self)

    def _install_noise_matrices(self, distribution: Any) -> None:
        """Split state-dependent exploration (gSDE): its random numbers are one matrix per arm, drawn at intervals."""
        draw = distribution.sample_weights

        def sample_weights(log_std: th.Tensor, batch_size: int = 1) -> None:
            draw(log_std, batch_size=self.total)
            distribution.exploration_matrices = self.select(distribution.exploration_matrices)
            if self.size == 1:  # a batch of one row takes this matrix instead, which is the same for all arms
                distribution.exploration_mat = distribution.exploration_matrices[0]

        distribution.sample_weights = sample_weights


def _draw_gaussian(normal: th.distributions.Normal, rows: ArmRows) -> th.Tensor:
    """Return loc + ε · scale as ``Normal.rsample`` does, with ε (total, d) drawn in one block."""
    shape = (rows.total, *normal.loc.shape[1:])
    return normal.loc + rows.select(th.normal(th.zeros(shape), th.ones(shape))) * normal.scale


def _draw_category(categories: th.distributions.Categorical, rows: ArmRows) -> th.Tensor:
    """Return choices (n,). One exponential number per arm and choice is drawn, whatever the probabilities are."""
    return rows.select(th.multinomial(rows.embed(categories.probs, 1.0), 1, True).squeeze(-1))


def _draw_categories(parts: list[th.distributions.Categorical], rows: ArmRows) -> th.Tensor:
    return th.stack([_draw_category(part, rows) for part in parts], dim=1)


def _draw_bits(bits: th.distributions.Bernoulli, rows: ArmRows) -> th.Tensor:
    return rows.select(th.bernoulli(rows.embed(bits.probs, 0.5)))


SAMPLERS: dict[type[Distribution], Callable[[Any, ArmRows], th.Tensor]] = {
    DiagGaussianDistribution: _draw_gaussian,
    CategoricalDistribution: _draw_category,
    MultiCategoricalDistribution: _draw_categories,
    BernoulliDistribution: _draw_bits,
}
"""Kind of a policy's distribution → function that draws the shard's actions from its torch distribution."""
