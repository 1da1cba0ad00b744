"""ACKTR: its trust region, its bookkeeping, and learning on environments small enough to be solved in seconds."""

import copy
import math
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers import TransformReward
from sb3_contrib import TRPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.distributions import kl_divergence
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import (
    FakeImageEnv,
    IdentityEnv,
    IdentityEnvBox,
    IdentityEnvMultiBinary,
    IdentityEnvMultiDiscrete,
    SimpleMultiObsEnv,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize
from torch import nn

from gym_gazebo2.algos.acktr import ACKTR
from gym_gazebo2.algos.natural.fisher import compute_policy_metric, sample_log_prob
from gym_gazebo2.algos.natural.kfac import KFAC
from gym_gazebo2.algos.natural.trust_region import Pullback, compute_quadratic_form, compute_step_size
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

SPACES = {
    "box": spaces.Box(-1, 1, (2,)),
    "discrete": spaces.Discrete(3),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(3),
}
SMALL = {"n_steps": 64, "batch_size": 64, "n_critic_updates": 5, "seed": 0, "device": "cpu"}


class PointEnv(gym.Env):
    """Push a point to the origin, with actions from any space; one reward or observation may be NaN."""

    observation_space = spaces.Box(-2, 2, (3,))

    def __init__(self, action_space: spaces.Space = SPACES["box"], bad_step: int = -1, bad: str = "reward") -> None:
        self.action_space, self.bad_step, self.bad, self.steps = action_space, bad_step, bad, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = self.np_random.uniform(-1, 1, 3).astype(np.float32), 0
        return self.x, {}

    def step(self, action):
        self.t, self.steps = self.t + 1, self.steps + 1
        self.x = np.clip(self.x + 0.1 * (np.mean(action) - 0.5), -2, 2).astype(np.float32)
        observation, reward = self.x.copy(), -float(np.square(self.x).sum())
        if self.steps == self.bad_step:
            observation, reward = (observation * np.nan, reward) if self.bad == "observation" else (observation, np.nan)
        return observation, reward, False, self.t == 20, {}


def make_point_env(**kwargs) -> VecEnv:
    return make_vec_env(lambda: PointEnv(**kwargs), n_envs=2, seed=0)


class Recorder(Logger):
    """Logger that keeps every value."""

    def __init__(self) -> None:
        super().__init__(None, [])
        self.values: dict[str, list[float]] = {}

    def record(self, key, value, exclude=None):
        self.values.setdefault(key, []).append(value)


def learn(model: ACKTR, steps: int, **kwargs) -> dict[str, list[float]]:
    recorder = Recorder()
    model.set_logger(recorder)
    model.learn(steps, **kwargs)
    return recorder.values


def get_parameters(model: ACKTR) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.policy.parameters()).detach().clone()


def make_random_policy(space: spaces.Space):
    """Give a policy far from uniform, and observations for it, in double precision."""
    torch.manual_seed(1)
    policy = ACKTR("MlpPolicy", make_point_env(action_space=space), **SMALL).policy.double()
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return policy, torch.randn(256, 3, dtype=torch.float64)


def compute_distribution(policy, observations):
    """Skip SB3's preprocessing, which rounds to single precision."""
    return policy._get_action_dist_from_latent(policy.mlp_extractor.forward_actor(observations))


# --- the trust region -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_quadratic_form_is_the_hessian_of_the_kl_divergence(space):
    """The oracle differentiates the divergence twice, as TRPO does; metric and product know nothing of it."""
    policy, observations = make_random_policy(space)
    actor = [p for n, p in policy.named_parameters() if "value" not in n]
    direction = [torch.randn_like(p) for p in actor]
    distribution = compute_distribution(policy, observations)
    metric = compute_policy_metric(distribution)
    got = compute_quadratic_form(metric, actor, direction)
    with torch.no_grad():
        old = copy.copy(compute_distribution(policy, observations))
    kl = kl_divergence(old, compute_distribution(policy, observations)).sum() / len(observations)
    slope = sum((g * d).sum() for g, d in zip(torch.autograd.grad(kl, actor, create_graph=True), direction, strict=True))
    hessian_product = torch.autograd.grad(slope, actor)
    assert got == pytest.approx(sum((h * d).sum().item() for h, d in zip(hessian_product, direction, strict=True)), rel=1e-9)


