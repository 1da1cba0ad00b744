"""Tuned settings, as data: a row holds only values that differ from the algorithm's defaults."""

from __future__ import annotations

import dataclasses
from typing import Any

from gym_gazebo2.algos.env_id import drop_module
from gym_gazebo2.algos.table import check_hyperparameters
from gym_gazebo2.checks import add_row
from gym_gazebo2.errors import UnknownNameError

__all__ = ["PAPER", "PRESETS", "PRESET_NAMES", "Preset", "get_preset", "has_preset", "register_preset"]

Values = dict[str, Any]
WIDE_START = 1.0
"""Noise on the start pose with which the tool starts anywhere in its workspace [rad]."""
OBJECT_WIDTH = 256
"""Width of the networks' layers for tasks with objects: that of the literature on hindsight replay (arXiv:1802.09464)."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """How to train an id with an algorithm.

    Attributes:
        steps: Environment steps, over all arms.
        hyperparameters: Keywords of the algorithm.
        num_envs: Number of environments side by side.
        start_noise: Half-width of the noise on the start pose [rad]; unused by environments without such noise.
        eval_runs: Episodes per evaluation during training.
        normalize: Whether observations and rewards are normalised by running statistics.
        normalize_reward: Whether rewards are; None: as ``normalize``.
        reward_scale: Factor of the rewards that the algorithm gets.
    """

    steps: int
    hyperparameters: Values
    num_envs: int = 64
    start_noise: float = 0.1
    eval_runs: int = 30
    normalize: bool = False
    normalize_reward: bool | None = None
    reward_scale: float = 1.0


_HORIZON: Values = {"gamma": 0.95, "gae_lambda": 0.9}
_NOISY: Values = {"policy_kwargs": {"log_std_init": -0.5}}
_PPO: Values = {**_HORIZON, **_NOISY, "n_steps": 100, "batch_size": 1600, "n_epochs": 10, "learning_rate": "lin_1e-3"}
_OFF_POLICY: Values = {
    "gamma": 0.95,
    "learning_rate": "lin_1e-3",
    "buffer_size": 300_000,
    "learning_starts": 2_000,
    "batch_size": 256,
    "train_freq": 1,
    "gradient_steps": 4,
    "policy_kwargs": {"net_arch": [64, 64]},
}
_TO_GOALS: Values = {
    **_OFF_POLICY,
    "gradient_steps": 8,
    "tau": 0.02,
    "target_entropy": -12.0,
    "policy_kwargs": {"net_arch": [64, 64], "features_extractor_class": "goal"},
}
_EXPLORING: Values = {**_OFF_POLICY, "noise_type": "normal", "noise_std": 0.1}

# An update of DDPG takes half the time of one of SAC. Strong noise lets the gripper open and close.
_PICKING: Values = {
    **_EXPLORING,
    "learning_rate": 1e-3,
    "gradient_steps": 8,
    "tau": 0.05,
    "noise_std": 0.3,
    "policy_kwargs": {"net_arch": [OBJECT_WIDTH] * 2, "features_extractor_class": "object_goal"},
}

_PPO_PLANAR: Values = {**_PPO, "batch_size": 800, "policy_kwargs": {"log_std_init": -1.0}}
_WIDE: Values = {"policy_kwargs": {"log_std_init": -0.5, "net_arch": [128, 128]}}
# Updates count more than steps here: with 32 arms in place of 64, a UR5 needs 0.6 times as many steps to the same error. Wide
# starts (WIDE_START) slow its learning down. The learning rate falls over the steps: with half of them, it falls before a Panda
# has learned to reach, and 80 % of its goals are within 5 mm in place of 99 %.
_PPO_ANY_ARM: Values = {**_PPO, **_WIDE, "batch_size": 400, "n_epochs": 8}
_TRUST: Values = {**_HORIZON, "n_steps": 100, "batch_size": 100}
_ACKTR: Values = {**_TRUST, "stats_samples": 800, "target_kl": 0.12, "damping": 0.1, "critic": "adam", "n_critic_updates": 10}
_NATURAL: Values = {"stats_samples": 800, "target_kl": 0.12, "batch_size": 50, "n_critic_updates": 3}
_TRPO: Values = {**_TRUST, **_NOISY, "target_kl": 0.02}
_IMITATION: Values = {
    "n_steps": 32,
    "batch_size": 256,
    "n_epochs": 4,
    "buffer_size": 100_000,
    "learning_rate": "lin_1e-3",
    "policy_kwargs": {"net_arch": [128, 128]},
}
_NARROW: Values = {"policy_kwargs": {"log_std_init": -1.0}}

_SETTINGS: dict[str, Preset] = {
    "ppo": Preset(1_000_000, _PPO),
    "ppo_kl": Preset(1_000_000, {**_PPO, "target_kl": 0.01}),
    "recurrent_ppo": Preset(1_000_000, {**_PPO, "policy_kwargs": {"log_std_init": -0.5, "lstm_hidden_size": 64}}),
    "trpo": Preset(1_000_000, _TRPO, num_envs=16),
    "acktr": Preset(1_000_000, {**_ACKTR, **_NOISY}, num_envs=16),
    "a2c": Preset(1_000_000, {**_HORIZON, **_NOISY, "n_steps": 20, "learning_rate": "lin_1e-3"}, num_envs=32),
    "sac": Preset(150_000, _OFF_POLICY, num_envs=8),
    "td3": Preset(150_000, _EXPLORING, num_envs=8),
    "ddpg": Preset(150_000, _EXPLORING, num_envs=8),
    "tqc": Preset(150_000, _OFF_POLICY, num_envs=8),
    "dqn": Preset(150_000, {**_OFF_POLICY, "target_update_interval": 500, "exploration_fraction": 0.3}, num_envs=8),
    "dagger": Preset(200_000, _IMITATION, num_envs=32),
}
"""Algorithm → settings for an arm with a fixed goal; ids change them by their ``_Difficulty``."""


@dataclasses.dataclass(frozen=True)
class _Difficulty:
    """How an id differs from an arm with a fixed goal.

    Attributes:
        scale: Steps, as a multiple of those in ``_SETTINGS``.
        log_std_init: Initial log deviation of a Gaussian policy [1].
        normalize: As in ``Preset``.
        has_images: Whether the observation holds images, so that batches and buffers must be small.
        extractor: Features extractor for goals in the observation, a row of ``networks.EXTRACTORS``; None: none.
        width: Width of the hidden layers of off-policy algorithms; None: that of ``_OFF_POLICY``.
        start_noise: As in ``Preset``. Where the tool is to reach goals, episodes start all over the workspace, so that
            hindsight sees many of them.
        reward_scale: As in ``Preset``.
    """

    scale: float = 1.0
    log_std_init: float = -0.5
    normalize: bool = False
    has_images: bool = False
    extractor: str | None = None
    width: int | None = None
    start_noise: float = 0.1
    reward_scale: float = 1.0


def _list_panda_gym() -> dict[str, _Difficulty]:
    """Return the rows of panda-gym's tasks. Their start pose is a part of the task, so it has no noise."""
    rows = {}
    for name, scale, extractor in (
        ("Reach", 0.2, "goal"),
        ("Push", 1.0, "object_goal"),
        ("Slide", 2.0, "object_goal"),
        ("PickAndPlace", 2.0, "object_goal"),
        ("Stack", 4.0, "object_goal"),
        ("Flip", 4.0, None),
    ):
        for suffix in ("", "Joints", "Dense", "JointsDense"):
            rows[f"PandaGym{name}{suffix}-v0"] = _Difficulty(
                scale, extractor=extractor, width=None if name == "Reach" else OBJECT_WIDTH, start_noise=0.0
            )
    return rows


