"""Settings that work, as data: a row holds only what differs from the algorithm's defaults."""

from __future__ import annotations

import dataclasses
from typing import Any

from gym_gazebo2.errors import UnknownNameError

__all__ = ["PRESETS", "Preset", "get_preset"]


@dataclasses.dataclass(frozen=True)
class Preset:
    """How to train an id with an algorithm.

    Attributes:
        steps: Environment steps, over all arms.
        hyperparameters: Keywords of the algorithm.
        num_envs: Number of arms that learn side by side.
        start_noise: Half-width of the noise on the start pose [rad].
        eval_runs: Episodes of an evaluation during training.
        normalize: Whether observations and rewards are normalised by running statistics.
    """

    steps: int
    hyperparameters: dict[str, Any]
    num_envs: int = 64
    start_noise: float = 0.1
    eval_runs: int = 30
    normalize: bool = False


_PPO = {
    "n_steps": 100,
    "batch_size": 1600,
    "n_epochs": 10,
    "learning_rate": "lin_1e-3",
    "gamma": 0.95,
    "gae_lambda": 0.9,
    "policy_kwargs": {"log_std_init": -0.5},
}
_PPO_PLANAR = {**_PPO, "batch_size": 800, "policy_kwargs": {"log_std_init": -1.0}}
_PPO_CAMERA = {**_PPO, "batch_size": 100, "learning_rate": "lin_3e-4"}

PRESETS: dict[str, dict[str, Preset]] = {
    "MARA-v0": {"ppo": Preset(800_000, _PPO)},
    "MARAOrient-v0": {"ppo": Preset(3_000_000, _PPO)},
    "MARACollision-v0": {"ppo": Preset(1_500_000, _PPO)},
    "MARACollisionOrient-v0": {"ppo": Preset(3_000_000, _PPO)},
    "MARACamera-v0": {"ppo": Preset(20_000, _PPO_CAMERA, num_envs=4, eval_runs=4)},
    "MARAReal-v0": {"ppo": Preset(1_500_000, _PPO)},
    "MARARandomTarget-v0": {"ppo": Preset(3_000_000, _PPO)},
    "MARAReachGoal-v0": {"ppo": Preset(3_000_000, _PPO)},
    "SCARA-v0": {"ppo": Preset(150_000, _PPO_PLANAR, num_envs=32, normalize=True)},
    "SCARARandomTarget-v0": {"ppo": Preset(1_000_000, _PPO_PLANAR, num_envs=32, normalize=True)},
    "SCARA4-v0": {"ppo": Preset(300_000, _PPO_PLANAR, num_envs=32, normalize=True)},
}
"""Environment id → algorithm → preset."""


def get_preset(env_id: str, algo: str) -> Preset:
    """Return the preset of an id and an algorithm.

    Raises:
        UnknownNameError: There is none.
    """
    if env_id not in PRESETS:
        raise UnknownNameError("preset for the environment", env_id, PRESETS)
    if algo not in PRESETS[env_id]:
        raise UnknownNameError(f"preset of {env_id} for the algorithm", algo, PRESETS[env_id])
    return PRESETS[env_id][algo]
