"""Measure what an update of ACKTR costs compared with A2C's, and a whole training compared with TRPO's, on one thread.

``python -m benchmarks.update_cost`` prints two tables with their goals. ``--json FILE`` also writes every time. The things
compared take turns, so that the ratios belong to the same moment. Medians over the rounds count.

An *actor's update* is the same work for both algorithms, on equal batches and equal tanh networks: forward pass of the policy
over the batch, loss (advantages normalised, entropy, figures for the log), backward pass, and step of the actor's parameters.
For A2C the step clips the gradient's norm and runs RMSprop. For ACKTR it computes the curvature, the natural direction, the
length of the step and the measured divergence.

``A2C.train`` is the whole update of stable-baselines3, which updates the critic in the same pass. So the last column compares
``train`` of both algorithms with layers that actor and critic share.

A *whole training* is ``learn`` from the first step: simulation, policy, buffers and updates. TRPO has the settings of
rl-baselines3-zoo for MuJoCo tasks, and sb3-contrib's defaults. ACKTR has its default critic, and a critic equal to that of
each TRPO (Adam, as many passes, minibatches of the same size).
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium import spaces
from sb3_contrib import TRPO
from stable_baselines3 import A2C
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from gym_gazebo2.algos import make_vec_env
from gym_gazebo2.algos.acktr import ACKTR
from gym_gazebo2.algos.natural.guarded import normalize

NUM_OBSERVATIONS, NUM_ACTIONS = 17, 6
"""Sizes of HalfCheetah's observation and action."""
NUM_ENVS, NUM_STEPS = 8, 256
UPDATE_GOAL, TRAINING_GOAL = 1.25, 0.7
COMPARISONS = (
    ("ACKTR actor", "A2C actor"),
    ("ACKTR actor, cheap", "A2C actor"),
    ("ACKTR actor", "A2C.train"),
    ("ACKTR.train, shared", "A2C.train, shared"),
)
CHEAP = {"stats_samples": 512, "curvature_interval": 10}
"""Fewer samples for the curvature, and a decomposition at every tenth update: for layers with hundreds of units."""

ZOO = {"batch_size": 128, "cg_max_steps": 25, "n_critic_updates": 20}
"""rl-baselines3-zoo's settings of TRPO for MuJoCo tasks, as far as they cost time."""
BASES = ("TRPO, zoo's settings", "TRPO, defaults")
TRAININGS: dict[str, tuple[type[OnPolicyAlgorithm], dict[str, Any]]] = {
    BASES[0]: (TRPO, ZOO),
    BASES[1]: (TRPO, {}),
    "ACKTR, defaults": (ACKTR, {}),
    "ACKTR, critic of the zoo's TRPO": (ACKTR, {"critic": "adam", "n_critic_updates": 20, "batch_size": 128}),
    "ACKTR, critic of TRPO's defaults": (ACKTR, {"critic": "adam", "n_critic_updates": 10, "batch_size": 128}),
}
"""Equal batches and numbers of updates. The critic makes passes over a batch in minibatches of Adam, or is ACKTR's own."""
REPEATS = CHEAP["curvature_interval"]
"""A round takes the mean of this many updates, so that it includes its share of a decomposition."""

Times = dict[str, list[float]]
Row = tuple[Callable[[], object], Callable[[], object]]
"""A preparation that is not timed, and the part that is."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the cost of updates and of whole trainings.

    Attributes:
        widths: Widths of the two hidden layers.
        batches: Samples of an update.
        rounds: Rounds of the updates, ten of each in a round.
        trainings: Rounds of whole trainings; 0 leaves them out.
        updates: Updates of a training.
        env: Id on which whole trainings run.
        json: Also write every time to this file.
    """

    widths: tuple[int, ...] = (64, 256)
    batches: tuple[int, ...] = (512, 2048, 8192)
    rounds: int = 8
    trainings: int = 7
    updates: int = 5
    env: str = "MARA-v0"
    json: str | None = None


class Still(gym.Env[np.ndarray, np.ndarray]):
    """An environment for its spaces only."""

    observation_space = spaces.Box(-np.inf, np.inf, (NUM_OBSERVATIONS,))
    action_space = spaces.Box(-1, 1, (NUM_ACTIONS,))