_SORT: Values = {
    **_HORIZON,
    "n_steps": 64,
    "batch_size": 1024,
    "n_epochs": 10,
    "learning_rate": "lin_1e-3",
    "policy_kwargs": {"log_std_init": 0.0, "net_arch": [128, 128]},
}

# Without a graphics card, drawing a picture takes as long as about eight passes of the network forth and back. So each one is
# used several times.
_FROM_PICTURES: Values = {
    **_IMITATION,
    "batch_size": 128,
    "n_epochs": 8,
    "buffer_size": 30_000,
    "policy_kwargs": {**_IMITATION["policy_kwargs"], "features_extractor_class": "centered_image"},
}

_IDS: dict[str, _Difficulty] = {
    "MARA-v0": _Difficulty(0.8),
    "MARAOrient-v0": _Difficulty(3.0),
    "MARACollision-v0": _Difficulty(1.5),
    "MARACollisionOrient-v0": _Difficulty(3.0),
    "MARACamera-v0": _Difficulty(0.02, has_images=True),
    "MARAReal-v0": _Difficulty(1.5),
    "MARARandomTarget-v0": _Difficulty(3.0),
    "MARAReachGoal-v0": _Difficulty(3.0, extractor="goal", start_noise=WIDE_START),
    "SCARA-v0": _Difficulty(0.15, log_std_init=-1.0, normalize=True),
    "SCARARandomTarget-v0": _Difficulty(1.0, log_std_init=-1.0, normalize=True),
    "SCARA4-v0": _Difficulty(0.3, log_std_init=-1.0, normalize=True),
    "Reach-v0": _Difficulty(3.0),
    "ReachGoal-v0": _Difficulty(3.0, extractor="goal", start_noise=WIDE_START),
    "PandaReach-v0": _Difficulty(3.0),
    **_list_panda_gym(),
    "PandaSort-v0": _Difficulty(1.0, log_std_init=0.0, reward_scale=0.05),
    "PandaSortCamera-v0": _Difficulty(0.02, log_std_init=0.0, has_images=True, reward_scale=0.05),
    "PandaToss-v0": _Difficulty(3.0, log_std_init=0.0, reward_scale=0.05),
}

