"""Gaussian noise on observations, as a pure function of a seed and a number of steps.

So an observation that is computed again has the same noise, for example after another arm's reset or from a restored state.
The state to save is two numbers per arm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ObservationNoise"]

BLOCK = 16
"""Steps whose noise is drawn at once: making a generator takes longer than drawing 16 steps."""


class ObservationNoise:
    """Standard normal noise for n arms. What it keeps between calls is a cache, and never changes a result."""

    def __init__(self, num_envs: int, size: int) -> None:
        """Make an empty cache.

        Args:
            num_envs: Number of arms n.
            size: Number of components.
        """
        self._values = np.zeros((num_envs, BLOCK, size), dtype=np.float32)
        self._seed = np.full(num_envs, -1, dtype=np.int64)
        self._block = np.full(num_envs, -1, dtype=np.int64)

    def compute(self, seed: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return noise (n, size) of standard deviation 1.

        Args:
            seed: (n,) seeds of the episodes.
            steps: (n,) steps since the reset.
        """
        block = steps // BLOCK
        for i in np.flatnonzero((seed != self._seed) | (block != self._block)).tolist():
            rng = np.random.default_rng((int(seed[i]), int(block[i])))
            rng.standard_normal(dtype=np.float32, out=self._values[i])
            self._seed[i], self._block[i] = seed[i], block[i]
        return self._values[np.arange(len(steps)), steps % BLOCK]