def test_quadratic_form_equals_trpos():
    """sb3-contrib takes the mean over the dimensions of an action, two here, where we take the sum."""
    policy, observations = make_random_policy(SPACES["box"])
    trpo = TRPO("MlpPolicy", make_point_env(), n_steps=64, device="cpu", cg_damping=0.0)
    trpo.policy = policy
    with torch.no_grad():
        old = copy.copy(compute_distribution(policy, observations))
    distribution = compute_distribution(policy, observations)
    kl, objective = kl_divergence(distribution, old).mean(), distribution.log_prob(torch.zeros(256, 2)).mean()
    actor, _, grad_kl, _ = trpo._compute_actor_grad(kl, objective)
    vector = torch.randn_like(grad_kl)
    expected = 2 * (vector @ trpo.hessian_vector_product(actor, grad_kl, vector)).item()
    direction = [part.view_as(p) for part, p in zip(vector.split([p.numel() for p in actor]), actor, strict=True)]
    metric = compute_policy_metric(compute_distribution(policy, observations))
    assert compute_quadratic_form(metric, actor, direction) == pytest.approx(expected, rel=1e-9)


def test_pullback_is_the_gradient_and_its_push_agrees_with_finite_differences():
    model, inputs = (
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(),
        torch.randn(5, 3, dtype=torch.float64),
    )
    parameters = list(model.parameters())
    direction = [torch.randn_like(p) for p in parameters]
    output = model(inputs)
    pullback = Pullback([output], parameters, [torch.ones_like(output)])
    (got,) = pullback.push(direction)

    def move(by: float) -> torch.Tensor:
        moved = {n: p + by * d for (n, p), d in zip(model.named_parameters(), direction, strict=True)}
        return torch.func.functional_call(model, moved, inputs).detach()

    torch.testing.assert_close(got, (move(1e-5) - move(-1e-5)) / 2e-5, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_measured_kl_tends_to_the_target(space):
    """On random policies KL / δ tends to one as δ falls, for every family of distributions."""
    policy, observations = make_random_policy(space)
    actor = [p for n, p in policy.named_parameters() if "value" not in n]
    kfac = KFAC(policy, actor, {p: 2.0 for n, p in policy.named_parameters() if n == "log_std"})

    def measure(target_kl: float) -> float:
        with kfac.capture():
            distribution = compute_distribution(policy, observations)
        old = copy.copy(distribution)
        kfac.update_curvature(distribution.log_prob(distribution.sample().detach()))
        (distribution.log_prob(distribution.mode().detach()) * observations[:, 0]).mean().backward(retain_graph=True)
        direction = kfac.compute_direction()
        quadratic_form = compute_quadratic_form(compute_policy_metric(distribution), kfac.params, direction)
        size = compute_step_size(quadratic_form, target_kl, float("inf"))
        kfac.move(direction, size)
        kl = kl_divergence(old, compute_distribution(policy, observations)).sum().item() / len(observations)
        kfac.move(direction, -size)
        kfac.zero_grad()
        return kl / target_kl

    assert 0.95 < measure(1e-3) < 1.05
    assert abs(measure(1e-7) - 1) < 2e-3


def test_measured_kl_stays_near_the_target_in_training():
    model = ACKTR("MlpPolicy", make_point_env(), target_kl=0.01, **{**SMALL, "n_critic_updates": 1})
    values = learn(model, 200 * 128)
    ratios = np.array(values["train/kl"]) / 0.01
    assert len(ratios) == 200
    assert ratios.max() <= 1.5
    assert 0.9 < np.median(ratios) < 1.1


@pytest.mark.parametrize("policy_kwargs", [{}, "shared"])
def test_the_whole_batch_stays_inside_the_region_though_samples_check_the_step(policy_kwargs):
    """Over 200 updates on new batches the divergence is measured anew, on all samples."""
    policy_kwargs = make_shared() if policy_kwargs else {"net_arch": [16]}
    env = make_point_env()
    settings = {**SMALL, "n_steps": 512 // env.num_envs}
    model = ACKTR("MlpPolicy", env, policy_kwargs=policy_kwargs, stats_samples=128, **settings)
    model.set_logger(Recorder())
    ratios = []
    for _ in range(200):
        observations = torch.randn(settings["n_steps"], env.num_envs, 3)
        fill_buffer(model, observations)
        before = get_distribution(model, observations.reshape(-1, 3))
        model.train()
        after = get_distribution(model, observations.reshape(-1, 3))
        divergence = torch.distributions.kl_divergence(before, after).sum(dim=1).mean()
        ratios.append(divergence.item() / 0.01)
    assert max(ratios) <= 1.5
    if not model.shares_layers:  # otherwise the values take their part of the region
        assert 0.9 < np.median(ratios) < 1.15


def get_distribution(model, observations):
    with torch.no_grad():
        return model.policy.get_distribution(observations).distribution


def fill_buffer(model, observations):
    """Fill the rollout buffer with the policy's actions, and with advantages that reward actions near the observations."""
    buffer = model.rollout_buffer
    buffer.reset()
    for row in observations:
        with torch.no_grad():
            actions, values, log_probs = model.policy(row)
        reward = -(actions - row[:, :2]).abs().sum(dim=1).numpy()
        buffer.add(row.numpy(), actions.numpy(), reward, np.zeros(len(row)), values, log_probs)
    buffer.advantages[:] = buffer.returns[:] = buffer.rewards


def test_step_that_leaves_the_region_is_taken_back():
    """Hardly damped, the first step here would overshoot its target tens of thousands of times."""
    settings = {"target_kl": 0.5, "damping": 1e-6, "max_step_size": 1e6}
    values = learn(ACKTR("MlpPolicy", make_point_env(), **settings, **SMALL), 5 * 128)
    assert max(values["train/kl"]) <= 1.5 * 0.5
    assert np.min(values["train/predicted_kl"]) > 0.45


@pytest.mark.parametrize("shared", [False, True])
def test_a_sample_for_the_curvature_leaves_gradient_and_length_to_the_whole_batch(shared):
    """Hardly curved by its damping, the step is one, whatever sample its curvature is of."""
    settings = {**SMALL, "n_steps": 512, "damping": 1e9, "max_step_size": 1e12, "vf_coef": 1e-9}
    directions = []
    for samples in (2000, 300):
        policy_kwargs = make_shared() if shared else {}
        model = ACKTR("MlpPolicy", make_point_env(), stats_samples=samples, policy_kwargs=policy_kwargs, **settings)
        before = [p.detach().clone() for p in model.policy.optimizer.params]
        values = learn(model, 1024)
        steps = [(p - old).flatten() for p, old in zip(model.policy.optimizer.params, before, strict=True)]
        directions.append(nn.functional.normalize(torch.cat(steps).detach(), dim=0))
        assert values["train/kl"][0] == pytest.approx(0.01, rel=0.1)
    assert directions[0] @ directions[1] > 0.9999


def test_a_doubtful_sample_is_measured_on_the_whole_batch():
    """The guard holds on all of the batch, though it mostly looks at a sample."""
    settings = {"target_kl": 0.5, "damping": 1e-6, "max_step_size": 1e6, "stats_samples": 16}
    values = learn(ACKTR("MlpPolicy", make_point_env(), **settings, **SMALL), 5 * 128)
    assert max(values["train/kl"]) <= 1.5 * 0.5


def test_step_size_is_capped():
    values = learn(ACKTR("MlpPolicy", make_point_env(), max_step_size=1e-3, **SMALL), 128)
    assert values["train/step_size"] == [1e-3]
    assert values["train/predicted_kl"][0] < 0.01


def test_step_size_against_hand_computed_values():
    assert compute_step_size(0.0, 0.01, 2.0) == 0.0
    assert compute_step_size(1e-9, 0.01, 2.0) == 2.0
    assert compute_step_size(2.0, 0.01, 2.0) == pytest.approx(0.1)
    with pytest.raises(FloatingPointError, match="nan"):
        compute_step_size(float("nan"), 0.01, 2.0)


def test_direction_of_a_linear_policy_is_the_converged_conjugate_gradient():
    """Without a hidden layer and damping, K-FAC with many samples is the natural gradient that TRPO approaches."""
    torch.manual_seed(0)
    model = ACKTR("MlpPolicy", make_point_env(), policy_kwargs={"net_arch": []}, damping=1e-9, **SMALL)
    policy, kfac, observations = model.policy, model.policy.optimizer, torch.randn(200_000, 3)
    with kfac.capture():
        distribution = policy.get_distribution(observations)
    kfac.update_curvature(distribution.log_prob(distribution.sample().detach()))
    advantages = observations[:, 0] + observations[:, 1] ** 2
    (advantages * distribution.log_prob(distribution.sample().detach())).mean().backward()
    direction = dict(zip(kfac.params, kfac.compute_direction(), strict=True))
    a = torch.cat([observations, torch.ones(len(observations), 1)], dim=1)
    fisher = a.T @ a / len(a)  # G = I, as σ = 1
    layer = policy.action_net
    exact = torch.linalg.solve(fisher, torch.cat([layer.weight.grad, layer.bias.grad[:, None]], dim=1).T).T
    got = torch.cat([direction[layer.weight], direction[layer.bias][:, None]], dim=1)
    assert torch.nn.functional.cosine_similarity(got.flatten(), exact.flatten(), dim=0) > 0.999


def test_policy_fisher_is_of_actions_drawn_from_the_policy():
    """For a Gaussian mean G is 1/σ², whatever actions are in the batch; a sample with gradient would give zero."""
    torch.manual_seed(0)
    model = ACKTR("MlpPolicy", make_point_env(), policy_kwargs={"log_std_init": -0.5}, **SMALL)
    with model.policy.optimizer.capture():
        distribution = model.policy.get_distribution(torch.randn(20_000, 3))
    model.policy.optimizer.update_curvature(sample_log_prob(distribution))
    factor = model.policy.optimizer.state[model.policy.action_net.weight]["output_factor"]
    torch.testing.assert_close(factor, np.e * torch.eye(2), rtol=0, atol=0.1)


# --- bookkeeping ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"critic": "adam"}, {"critic": "kfac"}, {"stats_samples": 40}], ids=str)
def test_reruns_are_bit_equal(settings):
    runs = []
    for _ in range(2):
        model = ACKTR("MlpPolicy", make_point_env(), **settings, **SMALL)
        model.learn(3 * 128)
        runs.append(get_parameters(model))
    assert torch.equal(*runs)


@pytest.mark.parametrize(
    "settings", [{"critic": "adam"}, {"critic": "kfac"}, {"stats_samples": 40}, {"policy_kwargs": "shared"}], ids=str
)
def test_continuing_from_a_file_equals_going_on(settings, tmp_path):
    settings = {"policy_kwargs": make_shared()} if "policy_kwargs" in settings else settings
    settings = {**settings, "momentum": 0.9, "stats_decay": 0.5, "curvature_interval": 2}
    model = ACKTR("MlpPolicy", make_point_env(), **settings, **SMALL)
    model.learn(3 * 128)
    model.save(tmp_path / "model")
    loaded = ACKTR.load(tmp_path / "model", device="cpu")
    state, copied = (m.policy.optimizer.state_dict()["state"] for m in (model, loaded))
    assert all(torch.equal(state[i]["momentum_buffer"], copied[i]["momentum_buffer"]) for i in state)
    assert all(torch.equal(state[i]["input_factor"], copied[i]["input_factor"]) for i in state if "input_factor" in state[i])
    for m in (model, loaded):
        m.set_env(make_point_env())
        m.set_random_seed(7)
        m.learn(3 * 128, reset_num_timesteps=False)
    assert model.num_timesteps == loaded.num_timesteps == 6 * 128
    assert torch.equal(get_parameters(model), get_parameters(loaded))


class Trunk(BaseFeaturesExtractor):
    """A trunk that actor and critic share, with a layer norm."""

    def __init__(self, observation_space):
        super().__init__(observation_space, features_dim=16)
        self.net = nn.Sequential(nn.Linear(3, 16), nn.LayerNorm(16), nn.Tanh())

    def forward(self, observations):
        return self.net(observations)


class FlatTrunk(BaseFeaturesExtractor):
    """A trunk of two layers that actor and critic share."""

    def __init__(self, observation_space):
        super().__init__(observation_space, features_dim=64)
        self.net = nn.Sequential(nn.Linear(spaces.flatdim(observation_space), 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())

    def forward(self, observations):
        return self.net(observations.flatten(1))


def make_shared() -> dict:
    return {"features_extractor_class": Trunk, "net_arch": [16]}


def test_nothing_is_left_on_the_model():
    model = ACKTR("MlpPolicy", make_point_env(), **SMALL)
    model.learn(128)
    assert all(not m._forward_hooks and not m._forward_pre_hooks and not m._backward_hooks for m in model.policy.modules())
    assert all(p.grad is None for p in model.policy.parameters())


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))], ids=["deepcopy", "pickle"]
)
def test_a_copy_of_the_policy_goes_on_as_the_policy(duplicate):
    """Its optimizer has the layers, the curvature and the momentum of the copy."""
    model = ACKTR("MlpPolicy", make_point_env(), momentum=0.5, **SMALL)
    model.learn(128)
    twin = duplicate(model.policy)
    assert set(twin.optimizer.params) <= set(twin.parameters())
    for policy in (model.policy, twin):
        kfac, observations = policy.optimizer, torch.linspace(-1, 1, 192).reshape(64, 3)
        with kfac.capture():
            distribution = policy.get_distribution(observations)
        log_prob = distribution.log_prob(torch.zeros(64, 2))
        kfac.update_curvature(log_prob)
        log_prob.mean().backward()
        kfac.step()
    assert all(torch.equal(p, q) for p, q in zip(model.policy.parameters(), twin.parameters(), strict=True))
    assert not torch.equal(get_parameters(model), get_parameters(ACKTR("MlpPolicy", make_point_env(), **SMALL)))


