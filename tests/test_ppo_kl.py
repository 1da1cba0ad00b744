"""PPO with the adaptive KL penalty: its estimate, its coefficient, and what becomes of PPO at the ends of both."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import IdentityEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from gym_gazebo2.algos.ppo_kl import PPOKL, adapt_coefficient, estimate_kl
from gym_gazebo2.errors import InvalidArgumentError, NonFiniteError

from .test_acktr import PointEnv

SMALL = {"n_steps": 64, "batch_size": 32, "n_epochs": 4, "seed": 0, "device": "cpu"}


def make_env():
    return make_vec_env("Pendulum-v1", n_envs=2, seed=0)


def get_parameters(model: PPO) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach().clone()


def learn(model: PPO, updates: int) -> list[dict[str, float]]:
    """Learn update by update, and give what the logger held after each."""
    logged = []
    model.set_logger(configure(None, []))
    for _ in range(updates):
        model.learn(1, reset_num_timesteps=False)
        logged.append(dict(model.logger.name_to_value))
        model.logger.dump()
    return logged


def test_estimate_and_its_gradient_are_those_of_the_divergence():
    torch.manual_seed(0)
    mean = torch.tensor(0.2, requires_grad=True)
    old, new = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(mean, 1.0)
    actions = old.sample((400_000,))
    estimate = estimate_kl(new.log_prob(actions) - old.log_prob(actions))
    assert estimate.item() == pytest.approx(0.02, rel=0.02)  # μ² / 2
    assert torch.autograd.grad(estimate, mean)[0].item() == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize(("kl", "expected"), [(0.0151, 2.0), (0.0149, 1.0), (0.0067, 1.0), (0.0066, 0.5), (0.0, 0.5)])
def test_coefficient_doubles_and_halves(kl, expected):
    assert adapt_coefficient(1.0, kl, target_kl=0.01) == expected


@pytest.mark.parametrize(("kl", "bound"), [(0.0, 1e-6), (1.0, 1e6)])
def test_coefficient_stays_where_it_can_come_back(kl, bound):
    coefficient = 1.0
    for _ in range(2000):
        coefficient = adapt_coefficient(coefficient, kl, target_kl=0.01)
    assert coefficient == bound
    for _ in range(20):
        coefficient = adapt_coefficient(coefficient, 1.0 - kl, target_kl=0.01)
    assert 0.5 < coefficient < 2.0


@pytest.mark.parametrize(
    ("given", "kl", "expected"), [(1e-30, 0.0, 1e-30), (1e-30, 1.0, 2e-30), (1e9, 1.0, 1e9), (1e9, 0.0, 5e8)]
)
def test_coefficient_given_outside_of_the_bounds_is_not_pulled_inside(given, kl, expected):
    assert adapt_coefficient(given, kl, target_kl=0.01) == expected


def test_negligible_penalty_with_clipping_is_ppo():
    """With β → 0 the parameters after an update are those of SB3's PPO, to rounding."""
    runs = []
    for make_model in (PPO, lambda *args, **kwargs: PPOKL(*args, kl_coef=1e-30, clip_range=0.2, **kwargs)):
        model = make_model("MlpPolicy", make_env(), **SMALL)
        model.learn(128)
        runs.append(get_parameters(model))
    torch.testing.assert_close(*runs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("clip_range", [math.inf, 0.2])
def test_penalty_pulls_the_divergence_to_its_target(clip_range):
    """A large learning rate overshoots a small target manyfold, until the coefficient has grown."""

    def measure(target_kl: float) -> float:
        settings = {"learning_rate": 3e-3, "kl_coef": 0.1, "clip_range": clip_range, **SMALL}
        logged = learn(PPOKL("MlpPolicy", make_env(), target_kl=target_kl, **settings), 30)
        return float(np.median([row["train/approx_kl"] for row in logged[-15:]]))

    held, free = measure(0.001), measure(1e3)
    assert 0.0004 < held < 0.0025
    assert held < free / 2


def test_coefficient_survives_saving(tmp_path):
    model = PPOKL("MlpPolicy", make_env(), kl_coef=0.3, target_kl=1e-9, **SMALL)
    model.learn(128)
    model.save(tmp_path / "model")
    assert PPOKL.load(tmp_path / "model").kl_coef == model.kl_coef == 0.6


def test_identity_environment_is_solved():
    env = make_vec_env(lambda: IdentityEnv(3), n_envs=4, seed=0)
    model = PPOKL("MlpPolicy", env, learning_rate=1e-3, target_kl=0.02, gamma=0.4, **{**SMALL, "n_steps": 128})
    model.learn(8000)
    assert evaluate_policy(model, env, n_eval_episodes=5)[0] > 90


def test_values_are_clipped_where_asked():
    runs = []
    for clip_range_vf in (None, 1e-6):
        model = PPOKL("MlpPolicy", make_env(), clip_range_vf=clip_range_vf, **SMALL)
        model.learn(128)
        runs.append(get_parameters(model))
    assert not torch.equal(*runs)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("target_kl", 0.0), ("target_kl", math.nan), ("target_kl", True), ("kl_coef", -1.0)]
    + [("clip_range", -1), ("clip_range", math.nan), ("clip_range", 0.0), ("clip_range", None), ("clip_range_vf", -1)],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        PPOKL("MlpPolicy", gym.make("Pendulum-v1"), **{setting: value})


@pytest.mark.parametrize(("bad", "named"), [("reward", "returns"), ("observation", "observations")])
def test_bad_rollout_stops_before_the_update(bad, named):
    model = PPOKL("MlpPolicy", DummyVecEnv([lambda: PointEnv(bad_step=90, bad=bad)]), **SMALL)
    model.learn(64)
    before = get_parameters(model)
    with pytest.raises(NonFiniteError, match=f"finite {named}, .*before update"):
        model.learn(64, reset_num_timesteps=False)
    assert torch.equal(get_parameters(model), before)


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_model_of_another_algorithm_is_refused(algorithm, tmp_path):
    algorithm("MlpPolicy", make_env(), device="cpu").save(tmp_path / "other")
    with pytest.raises(InvalidArgumentError, match="other.*a model that PPOKL saved"):
        PPOKL.load(tmp_path / "other")
