"""Exported policies act as the originals do, without this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from gym_gazebo2.algos import TrainConfig, train
from gym_gazebo2.algos.discrete import make_action_table
from gym_gazebo2.algos.export import ExportConfig, export
from gym_gazebo2.algos.model_file import read_model_file
from gym_gazebo2.algos.run_folder import RunFolder
from gym_gazebo2.algos.table import get_algorithm
from gym_gazebo2.errors import RunError, UnknownNameError

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'gym_gazebo2[export]'")


@pytest.fixture(
    scope="module",
    params=[
        ("SCARA-v0", "ppo"),
        ("SCARA-v0", "dqn"),
        ("SCARA-v0", "sac"),
        ("MARAReachGoal-v0", "trpo"),
        ("MARACamera-v0", "ppo"),
    ],
)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    (env, algo), out = request.param, tmp_path_factory.mktemp("export") / "run"
    is_on_policy = get_algorithm(algo).learns == "on_policy"
    small = {"n_steps": 10, "batch_size": 40} if is_on_policy else {"learning_starts": 10, "batch_size": 8}
    few = {"steps": 40, "num_envs": 4, "max_episode_steps": 10, "eval_runs": 2, "eval_every": 1000, "progress": False}
    return train(TrainConfig(env=env, algo=algo, normalize=True, hyperparameters=small, out=str(out), **few))


def collect(run: RunFolder, count: int = 5) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return observations of random motion, and what the original policy does in them."""
    file = read_model_file(run.model)
    model, env = file.build(), gym.make_vec(file.config.env, num_envs=count, start_noise=0.1)
    observation, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(5):
        observation, *_ = env.step(env.action_space.sample())
    wrapped = file.wrap(_vec(file.config.env))
    seen = wrapped.normalize_obs(observation) if file.normalization else observation
    action, _ = model.predict(seen, deterministic=True)
    if get_algorithm(file.config.algo).actions == "discrete":
        action = make_action_table(env.single_action_space)[action]
    parts = observation if isinstance(observation, dict) else {"observation": observation}
    return parts, np.clip(action, -1.0, 1.0)


def _vec(env_id: str) -> object:
    from gym_gazebo2.algos import make_vec_env

    return make_vec_env(env_id, 1)


def test_onnx_acts_as_the_original(run: RunFolder, tmp_path: Path) -> None:
    path, _ = export(run.path, ExportConfig(out=str(tmp_path)))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    parts, expected = collect(run)
    action = session.run(["action"], parts)[0]
    assert np.abs(expected).max() > 0.0
    np.testing.assert_allclose(action, expected, atol=1e-5)


def test_torchscript_acts_as_the_original(run: RunFolder, tmp_path: Path) -> None:
    import torch

    (path,) = export(run.path, ExportConfig(format="torchscript", out=str(tmp_path)))
    parts, expected = collect(run)
    action = torch.jit.load(str(path))(*(torch.as_tensor(parts[name]) for name in sorted(parts)))
    np.testing.assert_allclose(action.detach().numpy(), expected, atol=1e-5)


def test_the_script_needs_numpy_and_onnxruntime_alone(run: RunFolder, tmp_path: Path) -> None:
    path, script = export(run.path, ExportConfig(out=str(tmp_path)))
    env = gym.make(run.read_config().env)
    observation, _ = env.reset(seed=1)
    core, parts = env.unwrapped.core, observation if isinstance(observation, dict) else {"observation": observation}
    np.savez(tmp_path / "state.npz", **parts, setpoint=core.arm.q_setpoint[0], q=core.arm.q[0])
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch','gym_gazebo2','stable_baselines3','gymnasium']))"
    code = f"{blocked}; import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(script), str(path), str(tmp_path / "state.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    env.step(np.array(answer["action"], dtype=np.float32))
    np.testing.assert_allclose(answer["setpoint"], core.arm.q_setpoint[0], atol=1e-7)


def test_what_cannot_be_exported(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="torchscript"):
        ExportConfig(format="pickle")
    with pytest.raises(UnknownNameError, match="best_model"):
        ExportConfig(model="newest")
    with pytest.raises(RunError, match="no run folder"):
        export(tmp_path)