_TUNED: dict[tuple[str, str], Preset] = {
    ("MARA-v0", "ppo"): Preset(800_000, _PPO),
    ("MARA-v0", "trpo"): Preset(150_000, _TRPO, num_envs=8),
    ("MARA-v0", "acktr"): Preset(150_000, {**_TRUST, **_NARROW, **_NATURAL}, num_envs=4),
    ("MARARandomTarget-v0", "ppo"): Preset(3_000_000, {**_PPO, **_WIDE}),
    ("MARARandomTarget-v0", "trpo"): Preset(1_600_000, {**_TRPO, **_WIDE}, num_envs=16),
    ("MARARandomTarget-v0", "acktr"): Preset(500_000, {**_ACKTR, **_WIDE}, num_envs=16),
    ("MARAReachGoal-v0", "sac"): Preset(160_000, _TO_GOALS, num_envs=8, start_noise=WIDE_START),
    ("SCARA-v0", "trpo"): Preset(100_000, {**_TRPO, **_NARROW}, num_envs=8, normalize=True),
    ("SCARA-v0", "acktr"): Preset(60_000, {**_ACKTR, **_NARROW, "target_kl": 0.03, "batch_size": 50}, 4, normalize=True),
    ("SCARA-v0", "ppo"): Preset(150_000, _PPO_PLANAR, num_envs=32, normalize=True),
    ("SCARARandomTarget-v0", "ppo"): Preset(1_000_000, _PPO_PLANAR, num_envs=32, normalize=True),
    ("PandaGymPickAndPlace-v0", "ddpg"): Preset(300_000, _PICKING, num_envs=32, start_noise=0.0),
    ("Reach-v0", "ppo"): Preset(1_000_000, _PPO_ANY_ARM, num_envs=32, normalize=True),
    ("PandaReach-v0", "ppo"): Preset(1_000_000, _PPO_ANY_ARM, num_envs=32, normalize=True),
    ("PandaSort-v0", "ppo"): Preset(1_000_000, _SORT, num_envs=128, start_noise=0.0, eval_runs=50, reward_scale=0.05),
    ("PandaToss-v0", "ppo"): Preset(3_000_000, _SORT, num_envs=128, start_noise=0.0, eval_runs=50, reward_scale=0.05),
    ("SCARA4-v0", "ppo"): Preset(300_000, _PPO_PLANAR, num_envs=32, normalize=True),
    ("PandaSortCamera-v0", "dagger"): Preset(120_000, _FROM_PICTURES, num_envs=32, start_noise=0.0, eval_runs=8),
}
"""Rows found by ``python -m benchmarks.tune``; they replace the composed ones."""

FEW_EVAL_RUNS = 5
"""Episodes per evaluation during training on a simulator with few arms, where episodes run one after the other."""

_ONE_ARM: dict[tuple[str, str], Preset] = {
    ("SCARA-v0", "ppo"): Preset(20_000, {**_PPO_PLANAR, "n_steps": 400, "batch_size": 50}, num_envs=1, normalize=True),
}
"""Rows for a simulator with one arm, where steps are expensive: smaller batches, more updates."""


def _compose(env_id: str, algo: str) -> Preset:
    """Return the algorithm's settings, changed by the id's difficulty."""
    if (env_id, algo) in _TUNED:
        return _TUNED[env_id, algo]
    base, row = _SETTINGS[algo], _IDS[env_id]
    values = dict(base.hyperparameters)
    if "log_std_init" in values["policy_kwargs"]:
        values["policy_kwargs"] = {**values["policy_kwargs"], "log_std_init": row.log_std_init}
    changes: Values = {
        "steps": int(base.steps * row.scale), "normalize": row.normalize, "hyperparameters": values,
        "start_noise": row.start_noise, "reward_scale": row.reward_scale,
    }  # fmt: skip
    if row.has_images:
        small = {"n_steps": 100, "batch_size": 100, "buffer_size": 5_000, "learning_starts": 500}
        values |= {name: value for name, value in small.items() if name in values}
        changes |= {"num_envs": 4, "eval_runs": 4}
    if row.width is not None and "net_arch" in values["policy_kwargs"]:
        values["policy_kwargs"] = {**values["policy_kwargs"], "net_arch": [row.width] * 2}
    if row.extractor is not None:
        values["policy_kwargs"] = {**values["policy_kwargs"], "features_extractor_class": row.extractor}
    return dataclasses.replace(base, **changes)