def test_every_parameter_has_one_optimizer():
    model = ACKTR("MlpPolicy", make_point_env(), **SMALL)
    actor = {p for group in model.policy.optimizer.param_groups for p in group["params"]}
    critic = {p for group in model.critic_optimizer.param_groups for p in group["params"]}
    assert actor.isdisjoint(critic)
    assert actor | critic == set(model.policy.parameters())
    assert model.policy.log_std in actor


def test_construction_leaves_the_generator_of_the_space_alone():
    env = make_point_env()
    env.observation_space.seed(3)
    expected = copy.deepcopy(env.observation_space).sample()
    ACKTR("MlpPolicy", env, n_steps=64, device="cpu")
    np.testing.assert_array_equal(env.observation_space.sample(), expected)


def test_shared_layers_learn_jointly():
    model = ACKTR("MlpPolicy", make_point_env(), policy_kwargs=make_shared(), **SMALL)
    assert model.shares_layers
    assert set(model.policy.optimizer.params) == set(model.policy.parameters())
    before = get_parameters(model)
    values = learn(model, 128)
    assert values["train/kl"][0] < values["train/predicted_kl"][0] * 1.1  # the values take their part of the region
    assert (get_parameters(model) != before).float().mean() > 0.9


def test_logger_keys():
    values = learn(ACKTR("MlpPolicy", make_point_env(), **SMALL), 128)
    expected = "kl predicted_kl target_kl step_size loss policy_loss value_loss entropy_loss explained_variance std n_updates"
    assert {f"train/{key}" for key in expected.split()} <= set(values)


