"""Exported policies act as the originals do, without this package."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from gym_gazebo2.algos import TrainConfig, make_vec_env, train
from gym_gazebo2.algos.discrete import make_action_table
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy
from gym_gazebo2.algos.export.network import ExportConfig, export
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.model_file import read_model_file
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
        ("SCARA-v0", "recurrent_ppo"),
        ("MARAReachGoal-v0", "recurrent_ppo"),
    ],
)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    (env, algo), out = request.param, tmp_path_factory.mktemp("export") / "run"
    is_on_policy = get_algorithm(algo).learns == "on_policy"
    small = {"n_steps": 10, "batch_size": 40} if is_on_policy else {"learning_starts": 10, "batch_size": 8}
    few = {"steps": 40, "num_envs": 4, "max_episode_steps": 10, "eval_runs": 2, "eval_every": 1000, "progress": False}
    return train(TrainConfig(env=env, algo=algo, normalize=True, hyperparameters=small, out=str(out), **few))


STEPS, COUNT = 4, 5


def collect(run: RunFolder) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    """Return the observations of some steps of random motion, and what the original policy does in them."""
    file = read_model_file(run.model)
    policy, env = ModelPolicy(file.build()), gym.make_vec(file.config.env, num_envs=COUNT, start_noise=0.1)
    observation, _ = env.reset(seed=0)
    env.action_space.seed(0)
    wrapped, seen, actions = file.wrap(make_vec_env(file.config.env, 1)), [], []
    for _ in range(STEPS):
        observation, *_ = env.step(env.action_space.sample())
        seen.append(observation if isinstance(observation, dict) else {"observation": observation})
        actions.append(policy(wrapped.normalize_obs(observation) if file.normalization else observation))
    if get_algorithm(file.config.algo).actions == "discrete":
        actions = [make_action_table(env.single_action_space)[action] for action in actions]
    return seen, np.clip(actions, -1.0, 1.0)


def test_onnx_acts_as_the_original(run: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, _ = export(run.path, ExportConfig(out=str(tmp_path)))
    assert capfd.readouterr() == ("", "")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    sizes = json.loads(session.get_modelmeta().custom_metadata_map["gym_gazebo2"])["memory"]
    assert bool(sizes) == get_algorithm(run.read_config().algo).recurrent
    memory = {name: np.zeros((layers, COUNT, width), np.float32) for name, (layers, width) in sizes.items()}
    seen, expected = collect(run)
    assert np.abs(expected).max() > 0.0
    for parts, action in zip(seen, expected, strict=True):
        answer = dict(zip((given.name for given in session.get_outputs()), session.run(None, parts | memory), strict=True))
        np.testing.assert_allclose(answer["action"], action, atol=1e-5)
        memory = {name: answer[f"next_{name}"] for name in sizes}


def test_torchscript_acts_as_the_original(run: RunFolder, tmp_path: Path) -> None:
    import torch

    (path,) = export(run.path, ExportConfig(format="torchscript", out=str(tmp_path)))
    about = {"gym_gazebo2.json": ""}
    policy = torch.jit.load(str(path), _extra_files=about)
    sizes = json.loads(about["gym_gazebo2.json"])["memory"].values()
    memory = [torch.zeros(layers, COUNT, width) for layers, width in sizes]
    for parts, expected in zip(*collect(run), strict=True):
        action, *memory = policy(*(torch.as_tensor(parts[name]) for name in sorted(parts)), *memory)
        np.testing.assert_allclose(action.numpy(), expected, atol=1e-5)


def test_the_script_remembers_what_the_policy_remembers(run: RunFolder, tmp_path: Path) -> None:
    path, script = export(run.path, ExportConfig(out=str(tmp_path)))
    policy = runpy.run_path(str(script))["Policy"](str(path))
    for _ in range(2):
        for parts, expected in zip(*collect(run), strict=True):
            action = policy.act({name: value[0] for name, value in parts.items()})
            np.testing.assert_allclose(action, expected[0], atol=1e-5)
        policy.reset()


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
    with pytest.raises(RunError, match="not a run folder"):
        export(tmp_path)