class Trunk(BaseFeaturesExtractor):
    """Two hidden layers that actor and critic share."""

    def __init__(self, observation_space: spaces.Box, width: int) -> None:
        """Make the layers.

        Args:
            observation_space: A vector's.
            width: Width of a hidden layer.
        """
        super().__init__(observation_space, width)
        size = observation_space.shape[0]
        self.layers = nn.Sequential(nn.Linear(size, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return the features (n, width)."""
        return self.layers(observations)


def make_learner(algorithm: type[OnPolicyAlgorithm], batch: int, policy_kwargs: dict[str, Any], **keywords: Any) -> Any:
    """Make an algorithm whose rollout buffer is full of random data."""
    env = DummyVecEnv([Still])
    model = algorithm("MlpPolicy", env, n_steps=batch, policy_kwargs=policy_kwargs, seed=0, device="cpu", **keywords)
    model.set_logger(Logger(None, []))
    rng, buffer = np.random.default_rng(0), model.rollout_buffer
    for array in (buffer.observations, buffer.actions, buffer.advantages, buffer.returns, buffer.values):
        array[:] = rng.normal(size=array.shape)
    buffer.full = True
    return model


def make_a2c_actor(model: A2C, batch: RolloutBufferSamples) -> Callable[[], None]:
    """Return A2C's update without what belongs to its critic (stable-baselines3's ``A2C.train``)."""
    policy = model.policy
    actor = [p for name, p in policy.named_parameters() if "value" not in name]
    optimizer = type(policy.optimizer)(actor, **policy.optimizer.defaults)

    def update() -> None:
        distribution = policy.get_distribution(batch.observations)
        log_prob, entropy = distribution.log_prob(batch.actions), distribution.entropy()
        policy_loss, entropy_loss = -(normalize(batch.advantages) * log_prob).mean(), -entropy.mean()
        optimizer.zero_grad()
        (policy_loss + model.ent_coef * entropy_loss).backward()
        nn.utils.clip_grad_norm_(actor, model.max_grad_norm)
        optimizer.step()
        model.logger.record("train/entropy_loss", entropy_loss.item())
        model.logger.record("train/policy_loss", policy_loss.item())

    return update


def make_updates(width: int, batch: int) -> dict[str, Row]:
    """Return the updates that are compared at one size, each with a function that restores the first parameters.

    A policy meets a batch only once in a training; on one that it has fitted, steps overshoot and are measured twice.
    """
    separate = {"net_arch": [width, width]}
    shared = {"net_arch": [], "features_extractor_class": Trunk, "features_extractor_kwargs": {"width": width}}
    a2c, acktr = (make_learner(algorithm, batch, separate) for algorithm in (A2C, ACKTR))
    a2c_shared, acktr_shared = (make_learner(algorithm, batch, shared) for algorithm in (A2C, ACKTR))
    cheap, samples = make_learner(ACKTR, batch, separate, **CHEAP), next(acktr.rollout_buffer.get())
    rows = {
        "A2C actor": (a2c, make_a2c_actor(a2c, samples)),
        "ACKTR actor": (acktr, lambda: acktr._train_actor(samples)),
        "ACKTR actor, cheap": (cheap, lambda: cheap._train_actor(samples)),
        "A2C.train": (a2c, a2c.train),
        "A2C.train, shared": (a2c_shared, a2c_shared.train),
        "ACKTR.train, shared": (acktr_shared, acktr_shared.train),
    }
    initial = {name: copy.deepcopy(model.policy.state_dict()) for name, (model, _) in rows.items()}
    return {name: (partial(model.policy.load_state_dict, initial[name]), run) for name, (model, run) in rows.items()}


def measure(rows: dict[str, Row], rounds: int, repeats: int) -> Times:
    """Return the mean wall time of each row's repeats, in rounds that take turns, after a first one that does not count [s]."""
    times: Times = {name: [] for name in rows}
    for count in range(rounds + 1):
        for name, (prepare, run) in rows.items():
            total = 0.0
            for _ in range(repeats):
                prepare()
                start = time.perf_counter()
                run()
                total += time.perf_counter() - start
            if count:
                times[name].append(total / repeats)
    return times


def compare(times: Times, name: str, base: str) -> float:
    """Return the median time of a row divided by that of another."""
    return statistics.median(times[name]) / statistics.median(times[base])


def judge(ratio: float, goal: float) -> str:
    """Return the ratio, and whether it reaches the goal."""
    return f"{ratio:.2f} {'reached' if ratio <= goal else 'NOT reached'}"


def measure_updates(args: Arguments) -> dict[str, Times]:
    """Measure and print the first table."""
    print(f"an actor's update as a multiple of A2C's (goal: {UPDATE_GOAL}); cheap: {CHEAP}")
    print("and of A2C.train, which moves the critic too; with a shared trunk: ACKTR.train over A2C.train")
    heads = ("ACKTR", "ACKTR, cheap", "over A2C.train", "shared trunk")
    print(f"  {'network':9} {'batch':>6} {'A2C [ms]':>9}" + "".join(f"{head:>18}" for head in heads))
    figures: dict[str, Times] = {}
    for width, batch in itertools.product(args.widths, args.batches):
        times = measure(make_updates(width, batch), args.rounds, REPEATS)
        ratios = [compare(times, name, base) for name, base in COMPARISONS]
        base = 1e3 * statistics.median(times["A2C actor"])
        verdicts = "".join(f"{judge(ratio, UPDATE_GOAL):>18}" for ratio in ratios)
        print(f"  {f'{width}-{width}':9} {batch:6} {base:9.2f}{verdicts}", flush=True)
        figures[f"{width}-{width}, {batch}"] = times
    return figures


def make_training(algorithm: type[OnPolicyAlgorithm], args: Arguments, **keywords: Any) -> Row:
    """Return a whole training: making the algorithm, and a number of updates with 8 arms × 256 steps."""
    env = make_vec_env(args.env, NUM_ENVS, seed=0)

    def run() -> None:
        model: Any = algorithm("MlpPolicy", env, n_steps=NUM_STEPS, seed=0, device="cpu", **keywords)
        model.learn(args.updates * NUM_STEPS * NUM_ENVS)

    return env.reset, run


def measure_trainings(args: Arguments) -> Times:
    """Measure and print the second table."""
    rows = {name: make_training(algorithm, args, **keywords) for name, (algorithm, keywords) in TRAININGS.items()}
    times = measure(rows, args.trainings, repeats=1)
    samples = f"{args.updates} updates of {NUM_ENVS} × {NUM_STEPS}"
    print(f"whole training on {args.env}, {samples}, as a multiple of TRPO's time (goal: {TRAINING_GOAL})")
    print(f"  {'':34} {'[s]':>20}" + "".join(f"{f'over {base}':>28}" for base in BASES))
    for name, values in times.items():
        verdicts = "" if name in BASES else "".join(f"{judge(compare(times, name, base), TRAINING_GOAL):>28}" for base in BASES)
        spread = f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
        print(f"  {name:34} {spread:>20}{verdicts}", flush=True)
    return times


def main() -> None:
    """Measure and print."""
    args = tyro.cli(Arguments)
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"updates": measure_updates(args)}
    if args.trainings:
        figures["trainings"] = measure_trainings(args)
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