def test_schedules_follow_the_progress():
    schedule = LinearSchedule(0.02, 0.0, 1.0)
    values = learn(
        ACKTR("MlpPolicy", make_point_env(), critic="adam", target_kl=schedule, learning_rate=schedule, **SMALL),
        4 * 128,
    )
    assert values["train/target_kl"] == pytest.approx([0.015, 0.01, 0.005, 0.0])
    assert values["train/learning_rate"] == pytest.approx([0.015, 0.01, 0.005, 0.0])
    assert values["train/kl"] == pytest.approx([0.015, 0.01, 0.005, 0.0], rel=0.2, abs=1e-6)


def test_set_parameters_and_set_env():
    model, other = (ACKTR("MlpPolicy", make_point_env(), **{**SMALL, "seed": seed}) for seed in (0, 1))
    model.learn(128)
    other.set_parameters(model.get_parameters())
    assert torch.equal(get_parameters(model), get_parameters(other))
    other.set_env(make_point_env())
    other.learn(128, reset_num_timesteps=False)
    assert other.num_timesteps == 128


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make_env", "threshold"),
    [
        (lambda: IdentityEnv(3), 90),
        (lambda: IdentityEnvMultiDiscrete(2), 90),
        (lambda: IdentityEnvMultiBinary(2), 90),
        (lambda: IdentityEnvBox(eps=0.5), 80),
    ],
    ids=["discrete", "multi_discrete", "multi_binary", "box"],
)
@pytest.mark.parametrize("critic", ["adam", "kfac"])
def test_identity_environments_are_solved(make_env, threshold, critic):
    env = DummyVecEnv([make_env] * 4)
    model = ACKTR("MlpPolicy", env, critic=critic, gamma=0.4, target_kl=0.05, **{**SMALL, "batch_size": 256})
    model.learn(6000)
    assert evaluate_policy(model, DummyVecEnv([make_env]), n_eval_episodes=5, warn=False)[0] > threshold


