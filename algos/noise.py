"""Action noise that remembers, and goes on after an interruption."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise

__all__ = ["OrnsteinUhlenbeckNoise"]


class OrnsteinUhlenbeckNoise(OrnsteinUhlenbeckActionNoise):
    """Ornstein-Uhlenbeck noise whose restored state outlives the reset with which every ``learn`` begins."""

    is_restored = False

    def restore(self, noise: NDArray[np.float64]) -> None:
        """Go on from the noise (d,) of the last step."""
        self.noise_prev, self.is_restored = noise, True

    def reset(self) -> None:
        """Begin anew, as at the end of an episode."""
        if not self.is_restored:
            super().reset()
        self.is_restored = False
