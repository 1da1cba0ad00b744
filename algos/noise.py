"""Action noise with memory that continues when a training is resumed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise

__all__ = ["OrnsteinUhlenbeckNoise"]


class OrnsteinUhlenbeckNoise(OrnsteinUhlenbeckActionNoise):
    """Ornstein-Uhlenbeck noise whose restored state survives one reset.

    stable-baselines3's ``learn`` resets the noise at its start. After ``restore``, that first reset does nothing, so that a
    resumed training continues with the noise of its last step.
    """

    is_restored = False

    def restore(self, noise: NDArray[np.float64]) -> None:
        """Continue from the noise (d,) of the last step."""
        self.noise_prev, self.is_restored = noise, True

    def reset(self) -> None:
        """Start again from the initial noise, as at the end of an episode."""
        if not self.is_restored:
            super().reset()
        self.is_restored = False