@pytest.mark.parametrize("seed", [0, 1])
def test_shared_layers_learn_from_raw_rewards(seed):
    """Returns in the thousands leave the policy its part of the trust region."""

    def make_env() -> gym.Env:
        return TransformReward(IdentityEnvBox(eps=0.5), lambda reward: 2000 * reward)

    policy_kwargs = {"features_extractor_class": FlatTrunk, "net_arch": []}
    settings = {**SMALL, "policy_kwargs": policy_kwargs, "gamma": 0.4, "target_kl": 0.05, "seed": seed}
    model = ACKTR("MlpPolicy", DummyVecEnv([make_env] * 4), **settings)
    values = learn(model, 6000)
    assert 0.1 * 0.05 < np.median(values["train/kl"]) <= 1.5 * 0.05
    assert evaluate_policy(model, DummyVecEnv([make_env]), n_eval_episodes=5, warn=False)[0] > 80 * 2000


@pytest.mark.parametrize("critic", ["adam", "kfac"])
def test_critic_learns(critic):
    values = learn(ACKTR("MlpPolicy", make_point_env(), critic=critic, gamma=0.5, **SMALL), 20 * 128)
    assert np.mean(values["train/value_loss"][-5:]) < 0.25 * values["train/value_loss"][0]


def test_kfac_critic_explains_larger_rewards():
    """Rewards thirty times larger are explained nearly as well: the region is as wide as the residuals."""
    explained = []
    for scale in (1.0, 30.0):
        env = make_vec_env(lambda scale=scale: TransformReward(PointEnv(), lambda r: scale * r), n_envs=2, seed=0)
        values = learn(ACKTR("MlpPolicy", env, critic="kfac", gamma=0.5, **SMALL), 30 * 128)
        explained.append(np.mean(values["train/explained_variance"][-5:]))
    assert min(explained) > 0.7


