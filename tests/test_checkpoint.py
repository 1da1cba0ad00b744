"""A checkpoint continues any vectorised environment that has ``get_state`` and ``set_state``, whatever its class."""

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from gym_gazebo2.algos.runs.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from gym_gazebo2.errors import RunError, UnsupportedError


class Walk(gymnasium.Env):
    """A random walk that the action pushes, with an end after 50 steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.steps = self.np_random.normal(size=1), 0
        return self.x.copy(), {}

    def step(self, action):
        self.x += 0.1 * action + 0.1 * self.np_random.normal(size=1)
        self.steps += 1
        return self.x.copy(), -float(self.x[0] ** 2), False, self.steps == 50, {}


class ResumableWalks(DummyVecEnv):
    """Walks whose state can be saved; it shares nothing with the arms' own class but the two methods."""

    can_save = True

    def get_state(self):
        if not self.can_save:
            raise UnsupportedError("These walks cannot be saved.")
        arrays = {"x": np.array([env.unwrapped.x for env in self.envs])}
        return arrays, [[env.unwrapped.steps, env.unwrapped.np_random.bit_generator.state] for env in self.envs]

    def set_state(self, arrays, generators):
        for env, x, (steps, state) in zip(self.envs, arrays["x"], generators, strict=True):
            env.reset()
            env.unwrapped.x, env.unwrapped.steps = x.copy(), steps
            env.unwrapped.np_random.bit_generator.state = state


def make_model(kind=ResumableWalks):
    model = PPO("MlpPolicy", kind([Walk] * 3), n_steps=20, batch_size=20, n_epochs=1, seed=0)
    model.set_logger(Logger(None, []))
    return model


def learn(model, steps):
    model.learn(steps, reset_num_timesteps=False)
    return model.policy.state_dict()


def test_another_resumable_environment_continues_to_the_bit(tmp_path):
    whole = make_model()
    learn(whole, 120)
    save_checkpoint(tmp_path, whole, {"note": "halfway"})
    expected = learn(whole, 120)
    cut = make_model()
    assert load_checkpoint(find_checkpoint(tmp_path), cut, dict) == {"note": "halfway"}
    assert cut.num_timesteps == 120
    weights = learn(cut, 120)
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


@pytest.mark.parametrize("kind", [DummyVecEnv, type("Unsaved", (ResumableWalks,), {"can_save": False})])
def test_an_environment_that_cannot_be_saved_starts_new_episodes(tmp_path, kind):
    model = make_model(kind)
    learn(model, 120)
    save_checkpoint(tmp_path, model, {})
    other = make_model(kind)
    with pytest.warns(UserWarning, match="cannot be saved.*new episodes"):
        load_checkpoint(find_checkpoint(tmp_path), other, dict)
    assert all(torch.equal(other.policy.state_dict()[name], value) for name, value in model.policy.state_dict().items())
    learn(other, 60)
    assert other.num_timesteps == 180


def test_three_checkpoints_are_kept_and_another_algorithm_is_refused(tmp_path):
    from stable_baselines3 import A2C

    model = make_model()
    for _ in range(5):
        learn(model, 60)
        save_checkpoint(tmp_path, model, {})
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"{steps:012d}.zip" for steps in (180, 240, 300)]
    other = A2C("MlpPolicy", ResumableWalks([Walk] * 3))
    with pytest.raises(RunError, match=r"000000000300\.zip is of PPO, but config\.json says A2C"):
        load_checkpoint(find_checkpoint(tmp_path), other, dict)
