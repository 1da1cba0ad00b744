"""Running moments of ``VecNormalize`` over several shards, merged as if one process had seen all samples.

Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances": two sets of
(count, mean, variance) merge exactly, up to rounding (5e-15 measured). The merge happens in the order of the shards, so the
result depends on their number, and never on which worker was first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from gym_gazebo2.algos.vec_env import get_observation_moments

__all__ = ["Moments", "get_moments", "get_own_moments", "merge_moments", "set_moments", "track_moments"]

Moments = Mapping[str, tuple[np.ndarray, np.ndarray, float]]
"""Name → mean, variance and count. Plain numbers, as they travel between machines."""

RETURN = "return"
"""Name of the moments of the discounted returns; the others are named "observation." and their key, if any."""


class TrackedMoments(RunningMeanStd):
    """Running moments that also keep the moments of new samples separately.

    The moments of the new samples could be computed as the difference of the moments after and before. But that loses digits,
    for example with a million samples before and a few thousand new ones.

    Attributes:
        own: Moments of the samples since this was made.
    """

    def __init__(self, start: RunningMeanStd) -> None:
        """Continue from moments.

        Args:
            start: The moments so far; not changed.
        """
        self.mean, self.var, self.count = start.mean, start.var, start.count
        self.own = RunningMeanStd(epsilon=0.0, shape=np.shape(start.mean))

    def update_from_moments(self, batch_mean: np.ndarray, batch_var: np.ndarray, batch_count: float) -> None:
        """Add the samples of a batch, given by their moments."""
        self.own.update_from_moments(batch_mean, batch_var, batch_count)
        super().update_from_moments(batch_mean, batch_var, batch_count)


def track_moments(normalizer: VecNormalize) -> None:
    """From now on, let a ``VecNormalize`` also keep the moments of new samples separately."""
    normalizer.ret_rms = TrackedMoments(normalizer.ret_rms)
    tracked = {key: TrackedMoments(value) for key, value in get_observation_moments(normalizer).items()}
    if tracked:
        normalizer.obs_rms = tracked[""] if set(tracked) == {""} else tracked


def get_moments(normalizer: VecNormalize | None) -> Moments:
    """Return the moments of a ``VecNormalize``; empty without one."""
    return {name: _read(rms) for name, rms in _list(normalizer).items()}


def get_own_moments(normalizer: VecNormalize | None) -> Moments:
    """Return the moments since ``track_moments``; empty without a ``VecNormalize``."""
    return {name: _read(rms.own) for name, rms in _list(normalizer).items()}


def set_moments(normalizer: VecNormalize | None, moments: Moments) -> None:
    """Set the moments of a ``VecNormalize`` to the result of ``get_moments``."""
    for name, rms in _list(normalizer).items():
        rms.mean, rms.var, rms.count = moments[name]


def merge_moments(normalizer: VecNormalize | None, first: Moments, others: Sequence[Moments]) -> None:
    """Set the moments of a ``VecNormalize`` to those of several shards.

    Args:
        normalizer: The learner's.
        first: The final moments of shard 0, which began with the learner's. With one shard they are the result, to the bit.
        others: The own moments of the other shards, in their order.
    """
    set_moments(normalizer, first)
    for own in others:
        for name, rms in _list(normalizer).items():
            if own[name][2] > 0.0:  # else there is no mean to merge
                rms.update_from_moments(*own[name])


def _list(normalizer: VecNormalize | None) -> dict[str, RunningMeanStd]:
    """Return the parts of a ``VecNormalize`` by name."""
    if normalizer is None:
        return {}
    observations = {f"observation.{key}": value for key, value in get_observation_moments(normalizer).items()}
    return {RETURN: normalizer.ret_rms, **observations}


def _read(rms: RunningMeanStd) -> tuple[np.ndarray, np.ndarray, float]:
    return np.array(rms.mean), np.array(rms.var), float(rms.count)