def test_normalised_observations_and_rewards():
    env = VecNormalize(make_point_env())
    model = ACKTR("MlpPolicy", env, ent_coef=0.01, **SMALL)
    values = learn(model, 20 * 128)
    assert np.isfinite(values["train/loss"]).all()


def test_dictionary_observations():
    env = SimpleMultiObsEnv(random_start=False)
    model = ACKTR("MultiInputPolicy", env, policy_kwargs={"net_arch": [16]}, **{**SMALL, "n_steps": 16})
    values = learn(model, 32)
    assert values["train/kl"][0] > 0


@pytest.mark.parametrize("share", [True, False])
def test_images(share):
    """A convolutional policy, its trunk shared or not."""
    env = FakeImageEnv(screen_height=40, screen_width=40, n_channels=1, discrete=True)
    kwargs = {"share_features_extractor": share, "features_extractor_kwargs": {"features_dim": 32}}
    model = ACKTR("CnnPolicy", env, policy_kwargs=kwargs, **{**SMALL, "n_steps": 16})
    assert model.shares_layers == share
    values = learn(model, 32)
    assert len(values["train/kl"]) == 2
    assert 0 < max(values["train/kl"]) <= 0.015


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("target_kl", 0.0),
        ("target_kl", LinearSchedule(-1.0, 0.0, 1.0)),
        ("target_kl", "0.01"),
        ("max_step_size", -1.0),
        ("critic_target_kl", 0),
        ("damping", 0.0),
        ("stats_decay", 1.0),
        ("curvature_interval", 0),
        ("momentum", 1.5),
        ("batch_size", 0),
        ("n_critic_updates", 0),
        ("stats_samples", 0),
        ("critic", "sgd"),
        ("n_steps", 0),
        ("target_kl", np.inf),
        ("target_kl", True),
        ("critic_target_kl", np.inf),
        ("damping", np.inf),
        ("damping", "0.1"),
        ("curvature_interval", np.inf),
        ("stats_samples", True),
        ("batch_size", 2.5),
        ("ent_coef", "auto"),
        ("ent_coef", np.nan),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises((InvalidArgumentError, UnknownNameError)):
        ACKTR("MlpPolicy", make_point_env(), **{**SMALL, setting: value})


