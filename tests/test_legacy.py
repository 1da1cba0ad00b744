"""The abandoned gym package, in a process of its own: it prints and warns at import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import gym, numpy as np
env = gym.make({env_id!r}, start_noise=0.1)
observation, info = env.reset(seed=3)
import gymnasium
other = gymnasium.make({env_id!r}, start_noise=0.1)
expected, _ = other.reset(seed=3)
flat = lambda o: np.concatenate([np.ravel(o[k]) for k in sorted(o)]) if isinstance(o, dict) else o
for _ in range(100):
    action = np.full(env.action_space.shape, 0.1)
    observation, reward, terminated, truncated, info = env.step(action)
    assert np.array_equal(flat(observation), flat(other.step(action)[0]))
assert env.observation_space.contains(observation) and truncated and not terminated
print("same")
"""


@pytest.mark.parametrize("env_id", ["MARA-v0", "MARAReachGoal-v0"])
def test_legacy_gym_moves_the_same_arm(env_id):
    env = os.environ | {"PYTHONPATH": str(Path(sys.prefix) / "legacy")}
    command = [sys.executable, "-c", CODE.format(env_id=env_id)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "same", done.stderr
