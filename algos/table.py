"""The table of algorithms: one row per algorithm, whose class is imported when it is used."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.discrete import DiscreteVecEnv
from gym_gazebo2.algos.memory import check_model_memory
from gym_gazebo2.algos.networks import GOAL_KEYS
from gym_gazebo2.algos.settings.hyperparameters import SCHEDULES
from gym_gazebo2.algos.settings.keywords import NOISE_KEYS, find_keywords, make_keywords
from gym_gazebo2.algos.settings.paper_names import explain_paper_name
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = ["ALGORITHMS", "Algorithm", "check_hyperparameters", "get_algorithm", "check_spaces", "make_model", "wrap_actions"]


OBSERVATIONS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Observation spaces of stable-baselines3's policies; a ``Dict`` may hold them too."""
ANY_ACTIONS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Action spaces of the on-policy algorithms."""


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """An algorithm of the table.

    Attributes:
        path: "module:class" of the algorithm.
        paper: The paper that introduced it.
        learns: "on_policy": from the batch that it has just collected; "off_policy": from a replay buffer; "imitation": from
            the actions of a teacher.
        actions: "box": an arm's actions as they are; "discrete": a choice from a table of them (``discrete.DiscreteVecEnv``).
        action_spaces: Action spaces in which it can act.
        recurrent: Whether the policy remembers: its prediction takes and returns a state.
        activation: Default activation of its networks, a row of ``networks.ACTIVATIONS``.
        schedules: Keywords that may be schedules.
        automatic: Keywords that may be "auto".
    """

    path: str
    paper: str
    learns: Literal["on_policy", "off_policy", "imitation"] = "on_policy"
    actions: Literal["box", "discrete"] = "box"
    action_spaces: tuple[type[spaces.Space[Any]], ...] = ANY_ACTIONS
    recurrent: bool = False
    activation: str = "tanh"
    schedules: tuple[str, ...] = SCHEDULES
    automatic: tuple[str, ...] = ()

    def load_class(self) -> type[BaseAlgorithm]:
        """Import the class."""
        module, name = self.path.split(":")
        return getattr(importlib.import_module(module), name)

    def choose_policy(self, observation_space: spaces.Space[Any]) -> str:
        """Return the name of the policy class for an observation space: Mlp, Cnn for images, MultiInput for dictionaries."""
        if isinstance(observation_space, spaces.Dict):
            kind = "MultiInput"
        else:
            kind = "Cnn" if is_image_space(observation_space) else "Mlp"
        return f"{kind}LstmPolicy" if self.recurrent else f"{kind}Policy"


_ACKTR_SCHEDULES = ("learning_rate", "target_kl", "max_step_size", "critic_target_kl")
_REPLAY: dict[str, Any] = {"learns": "off_policy", "activation": "relu", "action_spaces": (spaces.Box,)}
_SOFT: dict[str, Any] = {**_REPLAY, "automatic": ("ent_coef",)}
_CHOICE: dict[str, Any] = {**_REPLAY, "actions": "discrete", "action_spaces": (spaces.Discrete,)}

ALGORITHMS: dict[str, Algorithm] = {
    "ppo": Algorithm("stable_baselines3:PPO", "Schulman et al. 2017, arXiv:1707.06347"),
    "ppo_kl": Algorithm("gym_gazebo2.algos.ppo_kl:PPOKL", "Schulman et al. 2017, arXiv:1707.06347, section 4"),
    "recurrent_ppo": Algorithm("sb3_contrib:RecurrentPPO", "Schulman et al. 2017, arXiv:1707.06347", recurrent=True),
    "trpo": Algorithm("sb3_contrib:TRPO", "Schulman et al. 2015, arXiv:1502.05477"),
    "acktr": Algorithm("gym_gazebo2.algos.acktr:ACKTR", "Wu et al. 2017, arXiv:1708.05144", schedules=_ACKTR_SCHEDULES),
    "a2c": Algorithm("stable_baselines3:A2C", "Mnih et al. 2016, arXiv:1602.01783"),
    "sac": Algorithm("stable_baselines3:SAC", "Haarnoja et al. 2018, arXiv:1812.05905", **_SOFT),
    "td3": Algorithm("stable_baselines3:TD3", "Fujimoto et al. 2018, arXiv:1802.09477", **_REPLAY),
    "ddpg": Algorithm("stable_baselines3:DDPG", "Lillicrap et al. 2015, arXiv:1509.02971", **_REPLAY),
    "tqc": Algorithm("sb3_contrib:TQC", "Kuznetsov et al. 2020, arXiv:2005.04269", **_SOFT),
    "dqn": Algorithm("stable_baselines3:DQN", "Mnih et al. 2013, arXiv:1312.5602", **_CHOICE),
    "dagger": Algorithm(
        "gym_gazebo2.algos.dagger:DAgger", "Ross et al. 2011, arXiv:1011.0686", learns="imitation", action_spaces=(spaces.Box,)
    ),
}


def get_algorithm(name: str) -> Algorithm:
    """Return a row of the table.

    Raises:
        UnknownNameError: There is no such algorithm.
    """
    if name not in ALGORITHMS:
        raise UnknownNameError("algorithm", name, ALGORITHMS)
    return ALGORITHMS[name]


def check_hyperparameters(algo: str, names: Iterable[str]) -> None:
    """Check that the algorithm has hyperparameters of these names, besides "policy".

    Raises:
        InvalidArgumentError: A name is the 2019 paper's, for which there is another one here.
        UnknownNameError: There is no such hyperparameter.
    """
    known = {*find_keywords(get_algorithm(algo).load_class()), *NOISE_KEYS}
    for name in names:
        if name in known | {"policy"}:
            continue
        if sentence := explain_paper_name(name):
            raise InvalidArgumentError("hyperparameters", name, sentence=sentence)
        raise UnknownNameError(f"hyperparameter of {algo}", name, known)


def wrap_actions(algo: str, env: VecEnv) -> VecEnv:
    """Return the environment with actions that the algorithm can choose.

    An algorithm that chooses among a few actions gets a table of them in place of an arm's continuous ones; any other
    algorithm, and any environment whose actions are discrete already, needs nothing.
    """
    row = get_algorithm(algo)
    return DiscreteVecEnv(env) if row.actions == "discrete" and _is_unit_box(env.action_space) else env


def check_spaces(algo: str, env: VecEnv) -> None:
    """Check that an algorithm fits the spaces of an environment.

    Raises:
        InvalidArgumentError: It does not; the message names the algorithms that do.
    """
    observations = env.observation_space
    parts = observations.spaces.values() if isinstance(observations, spaces.Dict) else [observations]
    if not all(isinstance(part, OBSERVATIONS) for part in parts):
        kinds = ", ".join(kind.__name__ for kind in OBSERVATIONS)
        sentence = f"No algorithm can observe {observations}. Wrap it to have {kinds}, or a Dict of them."
        raise InvalidArgumentError("observation space", observations, sentence=sentence)
    if not isinstance(env.action_space, get_algorithm(algo).action_spaces):
        fitting = [
            name
            for name, row in ALGORITHMS.items()
            if isinstance(env.action_space, row.action_spaces) or (row.actions == "discrete" and _is_unit_box(env.action_space))
        ]
        then = f"Algorithms that can: {', '.join(fitting)}." if fitting else "No algorithm can. Wrap the environment."
        sentence = f"{algo} cannot act in {env.action_space}. {then}"
        raise InvalidArgumentError("algo", algo, sentence=sentence)


def _is_unit_box(space: spaces.Space[Any]) -> bool:
    """Return whether actions are those of an arm, of which ``discrete.make_action_table`` makes a table."""
    return isinstance(space, spaces.Box) and len(space.shape) == 1 and bool((space.low == -1).all() and (space.high == 1).all())


def make_model(
    algo: str,
    env: VecEnv,
    hyperparameters: Mapping[str, Any],
    seed: int,
    adapt: Callable[[type[BaseAlgorithm]], type[BaseAlgorithm]] = lambda cls: cls,
    episode_steps: int | None = None,
) -> BaseAlgorithm:
    """Make an untrained model.

    An off-policy algorithm learns a goal-conditioned task by hindsight experience replay (Andrychowicz et al. 2017,
    arXiv:1707.01495), unless its hyperparameters name another buffer.

    Args:
        algo: Row of ``ALGORITHMS``.
        env: The environment to learn in, wrapped by ``wrap_actions``.
        hyperparameters: Keywords of the algorithm, in the form of ``make_keywords``, and "policy", the name of a
            policy in place of the one that fits the observations.
        seed: Seed of every random generator.
        adapt: Takes the algorithm's class and returns the one to use, with the same constructor.
        episode_steps: Steps of the longest episode, for hindsight: it samples from whole episodes only. None: not checked.

    Raises:
        UnknownNameError: There is no such algorithm, or it has no such hyperparameter.
        InvalidArgumentError: The algorithm does not fit the environment's spaces, or rejects a value.
    """
    row = get_algorithm(algo)
    check_spaces(algo, env)
    values = dict(hyperparameters)
    policy = values.pop("policy", None) or row.choose_policy(env.observation_space)
    check_hyperparameters(algo, values)
    if row.learns == "off_policy" and _has_goals(env.observation_space):
        values.setdefault("replay_buffer_class", "HerReplayBuffer")
        if episode_steps is not None and values["replay_buffer_class"] == "HerReplayBuffer":
            values = fit_hindsight(values, env.num_envs, episode_steps)
    cls, num_actions = row.load_class(), int(np.prod(env.action_space.shape))
    switches = [name for name, annotation in find_keywords(cls).items() if annotation in (bool, "bool")]
    keywords = make_keywords(values, num_actions, row.activation, row.schedules, row.automatic, switches)
    check_model_memory(cls, env, keywords)
    try:
        return adapt(cls)(policy, env, seed=seed, device="cpu", **keywords)
    except (TypeError, ValueError, AssertionError, RuntimeError, ArithmeticError, AttributeError, LookupError) as error:
        sentence = f"{row.path.partition(':')[2]} rejects hyperparameters of {algo} ({values}): {error}"
        raise InvalidArgumentError("hyperparameters", values, sentence=sentence) from error


def fit_hindsight(values: Mapping[str, Any], num_envs: int, episode_steps: int) -> dict[str, Any]:
    """Return hyperparameters with which hindsight replay finds a whole episode when it first samples.

    Environments that start together end their first episodes together, so ``learning_starts`` is raised to that step. The
    replay buffer gives each environment an equal part, which must hold a whole episode.

    Args:
        values: Hyperparameters.
        num_envs: Environments that run side by side.
        episode_steps: Steps of the longest episode.

    Raises:
        InvalidArgumentError: The buffer is too small for one episode of each environment.
    """
    least = num_envs * episode_steps
    size = values.get("buffer_size", least + num_envs)
    if isinstance(size, int) and size // num_envs <= episode_steps:
        sentence = (
            f"buffer_size={size} is too small: hindsight replay needs room for an episode of {episode_steps} steps in each of "
            f"{num_envs} environments. Use at least {least + num_envs}, or fewer environments."
        )
        raise InvalidArgumentError("buffer_size", size, sentence=sentence)
    starts = values.get("learning_starts", 0)
    return {**values, "learning_starts": max(starts, least)} if isinstance(starts, int) else dict(values)


def _has_goals(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Dict) and set(space.spaces) == set(GOAL_KEYS)