@pytest.mark.parametrize("weight", [0.0, np.inf, np.nan, "0.1"])
def test_weight_of_shared_values_out_of_range_is_refused(weight):
    with pytest.raises(InvalidArgumentError, match="vf_coef is"):
        ACKTR("MlpPolicy", make_point_env(), policy_kwargs=make_shared(), vf_coef=weight, **SMALL)


def test_settings_may_be_numbers_of_numpy():
    settings = {"max_step_size": np.float32(3), "damping": np.float32(0.3), "curvature_interval": np.int64(2)}
    counts = {
        "n_steps": np.int64(64),
        "batch_size": np.int64(64),
        "n_critic_updates": np.int64(2),
        "stats_samples": np.int64(80),
    }
    schedule = {"target_kl": lambda progress: np.float32(0.01), "critic_target_kl": np.float32(0.01)}
    values = learn(ACKTR("MlpPolicy", make_point_env(), **{**SMALL, **settings, **counts, **schedule}), 128)
    assert values["train/target_kl"] == pytest.approx([0.01])


def test_schedule_that_becomes_infinite_is_refused():
    model = ACKTR("MlpPolicy", make_point_env(), target_kl=lambda progress: 0.01 if progress == 1 else np.inf, **SMALL)
    with pytest.raises(InvalidArgumentError, match="target_kl is inf"):
        model.learn(256)


@pytest.mark.parametrize("name", ["target_kl", "max_step_size", "critic_target_kl"])
def test_schedule_that_falls_below_zero_is_refused(name):
    model = ACKTR("MlpPolicy", make_point_env(), **{name: LinearSchedule(0.01, -0.01, 0.5)}, **SMALL)
    with pytest.raises(ValueError, match=rf"{name} is -0.01, .* after 128 steps"):
        model.learn(256)