PRESETS: dict[str, dict[str, Preset]] = {env_id: {algo: _compose(env_id, algo) for algo in _SETTINGS} for env_id in _IDS}
"""Environment id → algorithm → preset. ``register_preset`` adds rows."""


PAPER: dict[str, Preset] = {
    "ppo": Preset(
        1_000_000,
        {"n_steps": 2048, "batch_size": 64, "n_epochs": 10, "learning_rate": 3e-4, "clip_range": 0.2, "gamma": 0.99},
        num_envs=1,
        normalize=True,
    ),
    "acktr": Preset(
        1_000_000,
        {
            "n_steps": 2500,
            "batch_size": 2500,
            "gamma": 0.99,
            "gae_lambda": 0.97,
            "target_kl": 0.002,
            "damping": 0.1,
            "stats_decay": 0.99,
            "momentum": 0.9,
            "critic": "kfac",
            "n_critic_updates": 25,
            "critic_target_kl": 0.15,
        },
        num_envs=1,
        normalize=True,
    ),
}
"""Algorithm → the continuous-control settings of its paper (Schulman et al. 2017, table 3; OpenAI's code of Wu et al. 2017)."""

DEFAULT_STEPS = 100_000
"""Steps of a training that has no preset and is given none."""

PRESET_NAMES = ("tuned", "paper", "default")


def register_preset(env_id: str, algo: str, preset: Preset) -> None:
    """Add the settings of an id and an algorithm to the table. Adding equal ones again changes nothing.

    Args:
        env_id: Environment id; the module of "module:Id" is left out.
        algo: Row of the table of algorithms.
        preset: The settings.

    Raises:
        UnknownNameError: There is no such algorithm, or it has no such hyperparameter.
        InvalidArgumentError: The id and the algorithm have other settings already.
    """
    check_hyperparameters(algo, preset.hyperparameters)
    add_row(PRESETS.setdefault(drop_module(env_id), {}), algo, preset)


def has_preset(env_id: str, algo: str) -> bool:
    """Return whether there are tuned settings for an id and an algorithm."""
    return algo in PRESETS.get(drop_module(env_id), {})


def get_preset(env_id: str, algo: str, name: str = "tuned", arms: int | None = None) -> Preset:
    """Return the preset of an id and an algorithm.

    Args:
        env_id: Environment id.
        algo: Row of the table of algorithms.
        name: "tuned": the id's; "paper": those of the algorithm's paper; "default": the algorithm's own defaults, which are
            also the answer for an id without tuned settings.
        arms: Arms of a simulator that has few of them; None: as many as the preset asks for.

    Raises:
        UnknownNameError: There is no such preset, or none of the paper for the algorithm.
    """
    env_id = drop_module(env_id)
    preset = _find_preset(env_id, algo, name)
    if arms is None:
        return preset
    return _fit(_ONE_ARM.get((env_id, algo), preset) if name == "tuned" else preset, arms)


def _fit(preset: Preset, arms: int) -> Preset:
    """Return the same for a number of arms: an update sees as many steps as before, an evaluation has fewer episodes."""
    values = dict(preset.hyperparameters)
    if "n_steps" in values:
        values["n_steps"] = max(1, values["n_steps"] * preset.num_envs // arms)
    runs = min(preset.eval_runs, FEW_EVAL_RUNS)
    return dataclasses.replace(preset, num_envs=arms, hyperparameters=values, eval_runs=runs)


def _find_preset(env_id: str, algo: str, name: str) -> Preset:
    if name not in PRESET_NAMES:
        raise UnknownNameError("preset", name, PRESET_NAMES)
    if name == "paper":
        if algo not in PAPER:
            raise UnknownNameError("preset 'paper' for the algorithm", algo, PAPER)
        return PAPER[algo]
    if name == "tuned" and has_preset(env_id, algo):
        return PRESETS[env_id][algo]
    return Preset(DEFAULT_STEPS, {}, num_envs=1, eval_runs=10)
