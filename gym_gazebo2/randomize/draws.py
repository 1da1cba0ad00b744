"""The draws of the current episodes of n arms, and what they do to actions and observations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.randomize.members import draw_members
from gym_gazebo2.randomize.noise import ObservationNoise
from gym_gazebo2.randomize.ranges import FACTORS, Randomize
from gym_gazebo2.scene import Scene
from gym_gazebo2.state import Placement

__all__ = ["Draws", "Randomizer"]

Array = NDArray[np.float64]
Draws = dict[str, NDArray[Any]]
"""Arrays by name, with a row for each arm: the drawn values, the seed of the noise, and the steps since the reset."""
LARGEST_SEED = 2**63 - 1
BOOKKEEPING = ("queue", "noise_seed", "steps")
"""Arrays of ``draws`` that are internal, so ``values`` leaves them out."""


class Randomizer:
    """Draws at resets, delays actions and adds noise to observations.

    Attributes:
        draws: What the current episodes drew. The arrays are replaced, never changed in place.
    """

    def __init__(
        self, randomize: Randomize, scene: Scene | None, num_envs: int, action_size: int, observation_size: int
    ) -> None:
        """Start without any episode.

        Args:
            randomize: The ranges.
            scene: The task's scene.
            num_envs: Number of arms n.
            action_size: Number of components of an action.
            observation_size: Number of components of an observation, without an image or goals; 0 for an image alone.

        Raises:
            InvalidArgumentError: ``randomize.noise`` has another number of components than the observation, or the observation
                has no components.
        """
        self.randomize, self._scene = randomize, scene
        k = 0 if scene is None else scene.num_objects
        self.draws: Draws = {"steps": np.zeros(num_envs, dtype=np.int64)}
        self.draws |= {name: np.ones((num_envs, k)) for name in FACTORS if name in randomize.parts}
        if randomize.latency is not None:
            self.draws["latency"] = np.zeros(num_envs, dtype=np.int64)
            self.draws["queue"] = np.zeros((num_envs, randomize.latency[1], action_size))  # past actions, newest first
        if randomize.noise is not None:
            self._deviation = _read_deviation(randomize.noise, observation_size)
            self._noise = ObservationNoise(num_envs, observation_size)
            self.draws |= {"noise_factor": np.ones(num_envs), "noise_seed": np.zeros(num_envs, dtype=np.int64)}

    @property
    def values(self) -> Draws:
        """Copies of the drawn values: latency (n,) [periods], noise_factor (n,), friction and mass (n, k) factors.

        The drawn sizes are those of the members that ``ArmState.objects`` names.
        """
        return {name: value.copy() for name, value in self.draws.items() if name not in BOOKKEEPING}

    def copy_draws(self) -> Draws:
        """Return a copy of the draws, to be changed by ``draw`` and assigned to ``draws`` when the reset has succeeded."""
        return {name: value.copy() for name, value in self.draws.items()}

    def draw(self, rng: np.random.Generator, draws: Draws, i: int, objects: Placement | None) -> None:
        """Draw the episode of arm i into ``draws`` and into the members and poses of ``objects``.

        The order of the draws is fixed: size, friction, mass, latency, factor and seed of the noise.
        """
        given = self.randomize
        if given.size is not None and objects is not None and self._scene is not None:
            objects.index[i], objects.pose[i] = draw_members(rng, self._scene, objects.index[i], objects.pose[i], given.size)
        for name in FACTORS:
            if name in draws:
                low, high = getattr(given, name)
                draws[name][i] = rng.uniform(low, high, draws[name].shape[1])
        if given.latency is not None:
            draws["latency"][i], draws["queue"][i] = rng.integers(given.latency[0], given.latency[1] + 1), 0.0
        if given.noise_factor is not None:
            draws["noise_factor"][i] = rng.uniform(*given.noise_factor)
        if given.noise is not None:
            draws["noise_seed"][i] = rng.integers(LARGEST_SEED)
        draws["steps"][i] = 0

    def get_factors(self, draws: Draws) -> dict[str, Array]:
        """Return the factors (n, k) that a placement carries to the engine, by name."""
        return {name: draws[name] for name in FACTORS if name in draws}

    def delay(self, action: Array) -> tuple[Array, NDArray[np.bool_] | None]:
        """Return the actions that arrive now, and the arms to which none has arrived yet.

        Args:
            action: (n, size) newest actions.

        Returns:
            (n, size) actions, and (n,) bool, or None if there is no latency.
        """
        if self.randomize.latency is None:
            return action, None
        latency = self.draws["latency"]
        return self._append(action)[np.arange(len(action)), latency], self.draws["steps"] < latency

    def note(self, action: Array) -> None:
        """Store the actions (n, size) of the period that has ended."""
        self.draws = {**self.draws, "steps": self.draws["steps"] + 1}
        if self.randomize.latency is not None:
            self.draws["queue"] = self._append(action)[:, :-1]

    def add_noise(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return observations (n, size) with noise, not clipped."""
        if self.randomize.noise is None:
            return observation
        deviation = self.draws["noise_factor"][:, None] * self._deviation
        noise = self._noise.compute(self.draws["noise_seed"], self.draws["steps"])
        return observation + noise * deviation.astype(np.float32)

    def set_state(self, draws: Draws) -> None:
        """Continue with saved draws.

        Raises:
            InvalidArgumentError: They were drawn from other ranges.
        """
        shapes, expected = ({name: value.shape for name, value in each.items()} for each in (draws, self.draws))
        if shapes != expected:
            sentence = (
                f"The state was saved with another randomize: it has {shapes}, expected {expected}. Use the same keyword."
            )
            raise InvalidArgumentError("state", shapes, sentence=sentence)
        self.draws = draws

    def _append(self, action: Array) -> Array:
        return np.concatenate([action[:, None], self.draws["queue"]], axis=1)


def _read_deviation(noise: float | tuple[float, ...], size: int) -> Array:
    """Return the standard deviations (size,)."""
    if size == 0:
        sentence = "randomize.noise is added to vectors only, but the observation is an image alone. Leave noise out."
        raise InvalidArgumentError("randomize.noise", noise, sentence=sentence)
    if isinstance(noise, tuple) and len(noise) != size:
        sentence = (
            f"randomize.noise has {len(noise)} numbers, but the observation has {size} components. Give one number for each."
        )
        raise InvalidArgumentError("randomize.noise", noise, sentence=sentence)
    return np.broadcast_to(np.asarray(noise, dtype=float), (size,))