def test_unknown_critic_lists_those_that_exist():
    with pytest.raises(ValueError, match="adam, kfac"):
        ACKTR("MlpPolicy", make_point_env(), critic="sgd")


def test_batch_of_one_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        ACKTR("MlpPolicy", PointEnv(), n_steps=1)


@pytest.mark.parametrize("layer", [nn.PReLU(), nn.BatchNorm1d(16)])
def test_unsupported_layer_is_named(layer):
    class Unsupported(Trunk):
        def __init__(self, observation_space):
            super().__init__(observation_space)
            self.net = nn.Sequential(nn.Linear(3, 16), layer)

    with pytest.raises(InvalidArgumentError, match="net.1.weight"):
        ACKTR("MlpPolicy", make_point_env(), policy_kwargs={"features_extractor_class": Unsupported})


class Frozen(ActorCriticPolicy):
    """A policy whose deviation is not learnt."""

    def _build(self, lr_schedule):
        super()._build(lr_schedule)
        self.log_std.requires_grad_(False)


def test_frozen_deviation_is_named():
    with pytest.raises(InvalidArgumentError, match=r"frozen parameters only: \['log_std'\]"):
        ACKTR(Frozen, make_point_env(), **SMALL)


@pytest.mark.parametrize("kl", [1e3, math.nan])
@pytest.mark.parametrize("policy_kwargs", [{}, "shared"])
def test_step_that_no_halving_brings_into_the_region_is_taken_back_whole(monkeypatch, policy_kwargs, kl):
    model = ACKTR("MlpPolicy", make_point_env(), policy_kwargs=make_shared() if policy_kwargs else {}, **SMALL)
    before = [p.detach().clone() for p in model.policy.optimizer.params]
    monkeypatch.setattr("gym_gazebo2.algos.acktr.measure_kl", lambda *args: kl)
    values = learn(model, 256)
    assert all(map(torch.equal, model.policy.optimizer.params, before))
    assert values["train/kl"] == values["train/step_size"] == [0.0, 0.0]


@pytest.mark.parametrize(("bad", "named"), [("reward", "returns"), ("observation", "observations")])
def test_bad_rollout_stops_before_the_update(bad, named):
    """Inside an episode, as at its end the bad observation would be replaced by that of the reset."""
    model = ACKTR("MlpPolicy", DummyVecEnv([lambda: PointEnv(bad_step=90, bad=bad)]), **SMALL)
    model.learn(64)
    before = get_parameters(model)
    with pytest.raises(FloatingPointError, match=rf"finite {named}, .*after \d+ steps.*before update 2"):
        model.learn(64, reset_num_timesteps=False)
    assert torch.equal(get_parameters(model), before)


@pytest.mark.parametrize("algorithm", [PPO, TRPO, A2C])
@pytest.mark.parametrize("policy_kwargs", [{}, "shared"])
def test_model_of_another_algorithm_is_refused(algorithm, policy_kwargs, tmp_path):
    policy_kwargs = make_shared() if policy_kwargs else {}
    algorithm("MlpPolicy", make_point_env(), policy_kwargs=policy_kwargs, device="cpu").save(tmp_path / "other")
    with pytest.raises(ValueError, match="other.*a model that ACKTR saved"):
        ACKTR.load(tmp_path / "other")


@pytest.mark.parametrize(("saved", "asked"), [("kfac", "adam"), ("adam", "kfac")])
def test_state_of_another_critic_is_refused(saved, asked, tmp_path):
    model = ACKTR("MlpPolicy", make_point_env(), critic=saved, **SMALL)
    model.learn(128)
    model.save(tmp_path / "model")
    assert ACKTR.load(tmp_path / "model", critic=saved, target_kl=0.02).target_kl_schedule(1.0) == 0.02
    with pytest.raises(InvalidArgumentError, match=f"critic is '{asked}', expected '{saved}'"):
        ACKTR.load(tmp_path / "model", critic=asked)
